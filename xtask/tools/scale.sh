#!/usr/bin/env bash
# Measures what large tables cost, alone and on real processes, and writes both into docs/scale.md. Called by `make scale`,
# which sets CARGO_TARGET_DIR, DEPLOYMENTS and KEYS.
set -euo pipefail
cd "$(dirname "$0")/../.."

size=(--deployments "$DEPLOYMENTS" --keys "$KEYS")
cargo build --release -p node
cargo build --release -p bench
cargo bench -p domain --bench scale -- "${size[@]}" | tee "$CARGO_TARGET_DIR/scale-tables.md"
exec "$CARGO_TARGET_DIR/release/bench" scale "${size[@]}" --tables "$CARGO_TARGET_DIR/scale-tables.md" --page docs/scale.md "$@"
