#!/usr/bin/env bash
# Runs official SDKs against a real cluster: a private Python environment, three nodes, a real llama-server.
# Before that the fakes of providers are tried with the providers' own clients, and every protocol over every fake.
# usage: chaos/sdk/run.sh   (environment: LLMHUB = path of the llmhub binary)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/llmhub
env=$cache/sdk-venv
if ! cmp -s "$here/requirements.txt" "$env/requirements.txt"; then
  rm -rf "$env"
  python3 -m venv "$env"
  "$env/bin/pip" --quiet install --requirement "$here/requirements.txt"
  cp "$here/requirements.txt" "$env/requirements.txt"
fi
exec "$env/bin/python" -B -m pytest -q -x -p no:cacheprovider "$here/fakes" "$here/test_gateway.py" "$here/test_sdk.py"
