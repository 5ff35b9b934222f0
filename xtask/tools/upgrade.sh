#!/usr/bin/env bash
# Runs the scenario `rolling_upgrade`: from the program as it was at a commit to the one of this tree. Called by `make upgrade`,
# which sets CARGO_TARGET_DIR.
#
#   usage: upgrade.sh COMMIT
set -euo pipefail
cd "$(dirname "$0")/../.."
source xtask/tools/engine.sh

commit=$(git rev-parse --verify "${1:?usage: upgrade.sh COMMIT}^{commit}")
built=$CARGO_TARGET_DIR/debug
kept=$CARGO_TARGET_DIR/upgrade
old=$kept/llmhub-$commit

if [[ ! -x $old ]]; then
  tree=$kept/tree
  rm -rf "$tree"
  mkdir -p "$kept"
  git worktree prune
  git worktree add --quiet --detach --force "$tree" "$commit"
  trap 'git worktree remove --force "$tree"' EXIT
  # Into the same folder, so that dependencies are not compiled again; the present program is put back below.
  cargo build --manifest-path "$tree/Cargo.toml" --workspace --bin llmhub
  cp "$built/llmhub" "$old"
fi
cargo build --workspace --bins
prepare_engine "$kept"
echo "from $(git log -1 --format='%h %s' "$commit")"
"$built/chaos" run --scenario rolling_upgrade --old "$old"
