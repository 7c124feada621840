#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Fuzzes the core with libFuzzer under AddressSanitizer and UBSan. Exit code 1: something was found.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# How the time is shared out: a conversation has more to say than a header.
readonly TARGETS=(parser options engine store)
declare -rA SHARE=([parser]=1 [options]=1 [engine]=4 [store]=1)
declare -rA LONGEST=([parser]=1600 [options]=120 [engine]=1600 [store]=516)

usage() {
  cat <<USAGE
usage: fuzz.sh SECONDS [TARGET...]

  SECONDS   of fuzzing in all, on every core; shared out between the targets
  TARGET    ${TARGETS[*]}; all of them when none is named

Each target replays its corpus in tests/fuzz/corpus first. What is found on the way is kept in
build-sanitized/corpus and used by the next run; an input that fails is kept in build-sanitized/findings.
USAGE
}

FINDINGS=$SANITIZED/findings
CORES=$(nproc)
RUNNING=
WORK=
FOUND=0

# shellcheck disable=SC2317 # the traps call it
stop() {
  [[ -z $RUNNING ]] || kill -- "-$RUNNING" 2>/dev/null || true
  exit "$1"
}

# in_group DIRECTORY COMMAND...: in a process group of its own, so that a run that is stopped takes its workers along.
in_group() {
  local directory=$1
  shift
  (cd "$directory" && exec setsid "$@") </dev/null &
  RUNNING=$!
  local status=0
  wait "$RUNNING" || status=$?
  RUNNING=
  return "$status"
}

verdict() {
  echo "$1 fuzz: $2"
  [[ $1 == PASS ]] || FOUND=1
}

# new_findings TARGET DIRECTORY: inputs that failed since the directory was made.
new_findings() { find "$FINDINGS" -name "$1-*" -newer "$2/started"; }

# Why a target failed, on which inputs, and how to see it again.
show_findings() {
  local target=$1 work=$2 file
  cat "$work"/*.log | grep -hE 'ERROR|runtime error|does not hold|Failure|SUMMARY|^ +#[0-9] ' | head -n 20 || true
  new_findings "$target" "$work" | while read -r file; do
    echo "  ${file#"$ROOT"/}"
    echo "  replay: ${SANITIZED#"$ROOT"/}/tests/fuzz/${target}_fuzz ${file#"$ROOT"/}"
  done
}

begin() {
  WORK=$SANITIZED/fuzz-$1
  rm -rf "$WORK"
  mkdir -p "$WORK"
  touch "$WORK/started"
}

replay() {
  local target=$1
  begin "$target"
  if in_group "$WORK" "$SANITIZED/tests/fuzz/${target}_fuzz" -runs=0 -artifact_prefix="$FINDINGS/$target-" \
    "$ROOT/tests/fuzz/corpus/$target" >"$WORK/replay.log" 2>&1; then
    verdict PASS "$target replays its corpus"
  else
    show_findings "$target" "$WORK"
    verdict FAIL "$target replays its corpus (log: $WORK/replay.log)"
  fi
}

fuzz() {
  local target=$1 seconds=$2 corpus=$SANITIZED/corpus/$1 status=0
  begin "$target"
  mkdir -p "$corpus"
  # One job a core, all of them on one corpus; each writes its own log into the working directory.
  in_group "$WORK" "$SANITIZED/tests/fuzz/${target}_fuzz" -jobs="$CORES" -workers="$CORES" \
    -max_total_time="$seconds" -max_len="${LONGEST[$target]}" -len_control=0 -timeout=20 -rss_limit_mb=2048 \
    -reload=5 -print_final_stats=1 -artifact_prefix="$FINDINGS/$target-" \
    "$corpus" "$ROOT/tests/fuzz/corpus/$target" >"$WORK/jobs.out" 2>&1 || status=$?
  local runs covered inputs found
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$WORK"/fuzz-*.log | awk '{n += $1} END {print n + 0}')
  covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$WORK"/fuzz-*.log | sort -n | tail -n 1)
  inputs=$(find "$corpus" -type f | wc -l)
  found=$(new_findings "$target" "$WORK" | wc -l)
  say "$target: $runs runs in $seconds s on $CORES cores, $found findings, ${covered:-0} edges covered, $inputs inputs kept"
  if ((status == 0 && found == 0 && runs > 0)); then
    verdict PASS "$target finds nothing in $seconds s"
  else
    show_findings "$target" "$WORK"
    verdict FAIL "$target: exit code $status, $found findings (logs: $WORK)"
  fi
}

if [[ ${1-} == -h || ${1-} == --help ]]; then
  usage
  exit 0
fi
[[ ${1-} =~ ^[1-9][0-9]{0,6}$ ]] || { usage >&2; exit 2; }
SECONDS_IN_ALL=$1
shift
(($# > 0)) || set -- "${TARGETS[@]}"
total=0
for target in "$@"; do
  [[ -n ${SHARE[$target]-} ]] || die "no target $target; there are: ${TARGETS[*]}" 2
  total=$((total + SHARE[$target]))
done
command -v clang++ >/dev/null || die "needs clang++ with its sanitizers: apt-get install clang libclang-rt-dev" 2

trap 'stop 130' INT
trap 'stop 143' TERM HUP
# Short stacks and a small quarantine: most of what a run costs is allocations.
export ASAN_OPTIONS=${ASAN_OPTIONS:-malloc_context_size=4:quarantine_size_mb=32}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}

mkdir -p "$SANITIZED"
say "building: libFuzzer targets with ASan and UBSan in ${SANITIZED#"$ROOT"/}"
binaries=("${@/%/_fuzz}")
{ meson_sanitized "$SANITIZED" &&
  ninja -C "$SANITIZED" "${binaries[@]/#/tests/fuzz/}"; } >"$SANITIZED/build.log" 2>&1 || {
  tail -n 30 "$SANITIZED/build.log" >&2
  die "the targets do not build (log: $SANITIZED/build.log)"
}
mkdir -p "$FINDINGS"
for target in "$@"; do replay "$target"; done
for target in "$@"; do
  slice=$((SECONDS_IN_ALL * SHARE[$target] / total))
  fuzz "$target" "$((slice > 0 ? slice : 1))"
done
exit "$FOUND"
