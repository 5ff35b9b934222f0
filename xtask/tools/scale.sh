#!/usr/bin/env bash
# Measures what large tables cost, alone and on real processes, and writes both into docs/scale.md. Called by `make scale`,
# which sets CARGO_TARGET_DIR, DEPLOYMENTS and KEYS.
set -euo pipefail
cd "$(dirname "$0")/../.."

size=(--deployments "$DEPLOYMENTS" --keys "$KEYS")
cargo build --release --workspace --bin llmhub --bin bench
# keep SECTION: shows what comes, and puts it into the page
keep() {
  tee "$CARGO_TARGET_DIR/$1.md"
  cargo xtask section docs/scale.md "$1" <"$CARGO_TARGET_DIR/$1.md"
}
cargo bench -p domain --bench scale -- "${size[@]}" | keep bench-tables
"$CARGO_TARGET_DIR/release/bench" scale "${size[@]}" "$@" | keep bench-scale
