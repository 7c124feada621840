#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The units of the service, as systemd's own tools see it: no complaint, and an exposure of 2.0 or better.
# Usage: check_unit.sh UNIT PROGRAM; exit code 77 where there is no systemd-analyze.
set -euo pipefail

unit=$1 program=$2
command -v systemd-analyze >/dev/null || exit 77
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# The program is not installed yet.
for name in synproxy synproxy-bypass; do
  sed -E "s,=[^ ]*/synproxy ,=$program ,; s,^ConditionPathExists=.*,," "${unit%/*}/$name@.service" |
    tee "$dir/$name@web.service" >"$dir/$name@.service"
done
complaints=$(systemd-analyze verify --man=no "$dir"/*@web.service 2>&1 | grep -F synproxy || true)
[[ -z $complaints ]] || { printf '%s\n' "$complaints" >&2; exit 1; }
systemd-analyze security --offline=yes --no-pager --threshold=20 "$dir/synproxy@.service" >"$dir/out" ||
  { tail -n 3 "$dir/out" >&2; exit 1; }
tail -n 2 "$dir/out"
