#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What a user does with the package, under a systemd that throwaway.sh has started.
# Usage: throwaway.sh try.sh DEB [BUILD-DIRECTORY]
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")

dpkg -i "$1" >/dev/null
[[ -z $(systemctl list-units --no-legend 'synproxy*@*') ]] || { echo "try: the installation starts something" >&2; exit 1; }
"$here/look.sh"
"$here/debian/tests/serves.sh"
"$here/debian/tests/service.py"
"$here/upgrade.py" "$1"
[[ -z ${2-} ]] || "$here/meson_install.py" "$2"
