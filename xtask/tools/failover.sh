#!/usr/bin/env bash
# Measures how long nobody can write after the leader was killed: LLMHub's release build and etcd, in turns. Called by
# `make failover`, which sets CARGO_TARGET_DIR; arguments go to `chaos failover`.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Debian starts its etcd as a service; what is measured here is started by the run itself.
etcd=$(command -v etcd || true)
cargo build --release --workspace --bin llmhub
cargo build --workspace --bins
exec "$CARGO_TARGET_DIR/debug/chaos" failover --llmhub "$CARGO_TARGET_DIR/release/llmhub" \
  ${etcd:+--etcd "$etcd"} --report "$CARGO_TARGET_DIR/failover.json" "$@"
