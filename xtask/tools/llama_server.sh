#!/usr/bin/env bash
# Prints the path of a working llama-server (llama.cpp) and, where there is none, first puts one into a private folder.
#
#   usage: llama_server.sh [DIR]      DIR defaults to ${XDG_CACHE_HOME:-$HOME/.cache}/llmhub/llama.cpp
#
# The places it looks in, in this order:
#   1. PATH
#   2. DIR, where an earlier call left one
#   3. Debian's newest packages from this machine's own apt mirror, unpacked into DIR (seconds; amd64 only;
#      nothing is installed system-wide)
#   4. the source inside the PyPI package llama-cpp-python, compiled into DIR (about five minutes on two idle cores)
#
# Only the path goes to standard output, so that $(llama_server.sh) can be used as it is.
set -euo pipefail

dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/llmhub/llama.cpp}
server=$dir/llama-server

say() { echo "llama_server: $*" >&2; }

works() { [[ -x $1 ]] && "$1" --version >/dev/null 2>&1; }

# The first Debian mirror in apt's sources, in the one-line format or in deb822.
debian_mirror() {
  local mirror
  mirror=$(grep -rhoE 'https?://[^ ]+/debian/? ' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
    head -n 1 | tr -d ' ' || true)
  if [[ -z $mirror ]]; then
    mirror=$(grep -rhE '^URIs:' /etc/apt/sources.list.d 2>/dev/null |
      awk '{ print $2 }' | grep -E '/debian/?$' | head -n 1 || true)
  fi
  [[ -n $mirror ]] && echo "$mirror"
}

# The compute library for this processor: the plain x64 one where AVX2 is missing.
cpu_backend() {
  local lib=$1 kind=x64 found
  if grep -qw avx2 /proc/cpuinfo; then kind=haswell; fi
  found=$(find "$lib"/ggml/backends* -name "libggml-cpu-$kind.so" 2>/dev/null | sort | head -n 1)
  [[ -n $found ]] || found=$(find "$lib"/ggml/backends* -name 'libggml-cpu-*.so' | sort | head -n 1)
  echo "$found"
}

# The packages bring their own C library, so the program starts under their loader and the system's does not matter.
write_wrapper() {
  local lib=$1 backend=$2
  cat >"$server" <<WRAPPER
#!/bin/sh
export GGML_BACKEND_PATH=\${GGML_BACKEND_PATH:-$backend}
exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib:$lib/llama" "$dir/root/usr/bin/llama-server" "\$@"
WRAPPER
  chmod +x "$server"
}

from_debian() {
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
  [[ $(dpkg --print-architecture) == amd64 ]] || return 1
  local mirror work=$dir/apt lib=$dir/root/usr/lib/x86_64-linux-gnu deb
  mirror=$(debian_mirror) || return 1

  rm -rf "$work" "$dir/root"
  mkdir -p "$work"/lists/partial "$work"/cache/archives/partial "$work"/debs
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$work/sources.list"
  local options=(
    -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$work/lists" -o Dir::State::status=/dev/null
    -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -qq
  )
  local packages=(
    llama.cpp-tools libllama0 libggml0 libc6 libgcc-s1 libstdc++6 libgomp1 libssl3t64 libzstd1 zlib1g
  )

  say "fetching llama.cpp from Debian sid into $dir"
  apt-get "${options[@]}" update >&2 || return 1
  (cd "$work/debs" && apt-get "${options[@]}" download "${packages[@]}" >&2) || return 1
  for deb in "$work"/debs/*.deb; do
    dpkg -x "$deb" "$dir/root" || return 1
  done
  write_wrapper "$lib" "$(cpu_backend "$lib")"
  rm -rf "$work"
  works "$server"
}

from_pypi() {
  command -v python3 >/dev/null && command -v c++ >/dev/null || return 1
  local bin=$dir/venv/bin src=$dir/src
  local options=(
    -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON -DGGML_OPENMP=OFF
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_OPENSSL=OFF
  )

  say "building llama.cpp from source into $dir"
  python3 -m venv "$dir/venv" || return 1
  "$bin/pip" -q install cmake ninja scikit-build-core >&2 || return 1
  PATH=$bin:$PATH "$bin/pip" -q download --no-deps --no-build-isolation --no-binary llama-cpp-python \
    -d "$dir/dl" llama-cpp-python >&2 || return 1
  mkdir -p "$src"
  tar xzf "$dir"/dl/llama_cpp_python-*.tar.gz -C "$src" --strip-components=1 || return 1
  PATH=$bin:$PATH cmake -S "$src/vendor/llama.cpp" -B "$dir/build" -G Ninja "${options[@]}" >&2 || return 1
  PATH=$bin:$PATH ninja -C "$dir/build" llama-server >&2 || return 1
  cp "$dir/build/bin/llama-server" "$server"
  rm -rf "$dir/build" "$src" "$dir/dl" "$dir/venv"
  works "$server"
}

if found=$(command -v llama-server) && works "$found"; then
  echo "$found"
elif works "$server"; then
  echo "$server"
else
  mkdir -p "$dir"
  if ! from_debian; then
    rm -f "$server"
    if ! from_pypi; then
      say "no llama-server could be had: install llama.cpp so that llama-server is on PATH"
      exit 1
    fi
  fi
  echo "$server"
fi
