#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Checks in the built program what makes a memory error harder to use.
# Usage: check_hardening.sh PROGRAM DIRECTORY-OF-OBJECTS...
#
# The directories hold the objects of what no packet passes through.
set -euo pipefail
command -v readelf >/dev/null || { echo "no readelf"; exit 77; }

program=$1
status=0
# expect WHAT PATTERN TEXT
expect() {
  grep -qE "$2" <<<"$3" || { echo "$program lacks $1"; status=1; }
}

dynamic=$(readelf -dW "$program")
segments=$(readelf -lW "$program")
expect 'a place of its own at each start (PIE)' 'FLAGS_1.*PIE' "$dynamic"
expect 'read-only relocations (RELRO)' 'GNU_RELRO' "$segments"
expect 'binding at the start (BIND_NOW)' 'FLAGS_1.*NOW' "$dynamic"
expect 'a stack that is not executable' 'GNU_STACK.* RW ' "$segments"
expect 'FORTIFY_SOURCE' '__[a-z]+_chk(@|$| )' "$(readelf --dyn-syms -W "$program" | grep -v __stack_chk_fail)"

shift
asserts=0  # directories that have any; a small one may call no container
for directory; do
  program=$directory
  objects=$(find "$directory" -name '*.o')
  symbols=$(xargs readelf -sW <<<"$objects")
  expect 'stack protectors' 'UND __stack_chk_fail' "$symbols"
  ! grep -qE 'UND _ZSt.*glibcxx_assert_fail' <<<"$symbols" || asserts=$((asserts + 1))
  if [[ $(uname -m) == x86_64 ]]; then
    # The program as a whole is marked only where libc's start files are too: Debian's are not.
    while read -r object; do
      program=$object
      expect 'landing pads and shadow stacks (CET)' 'IBT, SHSTK' "$(readelf -nW "$object")"
    done <<<"$objects"
  fi
done
((asserts >= 3)) || { echo "assertions of the library's containers are off"; status=1; }
((status != 0)) || echo "all there"
exit "$status"
