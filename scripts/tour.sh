#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Walks through an attack as its operator does, in network namespaces that are gone at the end: a flood is seen, a greedy
# source is found, a limit is turned on and bites, what it drops is captured and read, a report is printed. Every step is
# checked; it is the case of tests/e2e/cases_tour.py.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ ${1-} == -h || ${1-} == --help ]]; then
  echo "usage: tour.sh   (as root; half a minute; leaves its log, screenshots and a capture in build/tour/)"
  exit 0
fi
(($# == 0)) || die "takes no arguments, not even $1" 2
need_root "it makes network namespaces and sends raw packets"
[[ -x $ROOT/build/synproxy ]] || die "there is no build/synproxy yet; run ./scripts/test.sh quick first" 2

/usr/bin/python3 "$ROOT/tests/e2e/run.py" a_tour_through_an_attack_as_its_operator_sees_it
cat "$ROOT/build/tour/tour.txt"
echo "tour: the log, the screenshots, the capture and the report are in build/tour/"
