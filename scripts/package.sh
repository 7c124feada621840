#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The Debian package of this tree.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<USAGE
usage: package.sh [--here | --check [RELEASE...]]

  package.sh          builds the package for this machine's release, in $BUILD/package, and has lintian look at it.
                      Installs what the build needs, with apt, as root.
  package.sh --here   as root: the same with the program that $BUILD holds, then installs, runs, upgrades and removes
                      the package under a systemd of its own, of which nothing stays on this machine. Half a minute.
  package.sh --check  as root: builds it in a chroot of each release (bookworm, trixie); installs, runs, upgrades and
                      removes it in another, fresh one (scripts/debian.sh makes both). A quarter of an hour.
USAGE
}

WORK=$BUILD/package

# lay_out DIR: a source tree of the package.
lay_out() {
  local dir=$1 version package depends=
  version=$(sed -n "s/^  version: '\(.*\)',/\1/p" "$ROOT/meson.build")
  mkdir -p "$dir"
  (cd "$ROOT" && tar -cf - include src meson.build meson.options meson_options.txt LICENSE README.md CHANGELOG.md docs scripts) |
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
synproxy ($version-1) unstable; urgency=medium

  * See CHANGELOG.md.

 -- The synproxy authors <synproxy@synproxy.invalid>  $(date -R -d "@${SOURCE_DATE_EPOCH:-$(stat -c %Y "$ROOT/CHANGELOG.md")}")
CHANGELOG
}

# Prints the path of the package. With SYNPROXY_PREBUILT nothing is compiled.
build() {
  local options=
  rm -rf "$WORK"
  mkdir -p "$WORK"
  lay_out "$WORK/synproxy"
  # That program has no debug information that could be put into a package of its own.
  [[ -z ${SYNPROXY_PREBUILT-} ]] || options=noautodbgsym
  (cd "$WORK/synproxy" && DEB_BUILD_OPTIONS=$options dpkg-buildpackage -us -uc -b -j"$(nproc)") </dev/null >"$WORK/log" 2>&1 ||
    { tail -n 30 "$WORK/log" >&2; die "the package does not build (log: $WORK/log)"; }
  lintian --fail-on error,warning "$WORK"/*.changes >&2 || die "lintian complains"
  rm -rf "$WORK/synproxy"
  ls "$WORK"/synproxy_*.deb
}

case ${1-} in
  -h | --help) usage ;;
  '')
    install_missing "${PACKAGES_BUILD[@]}" "${PACKAGES_PACKAGE[@]}"
    build
    ;;
  --here)
    (($# == 1)) || { usage >&2; exit 2; }
    need_root "it installs the package in namespaces"
    install_missing "${PACKAGES_BUILD[@]}" "${PACKAGES_PACKAGE[@]}" "${PACKAGES_INSTALLED[@]}"
    [[ -f $BUILD/build.ninja ]] || die "$BUILD holds no build; run scripts/test.sh quick first" 2
    ninja -C "$BUILD" synproxy src/control/synproxy.8 src/control/synproxy.conf.5 src/control/synproxy >/dev/null
    deb=$(SYNPROXY_PREBUILT=$(cd "$BUILD" && pwd) build)
    echo "built: OK, $deb"
    "$ROOT/scripts/package/throwaway.sh" "$ROOT/scripts/package/try.sh" "$deb" "$BUILD"
    ;;
  --check)
    shift
    need_root "it makes chroots"
    (($# > 0)) || set -- bookworm trixie
    for release in "$@"; do
      say "$release: building"
      "$ROOT/scripts/debian.sh" "$release" ./scripts/package.sh
      fresh=$BUILD/installed
      rm -rf --one-file-system "$fresh/debian/$release"
      SYNPROXY_BUILD=$fresh "$ROOT/scripts/debian.sh" "$release" true
      mkdir -p "$fresh/debian/$release/build"
      cp "$BUILD/debian/$release/build/package"/synproxy_*.deb "$fresh/debian/$release/build/synproxy.deb"
      say "$release: installing"
      SYNPROXY_BUILD=$fresh "$ROOT/scripts/debian.sh" "$release" ./scripts/package/try_fresh.sh /build/synproxy.deb
    done
    ;;
  *) usage >&2; exit 2 ;;
esac
