#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Fetches the source of lwIP from Debian and prints where it lies. The simulator builds one of its two TCP
# ends from it: Debian's library is built without timestamps and SACK.
#
# apt works in a directory of its own, with its own list: the machine's sources stay as they are. As
# always, apt verifies what it fetches by the archive's signature.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly PACKAGE=lwip BINARY=liblwip-dev

usage() {
  cat <<USAGE
usage: lwip_source.sh [DIR]

  Unpacks the source below DIR (default: lwip in the build directory) unless it is there already. The last
  line of the output is the directory to give to meson as -Dlwip=. Exit status 1: it could not be fetched.
USAGE
}

if [[ ${1-} == -h || ${1-} == --help ]]; then
  usage
  exit 0
fi
(($# <= 1)) || { usage >&2; exit 2; }
dir=${1:-$BUILD/$PACKAGE}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
readonly dir source=$dir/source

if [[ ! -e $source/src/core/tcp_in.c ]]; then
  command -v apt-get >/dev/null || die "needs apt-get"
  command -v dpkg-source >/dev/null || die "needs dpkg-source: apt-get install dpkg-dev"
  private=$dir/apt
  rm -rf "$private" "$source"
  mkdir -p "$private/lists/partial" "$private/cache/archives/partial" "$private/files"
  # The archive that gave this machine the library has the source too.
  # Lines: "NAME | VERSION | URI SUITE/COMPONENT ARCH Packages".
  origin=$(apt-cache madison "$BINARY" | awk -F ' *[|] *' 'NF == 3 { print $3; exit }')
  [[ -n $origin ]] || die "apt knows no $BINARY"
  read -r uri place _ <<<"$origin"
  keys=/usr/share/keyrings/debian-archive-keyring.gpg
  signed=
  [[ ! -e $keys ]] || signed="[signed-by=$keys] "
  echo "deb-src $signed$uri ${place%/*} ${place##*/}" >"$private/sources.list"
  options=(-qq -o Dir::Etc::SourceList="$private/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$private/lists" -o Dir::Cache="$private/cache" -o APT::Sandbox::User=root)
  { apt-get "${options[@]}" update &&
    (cd "$private/files" && apt-get "${options[@]}" source --download-only "$PACKAGE") &&
    dpkg-source --no-check --no-copy -x "$private"/files/*.dsc "$source.part"; } </dev/null >"$private/log" 2>&1 || {
    tail -n 15 "$private/log" >&2
    die "apt could not fetch the source package $PACKAGE"
  }
  # Only a complete copy gets the final name.
  mv "$source.part" "$source"
  rm -rf "$private"
fi
echo "$source"
