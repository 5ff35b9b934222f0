#!/usr/bin/env bash
# The checks, step by step, each with its seconds. Called by the Makefile, which sets CARGO_TARGET_DIR and JOBS.
#
#   usage: check.sh verify            format, lints, tidy, dependencies
#          check.sh test              everything CI runs
#          check.sh chaos [ARG …]     the scenarios on real processes; ARGs go to `chaos run`, --all by default
#          check.sh kills             a writing process is killed KILLS times, 100 by default
#          check.sh soak [ARG …]      load and faults for long; ARGs go to `chaos soak`
set -euo pipefail
cd "$(dirname "$0")/../.."
source xtask/tools/engine.sh

built=$CARGO_TARGET_DIR/debug
jobs=${JOBS:-2}
what=${1:?usage: check.sh verify|test|chaos|kills|soak}
shift
steps=0

# step NAME COMMAND …: runs it, tells how long it took, and ends everything where it fails
step() {
  local name=$1 begin=$SECONDS
  shift
  echo "==> $name"
  if ! "$@"; then
    echo "==> make $what: FAILED at: $name, after $((SECONDS - begin)) s" >&2
    exit 1
  fi
  echo "==> $name: $((SECONDS - begin)) s"
  steps=$((steps + 1))
}

# unwrap and expect are left to tidy, which knows the tools and the tests' own modules
clippy() {
  cargo clippy --workspace --all-targets -- -D warnings -A clippy::unwrap_used -A clippy::expect_used
}

unit_tests() {
  if command -v cargo-nextest >/dev/null; then
    cargo nextest run --workspace
  else
    cargo test --workspace
  fi
}

# the same seed in two processes: every line of both traces must be the same
determinism() {
  local folder=$CARGO_TARGET_DIR/determinism
  mkdir -p "$folder"
  "$built/sim" replay --seed 1 --trace "$folder/first" >/dev/null || return 1
  "$built/sim" replay --seed 1 --trace "$folder/second" >/dev/null || return 1
  [[ -s $folder/first ]] || { echo "the trace is empty" >&2; return 1; }
  cmp "$folder/first" "$folder/second" || return 1
  echo "$(wc -l <"$folder/first") lines, the same twice"
}

# the planted bugs are patches: each must fit the tree as it is
bugs_fit() {
  git apply --check sim/bugs/*.patch
}

# scenarios that this machine cannot run are told and do not fail
scenarios() {
  local status=0
  "$built/chaos" run "$@" || status=$?
  ((status == 0 || status == 77))
}

# the test that CI runs a few times, with what it measured shown
kills() {
  local runner=(cargo test --workspace -p consensus-rocks --test disk --)
  LLMHUB_KILLS=${KILLS:-100} "${runner[@]}" --nocapture --exact \
    killed::what_was_acknowledged_survives_every_kill_whole_and_in_order \
    machine::every_acknowledged_command_is_in_the_tables_after_every_kill
}

lints() {
  step "format" cargo fmt --all --check
  step "clippy" clippy
  step "tidy" cargo xtask tidy
  step "planted bugs fit" bugs_fit
}

case $what in
  verify)
    lints
    if command -v cargo-deny >/dev/null; then
      step "dependencies" cargo deny check
    else
      echo "==> dependencies: left out, cargo-deny is not installed"
    fi
    ;;
  test)
    lints
    step "unit and integration tests" unit_tests
    step "binaries" cargo build --workspace --bins
    step "simulator, 30 seeds" "$built/sim" run --seeds 0..30 --jobs "$jobs"
    step "one seed twice" determinism
    step "engine" prepare_engine "$CARGO_TARGET_DIR/models"
    step "chaos on real processes" scenarios --core
    if [[ -x chaos/sdk/run.sh ]]; then
      step "official Python SDK" chaos/sdk/run.sh
    fi
    ;;
  chaos)
    step "binaries" cargo build --workspace --bins
    step "engine" prepare_engine "$CARGO_TARGET_DIR/models"
    (($# > 0)) || set -- --all
    step "chaos on real processes" scenarios "$@"
    ;;
  kills)
    step "killed while it writes" kills
    ;;
  soak)
    step "binaries" cargo build --workspace --bins
    step "engine" prepare_engine "$CARGO_TARGET_DIR/models"
    step "soak" "$built/chaos" soak --report "$CARGO_TARGET_DIR/soak.json" --plot "$CARGO_TARGET_DIR/soak.svg" "$@"
    echo "figures: $CARGO_TARGET_DIR/soak.json, drawing: $CARGO_TARGET_DIR/soak.svg"
    ;;
  *)
    echo "check.sh: unknown: $what (verify, test, chaos, kills or soak)" >&2
    exit 2
    ;;
esac

echo "==> make $what: all $steps steps passed in $SECONDS s"
