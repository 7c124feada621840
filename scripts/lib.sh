# SPDX-License-Identifier: BSD-3-Clause
# The other scripts source this file. They have set -euo pipefail.
# shellcheck shell=bash disable=SC2034 # the variables are for the callers

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${SYNPROXY_BUILD:-$ROOT/build}
# The sanitizers' tests and the fuzzers share it, because they need the same flags.
SANITIZED=${SYNPROXY_SANITIZED_BUILD:-$ROOT/build-sanitized}
LAB_SH=$ROOT/scripts/lab.sh

# What each command needs, as packages of Debian 12 and 13. A package counts as missing if dpkg does not list it as
# installed: commands in /usr/local come without headers, and maybe in another version.
PACKAGES_BUILD=(g++ clang meson ninja-build pkg-config libdpdk-dev libssl-dev libboost-program-options-dev
  nlohmann-json3-dev prometheus-cpp-dev libmicrohttpd-dev libncurses-dev libsystemd-dev libcap-dev libseccomp-dev libmnl-dev libbpf-dev)
PACKAGES_LAB=(iproute2 ethtool nftables iptables procps nginx curl hping3 python3 util-linux)
PACKAGES_DEMO=(gnuplot-nox)
PACKAGES_UNIT=(dpkg-dev libgtest-dev libgmock-dev libbenchmark-dev)
PACKAGES_QUICK=("${PACKAGES_UNIT[@]}" clang-format)
PACKAGES_BENCH=(libgtest-dev libgmock-dev libbenchmark-dev wrk iperf3 dpdk-dev git)
PACKAGES_VM=(qemu-system-x86 busybox-static)
PACKAGES_OTHER=(debootstrap)
# Builds the Debian package; tries it once it is installed.
PACKAGES_PACKAGE=(build-essential debhelper lintian)
PACKAGES_INSTALLED=(librte-meta-net systemd iproute2 ethtool curl hping3 python3 man-db groff-base util-linux procps)
PACKAGES_TEST=("${PACKAGES_UNIT[@]}" clang libclang-rt-dev clang-format clang-tidy shellcheck pyflakes3
  wrk iperf3 socat dpdk-dev python3-scapy tcpdump tshark prometheus chromium)

die() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit "${2:-1}"
}

# Namespaces, raw sockets and apt need root. Usage: need_root "what for"
need_root() {
  [[ $EUID -eq 0 ]] || die "must run as root ($1); try: sudo $0" 2
}

# One line per step, with the seconds since the script began.
say() {
  printf '[%3ds] %s\n' "$SECONDS" "$*"
}

is_installed() {
  local state
  state=$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) || return 1
  [[ $state == installed ]]
}

# Several packages provide nginx and exclude each other. Any of them will do.
is_satisfied() {
  case $1 in
    nginx) command -v nginx >/dev/null ;;
    *) is_installed "$1" ;;
  esac
}

# Installs those of the named packages that are missing, with apt. Touches nothing if all are there.
install_missing() {
  local package missing=()
  for package in "$@"; do
    is_satisfied "$package" || missing+=("$package")
  done
  if ((${#missing[@]} == 0)); then
    say "packages: all there"
    return
  fi
  command -v apt-get >/dev/null || die "needs these packages, and there is no apt-get: ${missing[*]}" 2
  need_root "to install packages that are missing: ${missing[*]}"
  say "packages: installing ${missing[*]}"
  local log
  log=$(mktemp)
  # A server package must not start its service on the user's machine: policy-rc.d 101 forbids it.
  local policy=/usr/sbin/policy-rc.d made_policy=
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    made_policy=1
  fi
  local failed=
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    "${missing[@]}"; } </dev/null >"$log" 2>&1 || failed=1
  [[ -z $made_policy ]] || rm -f "$policy"
  if [[ -n $failed ]]; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    die "apt could not install: ${missing[*]}"
  fi
  rm -f "$log"
}

# Configures the build directory DIR, or changes the options of one that exists. Usage: meson_dir DIR -Dopt=...
meson_dir() {
  local dir=$1
  shift
  if [[ -f $dir/build.ninja ]]; then
    # `meson configure` would not know an option that is newer than the directory.
    meson setup --reconfigure "$dir" "$@"
  else
    meson setup "$dir" "$ROOT" "$@"
  fi
}

# Does the same for the core and its tests under AddressSanitizer and UBSan, with libFuzzer's targets.
meson_sanitized() {
  # b_lundef=false, because the sanitizers' own symbols are resolved when the program starts. A stack trace needs the
  # lines of the debug information and no more; optimisation makes the long scenario tests end in time.
  CC=clang CXX=clang++ meson_dir "$@" -Db_sanitize=address,undefined -Db_lundef=false -Dfuzzers=true \
    -Ddataplane=false -Dtests=true -Dbenches=false -Doptimization=2 -Ddebug=false "-Dcpp_args=-gline-tables-only -fno-sanitize-recover=all" -Db_ndebug=false
}
