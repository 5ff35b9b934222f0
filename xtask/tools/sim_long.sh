#!/usr/bin/env bash
# Runs many seeds of the simulator, and puts what they came to into docs/reliability.md, also where some failed. Called by
# `make sim-long`, which sets CARGO_TARGET_DIR, SEEDS and JOBS; arguments go to `sim run`.
set -euo pipefail
cd "$(dirname "$0")/../.."

summary=$CARGO_TARGET_DIR/sim-long.md
rm -f "$summary"
failed=0
"$CARGO_TARGET_DIR/debug/sim" run --seeds "$SEEDS" --jobs "$JOBS" --summary "$summary" "$@" || failed=$?
if [[ -f $summary ]]; then cargo xtask section docs/reliability.md sim-long <"$summary"; fi
exit "$failed"
