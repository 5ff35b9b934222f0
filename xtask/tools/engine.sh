# shellcheck shell=bash
# Sourced by run.sh and check.sh: a real engine and a tiny model for it. Without an engine everything but deployed
# models still works, so that failing to get one is a warning.
#
#   prepare_engine FOLDER       exports LLMHUB_ENGINE_LLAMA_SERVER and LLMHUB_TINY_GGUF

prepare_engine() {
  local folder=$1 tools server model
  # callers test the result, which turns `set -e` off in here
  tools=$(dirname "${BASH_SOURCE[0]}")
  if [[ -z ${LLMHUB_ENGINE_LLAMA_SERVER:-} ]]; then
    if server=$("$tools/llama_server.sh"); then
      export LLMHUB_ENGINE_LLAMA_SERVER=$server
    else
      echo "warning: no llama-server; the mock provider works, deployed models do not" >&2
    fi
  fi
  mkdir -p "$folder" || return 1
  model=$(cd "$folder" && pwd)/tiny.gguf
  if [[ ! -s $model ]]; then
    "$tools/tiny_gguf.py" "$model.new" 2>/dev/null && mv "$model.new" "$model" || return 1
  fi
  export LLMHUB_TINY_GGUF=$model
}
