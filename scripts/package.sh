#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The Debian package of this tree.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<USAGE
usage: package.sh [--check [RELEASE...]]

  package.sh           builds the package for this machine's release, in $BUILD/package, and has lintian look at it.
                       Installs what the build needs, with apt, as root.
  package.sh --check   as root: in a chroot of each release (bookworm, trixie) builds, installs, runs and removes it
                       (scripts/debian.sh makes the chroots). Ten minutes and more; no part of scripts/test.sh.
USAGE
}

# What the build of the package needs besides.
PACKAGES_PACKAGE=(build-essential debhelper lintian adduser)

# lay_out DIR: a source tree of the package, made from the files that Git knows, or from all of them.
lay_out() {
  local dir=$1 version package depends=
  version=$(sed -n "s/^  version: '\(.*\)',/\1/p" "$ROOT/meson.build")
  mkdir -p "$dir"
  (cd "$ROOT" && tar -cf - include src meson.build meson.options meson_options.txt LICENSE README.md docs scripts) |
    tar -xf - -C "$dir"
  cp -r "$ROOT/scripts/package/debian" "$dir/debian"
  for package in "${PACKAGES_BUILD[@]}"; do
    # dpkg's rule: a compiler is there.
    [[ $package == g++ ]] || depends+="${depends:+, }$package"
  done
  sed "s/@BUILD_DEPENDS@/$depends/" "$dir/debian/control.in" >"$dir/debian/control"
  rm "$dir/debian/control.in"
  sed 's/^$/./; s/^/ /' "$ROOT/LICENSE" >>"$dir/debian/copyright"
  cat >"$dir/debian/changelog" <<CHANGELOG
synproxy ($version) unstable; urgency=medium

  * See CHANGELOG.md.

 -- The synproxy authors <synproxy@localhost.localdomain>  $(date -R -d "@${SOURCE_DATE_EPOCH:-$(stat -c %Y "$ROOT/CHANGELOG.md")}")
CHANGELOG
}

# Prints the path of the package.
build() {
  local work=$BUILD/package
  rm -rf "$work"
  mkdir -p "$work"
  lay_out "$work/synproxy"
  (cd "$work/synproxy" && dpkg-buildpackage -us -uc -b -j"$(nproc)") >"$work/log" 2>&1 ||
    { tail -n 30 "$work/log" >&2; die "the package does not build (log: $work/log)"; }
  # No bug of Debian's tracker is closed by a first version.
  lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$work"/*.changes >&2 ||
    die "lintian complains"
  ls "$work"/synproxy_*.deb
}

# In a fresh chroot: what a user does with the package.
try() {
  local deb=$1 log
  log=$(mktemp)
  apt-get install -y --no-install-recommends "$deb" iproute2 ethtool curl python3 systemd man-db groff-base \
    >"$log" 2>&1 </dev/null || { tail -n 15 "$log" >&2; die "cannot be installed"; }
  say "installed"
  synproxy --version
  getent passwd synproxy >/dev/null || die "no user synproxy"
  man --warnings -E UTF-8 -l -Tutf8 -Z /usr/share/man/man8/synproxy.8.gz 2>&1 >/dev/null | (! grep .) || die "man page"
  man --warnings -E UTF-8 -l -Tutf8 -Z /usr/share/man/man5/synproxy.conf.5.gz 2>&1 >/dev/null | (! grep .) || die "man page"
  bash -nc 'source /usr/share/bash-completion/completions/synproxy'
  local unit
  unit=$(dpkg -L synproxy | grep '/synproxy@.service$')
  "$ROOT/scripts/check_unit.sh" "$unit" /usr/bin/synproxy
  "$ROOT/scripts/package/debian/tests/serves"
  DEBIAN_FRONTEND=noninteractive apt-get purge -y synproxy >"$log" 2>&1 </dev/null ||
    { tail -n 15 "$log" >&2; die "cannot be removed"; }
  [[ ! -e /usr/bin/synproxy && -z $(find / -xdev -name 'synproxy@*' -not -path "/proc/*" -not -path "$ROOT/*" -not -path "$BUILD/*") ]] ||
    die "something stays after its removal"
  say "removed"
}

case ${1-} in
  -h | --help) usage ;;
  '')
    install_missing "${PACKAGES_BUILD[@]}" "${PACKAGES_PACKAGE[@]}"
    build
    ;;
  --inside)
    install_missing "${PACKAGES_BUILD[@]}" "${PACKAGES_PACKAGE[@]}"
    deb=$(build)
    say "built $deb"
    try "$deb"
    ;;
  --check)
    shift
    need_root "it makes chroots"
    (($# > 0)) || set -- bookworm trixie
    for release in "$@"; do
      say "$release"
      "$ROOT/scripts/debian.sh" "$release" ./scripts/package.sh --inside
    done
    ;;
  *) usage >&2; exit 2 ;;
esac
