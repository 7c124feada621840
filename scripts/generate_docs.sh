#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Writes docs/flags.md, docs/counters.md and docs/metrics.md anew from the lists in the program.
# Usage: generate_docs.sh [BUILD_DIRECTORY]   (default: build/, which Meson has set up)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${1:-$root/build}

if [[ ! -f $build/build.ninja ]]; then
  echo "${0##*/}: $build is no build directory; run: meson setup $build" >&2
  exit 2
fi
ninja -C "$build" src/control/generate_docs >/dev/null
mkdir -p "$root/docs"
for page in flags counters metrics; do
  # Whole or not at all: a failure leaves the page that was there.
  "$build/src/control/generate_docs" "$page" >"$build/$page.md"
  mv "$build/$page.md" "$root/docs/$page.md"
done
