# LLMHub: every chore by one word. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What is built lies outside the checkout, so that RocksDB is compiled once per machine and not once per clone.
ifndef CARGO_TARGET_DIR
CARGO_TARGET_DIR := $(or $(LLMHUB_TARGET),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/llmhub/target)
endif
export CARGO_TARGET_DIR
# A shell that was not started as a login shell may not know cargo yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

# Options of the targets below.
DATA  ?= .data/dev
SEEDS ?= 0..200
KILLS ?= 100
MINUTES ?= 20
OLD   ?= HEAD~1
DEPLOYMENTS ?= 10000
KEYS  ?= 100000
JOBS  ?= $(shell nproc 2>/dev/null || echo 2)
ARGS  ?=
export DATA JOBS SEEDS KILLS MINUTES DEPLOYMENTS KEYS

BUILT := $(CARGO_TARGET_DIR)/debug

.PHONY: help setup run test verify fix bench sim sim-long bugs chaos upgrade kills failover soak scale

help: ## this list
	@echo 'usage: make TARGET'; echo
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

setup: ## check for what building needs, and install what is missing where that is allowed
	@xtask/tools/setup.sh

run: setup ## build, and start a cluster of three nodes here (DATA=.data/dev ARGS="--nodes 5")
	@xtask/tools/run.sh $(ARGS)

test: setup ## everything CI runs
	@xtask/tools/check.sh test

verify: setup ## the quick checks: format, lints, tidy, dependencies
	@xtask/tools/check.sh verify

fix: setup ## format, and let clippy mend what it can
	@cargo fmt --all
	@cargo clippy --fix --allow-dirty --allow-staged --workspace --all-targets
	@cargo fmt --all

bench: setup ## measure against nginx and the bare upstream, and write docs/benchmarks.md
	@xtask/tools/setup.sh nginx-light
	@xtask/tools/bench.sh $(ARGS)

sim: setup ## simulate clusters (SEEDS=0..200 JOBS=2 ARGS="--scenario leader_killed")
	@cargo build -p sim
	@$(BUILT)/sim run --seeds $(SEEDS) --jobs $(JOBS) $(ARGS)

sim-long: setup ## the same, with a summary in docs/reliability.md (SEEDS=0..2000)
	@cargo build -p sim
	@xtask/tools/sim_long.sh $(ARGS)

bugs: setup ## plant known bugs in a scratch copy: the simulator must find each
	@cargo build -p sim
	@cargo xtask bugs --jobs $(JOBS) $(ARGS)

chaos: setup ## the scenarios on real processes (ARGS="--scenario zone_lost"; all of them by default)
	@xtask/tools/setup.sh libfaketime
	@xtask/tools/check.sh chaos $(ARGS)

upgrade: setup ## a cluster of the program as it was at commit OLD=HEAD~1 is upgraded under load, node by node, after a roll-back
	@xtask/tools/upgrade.sh $(OLD)

kills: setup ## a process that writes to its disk is killed KILLS=100 times: nothing acknowledged may be lost
	@xtask/tools/check.sh kills

failover: setup ## kill KILLS=100 leaders under load, of LLMHub and of etcd, and measure until the first write
	@xtask/tools/setup.sh etcd-server
	@xtask/tools/failover.sh --kills $(KILLS) $(ARGS)

soak: setup ## load and random faults for MINUTES=20; fails where something is lost, hangs or grows without end
	@xtask/tools/check.sh soak --minutes $(MINUTES) $(ARGS)

scale: setup ## fill a cluster with DEPLOYMENTS=10000 and KEYS=100000, and write what that costs into docs/scale.md
	@xtask/tools/scale.sh $(ARGS)
