#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Checks that every test that docs/conformance.md names exists. Prints those that do not, and then
# fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests=$(grep -rhoE '^TEST(_P|_F)?\([A-Za-z0-9]+, *[A-Za-z0-9]+' tests --include='*.cc' |
  sed -E 's/^TEST(_P|_F)?\(//; s/, */./')
cases=$(grep -hE '^def [a-z0-9_]+' tests/e2e/cases_*.py | sed -E 's/^def ([a-z0-9_]+).*/\1/')
# shellcheck disable=SC2016 # backticks of Markdown
named=$(grep -oE '`([A-Z][A-Za-z0-9]*\.[A-Z][A-Za-z0-9*]*|[a-z0-9]+(_[a-z0-9]+){2,})`' docs/conformance.md |
  tr -d '`' | sort -u)
[[ -n $named ]] || { echo "docs/conformance.md names no test"; exit 1; }

missing=0
while read -r name; do
  case $name in
    *\**) grep -qE "^${name//\*/.*}$" <<<"${tests}" && continue ;;
    *.*) grep -qxF "$name" <<<"$tests" && continue ;;
    *) grep -qxF "$name" <<<"$cases" && continue ;;
  esac
  [[ -e scripts/${name}.sh ]] && continue
  echo "no such test: $name"
  missing=1
done <<<"$named"
exit $missing
