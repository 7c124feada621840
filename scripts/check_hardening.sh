#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Checks in the built program what makes a memory error harder to use.
# Usage: check_hardening.sh PROGRAM DIRECTORY-OF-CONTROL'S-OBJECTS
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

objects=$(find "$2" -name '*.o' -exec readelf -sW {} +)
expect 'stack protectors in control' 'UND __stack_chk_fail' "$objects"
expect "assertions of the library's containers in control" 'UND _ZSt.*glibcxx_assert_fail' "$objects"
if [[ $(uname -m) == x86_64 ]]; then
  # The program as a whole is marked only where libc's start files are too: Debian's are not.
  expect 'landing pads and shadow stacks (CET) in control' 'IBT, SHSTK' \
    "$(find "$2" -name '*.o' -exec readelf -nW {} +)"
fi
((status != 0)) || echo "all there"
exit "$status"
