#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Tries the package in a fresh chroot (debian.sh): with apt and what it depends on alone, then as try.sh does.
# Usage: try_fresh.sh DEB
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

deb=$1
log=$(mktemp)
quietly() { DEBIAN_FRONTEND=noninteractive "$@" </dev/null >"$log" 2>&1 || { tail -n 15 "$log" >&2; die "$* fails"; }; }

quietly apt-get update
quietly apt-get install -y --no-install-recommends "$deb"
synproxy --version
getent passwd synproxy >/dev/null || die "no user synproxy"
quietly apt-get install -y --no-install-recommends "${PACKAGES_INSTALLED[@]}"
# Where there is no systemd, the program serves too.
"$ROOT/scripts/package/debian/tests/serves.sh"
quietly apt-get purge -y synproxy
[[ ! -e /usr/bin/synproxy && ! -e /etc/synproxy ]] || die "something stays after the purge"
say "installed, run and purged by apt; now under systemd"
"$ROOT/scripts/package/throwaway.sh" "$ROOT/scripts/package/try.sh" "$deb"
