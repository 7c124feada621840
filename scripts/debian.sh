#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Runs a command in another release of Debian: in a chroot below the build directory, made at its first use.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly RELEASES=(bookworm trixie)
readonly NO_MIRROR=3

usage() {
  cat <<USAGE
usage: debian.sh bookworm|trixie [COMMAND...]     as root; without a command: a shell

  debian.sh trixie ./scripts/demo.sh
  debian.sh trixie ./scripts/test.sh unit

In the chroot the tree is /synproxy, and COMMAND starts there. Builds go to /build, so this machine's build
directories stay as they are. The chroot is $BUILD/debian/RELEASE. It is bare at first; the scripts
install what they need. Nothing is mounted outside of it. To get rid of it, remove that directory.

The packages come from the mirror that this machine's apt uses. The exit code is that of COMMAND; it is 3
if the chroot does not exist yet and no mirror answers.
USAGE
}

# enclosed COMMAND...: runs it in mount and process namespaces of its own. When this script ends, for whatever
# reason, every process in them is killed, and the mounts vanish with the last process.
enclosed() {
  setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child "$@"
}

# sources_for RELEASE: apt's sources for it, made from those of this machine, in lines "URI SUITE". apt itself
# reads the sources, in both of their forms: it prints what an update would fetch.
sources_for() {
  local release=$1 uri suite codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
  apt-get update --print-uris 2>/dev/null | sed -n "s,^'\(.*\)/dists/\([^/]*\)/InRelease'.*,\1 \2,p" |
    while read -r uri suite; do
      case ${suite%-*} in
        "$codename" | stable | oldstable) ;;
        *) continue ;;
      esac
      # Debian's cloud images name a file that lists mirrors.
      if [[ $uri == mirror+file:* ]]; then
        uri=$(grep -m 1 -oE '^https?://[^[:space:]]+' "${uri#mirror+file:}") || continue
      fi
      [[ $uri == http?(s)://* ]] || continue
      case $suite in
        *-updates | *-security) echo "${uri%/} $release-${suite##*-}" ;;
        *-*) ;;
        *) echo "${uri%/} $release" ;;
      esac
    done | sort -u
}

# How this machine's apt is told to fetch: proxies, timeouts, dates. Hooks are left out, because their programs are
# not in the chroot, and so are the defaults of each version of apt.
fetch_options() {
  apt-config dump | grep '^Acquire::' | grep -viE '^Acquire::(IndexTargets|CompressionTypes|Changelogs|cdrom)|auto-?detect'
}

# debootstrap fetches with wget, and wget does not know apt's proxy.
use_proxy_of_apt() {
  local proxy=
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  [[ -z $proxy || $proxy == DIRECT ]] || export http_proxy=${http_proxy:-$proxy}
}

# make_chroot RELEASE ROOT. The chroot gets the name ROOT only when it is complete.
make_chroot() {
  local release=$1 root=$2 sources mirror
  command -v debootstrap >/dev/null || die "needs debootstrap: apt-get install debootstrap" 2
  sources=$(sources_for "$release")
  mirror=$(awk -v release="$release" '$2 == release { print $1; exit }' <<<"$sources")
  [[ -n $mirror ]] || die "apt's sources name no Debian mirror to make $release from" "$NO_MIRROR"
  use_proxy_of_apt
  wget -q --spider --tries=2 --timeout=20 "$mirror/dists/$release/InRelease" ||
    die "the mirror that apt's sources name does not answer for $release" "$NO_MIRROR"
  say "making $root"
  rm -rf --one-file-system "$root.part"
  enclosed debootstrap --variant=minbase "$release" "$root.part" "$mirror" </dev/null >"$root.log" 2>&1 || {
    tail -n 5 "$root.log" >&2
    die "debootstrap failed (log: $root.log)"
  }
  awk '{ print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $0, "main" }' <<<"$sources" \
    >"$root.part/etc/apt/sources.list"
  fetch_options >"$root.part/etc/apt/apt.conf.d/90host"
  # Nothing in the chroot has to survive a power cut.
  echo force-unsafe-io >"$root.part/etc/dpkg/dpkg.cfg.d/unsafe-io"
  mkdir "$root.part/synproxy"
  mv "$root.part" "$root"
}

# inside ROOT TREE COMMAND...: process 1 of the namespaces runs it.
inside() {
  local root=$1 tree=$2 status=0 file
  shift 2
  # Mounted on itself: `ip netns` changes how mounts of / propagate, so / has to be a mount point.
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs -o mode=755 tmpfs "$root/run"
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  mount --bind "$tree" "$root/synproxy"
  for file in /etc/resolv.conf /etc/hosts; do
    [[ ! -e $file ]] || cp -L "$file" "$root$file"
  done
  # This machine's environment variables stay outside.
  # shellcheck disable=SC2016 # expanded by that shell
  chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 "TERM=${TERM:-dumb}" \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    SYNPROXY_BUILD=/build SYNPROXY_SANITIZED_BUILD=/build-sanitized SYNPROXY_ASAN_BUILD=/build-asan \
    SYNPROXY_FUZZ_BUILD=/build-fuzz SYNPROXY_SOAK_BUILD=/build-soak \
    /bin/sh -c 'cd /synproxy && exec "$@"' debian.sh "$@" || status=$?
  exit "$status"
}
export -f inside

if [[ ${1-} == -h || ${1-} == --help ]]; then
  usage
  exit 0
fi
(($# > 0)) || { usage >&2; exit 2; }
release=$1
shift
[[ " ${RELEASES[*]} " == *" $release "* ]] || die "no release $release; there are: ${RELEASES[*]}" 2
need_root "it makes a chroot"
(($# > 0)) || set -- /bin/bash

mkdir -p "$BUILD/debian"
root=$(cd "$BUILD/debian" && pwd)/$release
# Two runs that begin at once make one chroot.
(
  flock 9
  [[ -d $root ]] || make_chroot "$release" "$root"
) 9>"$root.lock"
# shellcheck disable=SC2016 # expanded by that shell
enclosed bash -euc 'inside "$@"' debian.sh "$root" "$ROOT" "$@"
