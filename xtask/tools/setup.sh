#!/usr/bin/env bash
# Checks for what building and testing LLMHub needs. On Debian and its kin it installs what is missing, as root or with
# a sudo that asks for nothing; elsewhere it says what to install. Quick and silent when everything is there.
#
#   usage: setup.sh [PACKAGE …]       PACKAGEs are needed besides the usual ones, such as nginx-light for the benchmark
set -euo pipefail

# a compiler for RocksDB, bindgen's libclang, and Python for the end-to-end test with the official SDK
packages=(build-essential pkg-config libclang-dev python3 python3-venv git "$@")

say() { echo "setup: $*" >&2; }

require_cargo() {
  command -v cargo >/dev/null && return
  say "cargo was not found: install Rust 1.95 or newer (with rustfmt and clippy), see that cargo is on PATH, try again"
  exit 1
}

missing_packages() {
  local present package
  present=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
  for package in "${packages[@]}"; do
    grep -qxF "$package installed" <<<"$present" || echo "$package"
  done
}

require_programs() {
  local program absent=()
  for program in cc c++ git python3; do
    command -v "$program" >/dev/null || absent+=("$program")
  done
  ((${#absent[@]} == 0)) && return
  say "missing: ${absent[*]}; install what this system calls ${packages[*]}, try again"
  exit 1
}

install() {
  local as_root=()
  if ((EUID != 0)); then
    as_root=(sudo -n)
    if ! sudo -n true 2>/dev/null; then
      say "missing: $*; type this, then try again:"
      echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends $*" >&2
      exit 1
    fi
  fi
  say "installing $*"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq)
  if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "$@"; } >&2 </dev/null; then
    say "apt-get could not install $*: see its message above, mend that, try again"
    exit 1
  fi
}

require_cargo
if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} > 0)); then
    install "${missing[@]}"
  fi
else
  require_programs
fi
