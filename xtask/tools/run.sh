#!/usr/bin/env bash
# Builds the program and starts a cluster on this machine. Called by `make run`, which sets DATA and CARGO_TARGET_DIR;
# further arguments go to `llmhub dev`.
set -euo pipefail
cd "$(dirname "$0")/../.."
source xtask/tools/engine.sh

: "${DATA:=.data/dev}"
echo "building the program (the first time takes some minutes)"
cargo build --release --workspace --bin llmhub
prepare_engine "$DATA/models"
echo "a tiny model to deploy: $LLMHUB_TINY_GGUF"
# a short way to the command line for whoever tries it from this folder
mkdir -p .data
ln -sfn "$CARGO_TARGET_DIR/release/llmhub" .data/llmhub
exec "$CARGO_TARGET_DIR/release/llmhub" dev --data "$DATA" "$@"
