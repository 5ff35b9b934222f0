#!/usr/bin/env bash
# Measures, and writes docs/benchmarks.md: first how long the scenarios' victims are missed on real processes, then what
# a request costs beside nginx and the bare upstream. Called by `make bench`, which sets CARGO_TARGET_DIR; arguments go to
# `bench all`.
set -euo pipefail
cd "$(dirname "$0")/../.."
source xtask/tools/engine.sh

cargo build --release --workspace --bin llmhub --bin bench
cargo build --workspace --bins
prepare_engine "$CARGO_TARGET_DIR/models"

reports=()
# fail_over SCENARIO [REPLICAS]
fail_over() {
  local report=$CARGO_TARGET_DIR/failover-$1-${2:-}.json
  "$CARGO_TARGET_DIR/debug/chaos" run --llmhub "$CARGO_TARGET_DIR/release/llmhub" \
    --scenario "$1" ${2:+--replicas "$2"} --report "$report"
  reports+=(--chaos-report "$report")
}
fail_over replica_host_killed_mid_stream 1
fail_over replica_host_killed_mid_stream 2
fail_over leader_killed 1
fail_over rolling_restart 2
fail_over zone_lost_100
fail_over node_paused

exec "$CARGO_TARGET_DIR/release/bench" all "${reports[@]}" "$@"
