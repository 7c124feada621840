#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Command two: builds everything and runs every check and test. The last line is `N passed, N failed`.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly STAGES=(checks unit sanitized tidy e2e vm demo package fuzz other)
readonly ROOTLESS=(quick checks sanitized tidy fuzz)
# Stages that wait for most of their time run beside stages that only need the cores: vm from the start, and e2e, demo
# and package beside stages of which no test has a clock. Those get what is left, tidy beside the others of them: where
# one has too little to do for all cores, the other one has.
readonly BUSY=(checks unit sanitized tidy fuzz)
readonly CLOCKLESS=(sanitized tidy fuzz)

usage() {
  cat <<USAGE
usage: test.sh [STAGE...]     without a stage: all of them but quick

  quick      the loop for work on the code: format, unit and scenario tests

  checks     format, shell and Python scripts, includes run one way, every public header compiles alone
  unit       unit, scenario and dataplane tests, warnings are errors
  sanitized  unit and scenario tests under AddressSanitizer and UBSan
  fuzz       every fuzz target replays its corpus, then half a minute of fuzzing in all
  tidy       clang-tidy over include/ and src/
  e2e        real clients and servers in network namespaces
  vm         the proxy on emulated PCI devices, inside a virtual machine; skipped where QEMU or a
             Debian kernel cannot be had
  demo       demo.sh runs to its end and leaves nothing behind
  package    the Debian package is built, installed, run under a systemd of its own, upgraded and removed; skipped where
             no namespaces can be made
  other      unit, in the other supported release of Debian; skipped where no mirror answers

As root, but for ${ROOTLESS[*]}. SYNPROXY_BUILD and SYNPROXY_SANITIZED_BUILD name other build directories.
USAGE
}

JOBS=$(nproc)
declare -A BUILT=()  # targets of $BUILD that are up to date

# --- bookkeeping ------------------------------------------------------------------------------------

passed() { echo "PASS $1" >>"$TALLY"; }
failed() {
  echo "FAIL $1" >>"$TALLY"
  echo "FAIL $1"
}

finish() {
  local status=$? good bad skipped chain
  trap - EXIT
  trap '' INT TERM HUP
  if [[ -n $CHROOT ]]; then
    kill -TERM -- "-$CHROOT" 2>/dev/null || true
    wait "$CHROOT" || true
  fi
  for chain in "${!BESIDE[@]}"; do
    kill -TERM -- "-${BESIDE[$chain]}" 2>/dev/null || true
    wait "${BESIDE[$chain]}" || true
    collect "$chain"
  done
  # If the script ended early, that is a failure. The closing line is printed in any case.
  ((status == 0)) || failed "test.sh ended early, with exit code $status"
  good=$(grep -c '^PASS ' "$TALLY" || true)
  bad=$(grep -c '^FAIL ' "$TALLY" || true)
  skipped=$(grep -c '^SKIP ' "$TALLY" || true)
  if ((good + bad == 0)); then
    failed "nothing was tested"
    bad=1
  fi
  if ((bad > 0)); then
    printf '\nfailed:\n'
    sed -n 's/^FAIL /  /p' "$TALLY"
  fi
  if ((skipped > 0)); then
    printf '\nskipped:\n'
    sed -n 's/^SKIP /  /p' "$TALLY"
  fi
  # The test.sh that runs this one in another release reads it.
  [[ -z ${SYNPROXY_TALLY-} ]] || cp "$TALLY" "$SYNPROXY_TALLY"
  printf '\nseconds:\n'
  sed 's/^/  /' "$TOOK"
  printf '  %s %d\n' "in all" "$SECONDS"
  rm -rf "$WORK"
  printf '\n%d passed, %d failed\n' "$good" "$bad"
  ((bad == 0)) || exit 1
  exit 0
}

# logged NAME COMMAND...: runs it as one case; shows its output only if it fails.
logged() {
  local name=$1
  shift
  if "$@" </dev/null >"$WORK/log" 2>&1; then
    passed "$name"
  else
    tail -n 60 "$WORK/log"
    failed "$name"
    return 1
  fi
}

# each NAME COMMAND: runs COMMAND in parallel, with some lines of standard input as its last arguments; where it fails, with
# each of them alone. Each line is a case.
each() {
  local name=$1 out=$WORK/each
  shift
  rm -rf "$out"
  mkdir "$out"
  # shellcheck disable=SC2016 # expanded by that shell
  NAME=$name OUT=$out WORDS=$# xargs -r -d '\n' -P "$JOBS" -n 16 bash -c '
    command=("${@:1:WORDS}")
    shift "$WORDS"
    if "${command[@]}" "$@" </dev/null >"$OUT/$$" 2>&1; then
      printf "PASS $NAME: %s\n" "$@" >"$OUT/$$.result"
      exit
    fi
    found=
    for file; do
      log=$OUT/${file//\//%}
      if "${command[@]}" "$file" </dev/null >"$log" 2>&1; then
        echo "PASS $NAME: $file" >"$log.result"
      else
        echo "FAIL $NAME: $file" >"$log.result"
        found=1
      fi
    done
    [[ -n $found ]] || echo "FAIL $NAME: together: $*" >"$OUT/$$.result"' each "$@"
  local result
  for result in "$out"/*.result; do
    [[ -e $result ]] || { failed "$name: nothing to check"; return; }
    if grep -q '^FAIL' "$result"; then
      grep -E -A 12 '(error|warning):' "${result%.result}" || tail -n 20 "${result%.result}"
      cat "$result"
    fi
    cat "$result" >>"$TALLY"
  done
}

sources() {
  (cd "$ROOT" && find "$@" -type f \( -name '*.cc' -o -name '*.h' \) | sort)
}

# --- stages -----------------------------------------------------------------------------------------

headers_alone() {
  local header
  for header; do
    printf '#include "%s"\n' "${header#include/}" |
      g++ -std=c++20 -fsyntax-only -Wall -Wextra -Wconversion -Wshadow -Werror -I include -x c++ - || return 1
  done
}
export -f headers_alone

# Ignores `paths`: it is imported for its side effect.
python_sound() {
  local found
  found=$(pyflakes3 "$@" | grep -v " 'paths' imported but unused$") || return 0
  echo "error: $found"
  return 1
}
export -f python_sound

# Other versions of clang-format break lines elsewhere.
check_format() {
  if [[ $(clang-format --version) == *' version 14.'* ]]; then
    sources include src tests bench | each "format" clang-format --dry-run -Werror
  else
    echo "SKIP format: the tree is formatted with clang-format 14, as Debian 12 has it" >>"$TALLY"
  fi
}

stage_checks() {
  say "checks: format, scripts, headers"
  check_format
  find scripts .ci tests -type f \( -name '*.sh' -o -path .ci/run \) | sort |
    each "shellcheck" shellcheck -x
  # shellcheck disable=SC2016 # expanded by that shell
  find bench scripts tests -type f -name '*.py' | sort | each "python" bash -c 'python_sound "$@"' sound
  logged "includes run one way" scripts/check_layers.py || true
  logged "what stands in quotes stays as it is in joined sources" scripts/check_joined.py || true
  logged "the tests that docs/conformance.md names exist" scripts/check_conformance.sh || true
  # shellcheck disable=SC2016 # expanded by that shell
  sources include | each "header compiles alone" bash -c 'headers_alone "$@"' alone
}

# run_meson_tests DIR LABEL TIMEOUT-FACTOR [OPTION...]
run_meson_tests() {
  local dir=$1 label=$2 factor=$3 log=$1/meson-logs/testlog.json
  shift 3
  rm -f "$log"
  meson test -C "$dir" --num-processes "$JOBS" -t "$factor" --print-errorlogs "$@" \
    </dev/null >"$WORK/log" 2>&1 || tail -n 100 "$WORK/log"
  if [[ ! -s $log ]]; then
    tail -n 30 "$WORK/log"
    failed "$label: the tests did not run"
    return
  fi
  /usr/bin/python3 scripts/count_results.py "$log" "$label" >"$WORK/counted"
  grep '^FAIL ' "$WORK/counted" || true
  cat "$WORK/counted" >>"$TALLY"
  say "$label: $(grep -c '^PASS ' "$WORK/counted" || true) passed, $(grep -c '^FAIL ' "$WORK/counted" || true) failed"
}

# build NAME DIR TARGET COMMAND...: COMMAND configures DIR, ninja builds TARGET in it.
build() {
  local name=$1 dir=$2 target=$3
  shift 3
  say "building: $name"
  logged "$name: configured" "$@" &&
    logged "$name: built" ninja -k 0 -C "$dir" "$target"
}

# Finds lwIP for the simulator. Sets LWIP to its source, or leaves it empty and says so, once.
find_lwip() {
  [[ -z ${LWIP+set} ]] || return 0
  if LWIP=$("$ROOT/scripts/lwip_source.sh" 2>"$WORK/lwip" | tail -n 1); then
    say "lwIP: $LWIP"
  else
    LWIP=
    echo "SKIP the simulator's lwIP end: $(tail -n 1 "$WORK/lwip")" | tee -a "$TALLY"
  fi
}

# with_warnings_as_errors TARGET: builds it in the directory of all stages that need no other flags. TARGET: the
# program or all.
with_warnings_as_errors() {
  [[ -z ${BUILT[$1]-}${BUILT[all]-} ]] || return 0
  find_lwip
  build "$1, warnings are errors" "$BUILD" "$1" strict_build && BUILT[$1]=1
}

strict_build() {
  local here=true
  # The other release only shows that the code and its tests build and pass there, and each file by itself.
  [[ -z ${SYNPROXY_TALLY-} ]] || here=false
  meson_dir "$BUILD" "-Dlwip=$LWIP" -Dwerror=true -Dtests=true -Dbenches=$here -Dtraced=$here -Djoined=$here \
    -Ddataplane=true
}

# Builds only what the tests of these two suites need.
stage_quick() {
  say "quick: format, unit and scenario tests"
  check_format
  find_lwip
  logged "quick: configured" strict_build || return 0
  run_meson_tests "$BUILD" "quick" 3 --suite unit --suite scenario
}

stage_unit() {
  with_warnings_as_errors all || return 0
  run_meson_tests "$BUILD" "unit" 3 --no-rebuild
  [[ -n ${SYNPROXY_TALLY-} ]] || bench_smoke
}

# Runs the shortest steps and compares the result with itself: nothing may count as slower. This tests the scripts only.
bench_smoke() {
  local figures=$WORK/bench.json
  say "bench.sh, its shortest step"
  SYNPROXY_BUILD=$BUILD logged "bench.sh measures" scripts/bench.sh --quick --only micro --json "$figures" || return 0
  logged "bench.sh compares" scripts/bench.sh --compare "$figures" "$figures" || true
  logged "bench.sh draws its report" grep -q '<svg' "$BUILD/bench/report.html" || true
}

stage_sanitized() {
  find_lwip
  build "sanitizer build" "$SANITIZED" all \
    meson_sanitized "$SANITIZED" "-Dlwip=$LWIP" -Dwerror=true || return 0
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1 \
    run_meson_tests "$SANITIZED" "sanitized" 10 --no-rebuild
}

stage_fuzz() {
  say "fuzzing for half a minute"
  local status=0
  scripts/fuzz.sh 30 </dev/null >"$WORK/fuzz" 2>&1 || status=$?
  grep -v '^PASS ' "$WORK/fuzz" || true
  grep -E '^(PASS|FAIL) ' "$WORK/fuzz" >>"$TALLY" || true
  # Without a verdict fuzz.sh ended early: it did not build, or was stopped.
  ((status == 0)) || grep -q '^FAIL ' "$WORK/fuzz" || failed "fuzz.sh ended early, with exit code $status"
}

stage_tidy() {
  with_warnings_as_errors synproxy || return 0
  say "clang-tidy over src/ and include/"
  scripts/tidy.py "$BUILD" </dev/null >"$WORK/tidy" 2>&1 || true
  grep -v '^PASS ' "$WORK/tidy" || true
  grep -E '^(PASS|FAIL) ' "$WORK/tidy" >>"$TALLY" || failed "clang-tidy did not run"
}

# tally_report NAME REPORT EXIT-CODE: counts the cases of a runner that writes its results as JSON.
tally_report() {
  if [[ ! -s $2 ]]; then
    failed "$1: ended early, with exit code $3"
    return
  fi
  /usr/bin/python3 -c '
import json, sys
for name, why in json.load(open(sys.argv[2])).items():
    print("PASS" if why is None else "FAIL", f"{sys.argv[1]}: {name}")' "$1" "$2" >>"$TALLY"
}

stage_e2e() {
  with_warnings_as_errors synproxy || return 0
  say "end to end: real clients in network namespaces"
  local status=0
  SYNPROXY_BUILD=$BUILD /usr/bin/python3 tests/e2e/run.py --report "$WORK/e2e.json" </dev/null || status=$?
  tally_report e2e "$WORK/e2e.json" "$status"
}

stage_vm() {
  if ! (install_missing "${PACKAGES_VM[@]}"); then
    echo "SKIP vm: QEMU cannot be installed" >>"$TALLY"
    return
  fi
  with_warnings_as_errors synproxy || return 0
  say "vm: emulated NICs in a virtual machine"
  local status=0
  SYNPROXY_BUILD=$BUILD /usr/bin/python3 tests/vm/run.py --report "$WORK/vm.json" </dev/null |
    tee "$WORK/vm.log" || status=$?
  if ((status == 3)); then
    echo "SKIP vm: $(tail -n 1 "$WORK/vm.log")" >>"$TALLY"
    return
  fi
  tally_report vm "$WORK/vm.json" "$status"
}

labs() { find /run/netns /run/synproxy-lab -mindepth 1 -maxdepth 1 -name 'syndemo-*' 2>/dev/null || true; }

stage_demo() {
  with_warnings_as_errors synproxy || return 0
  say "demo.sh"
  local status=0 begin=$SECONDS
  SYNPROXY_BUILD=$BUILD "$ROOT/scripts/demo.sh" </dev/null || status=$?
  if ((status == 0)); then passed "demo ends well"; else failed "demo ends with exit code $status"; fi
  if [[ -s $BUILD/demo.svg ]]; then passed "demo draws its chart"; else failed "demo draws its chart"; fi
  if [[ -z $(labs) ]]; then passed "demo leaves nothing behind"; else failed "demo leaves behind: $(labs)"; fi
  say "demo.sh took $((SECONDS - begin)) s"
}

# The package of this release, with the program that has just been built. package.sh --check builds it for both.
stage_package() {
  with_warnings_as_errors synproxy || return 0
  say "package: built, installed, upgraded, removed"
  local status=0 part
  SYNPROXY_BUILD=$BUILD scripts/package.sh --here </dev/null >"$WORK/package" 2>&1 || status=$?
  cat "$WORK/package"
  for part in built look serves service upgrade "meson install"; do
    if grep -q "^$part: OK" "$WORK/package"; then
      passed "package: $part"
    elif ((status == 3)); then
      echo "SKIP package: $(tail -n 1 "$WORK/package")" >>"$TALLY"
      return
    else
      failed "package: $part"
      return
    fi
  done
  ((status == 0)) || failed "package.sh ends with exit code $status"
}

other_release() {
  # shellcheck source=/dev/null
  if [[ $(. /etc/os-release && echo "${VERSION_CODENAME-}") == trixie ]]; then echo bookworm; else echo trixie; fi
}

# Makes the chroot of the other release with what `unit` needs there. Ends with 3 where no mirror answers, as debian.sh
# does.
make_chroot() {
  # shellcheck disable=SC2016 # expanded by that shell
  "$ROOT/scripts/debian.sh" "$(other_release)" bash -euc 'source scripts/lib.sh
    install_missing "${PACKAGES_BUILD[@]}" "${PACKAGES_UNIT[@]}" "${PACKAGES_LAB[@]}"' </dev/null >"$WORK/chroot" 2>&1
}

# The chroot waits for the network more than for a core, so it is made beside the other stages.
begin_chroot() {
  (install_missing "${PACKAGES_OTHER[@]}") || return 0  # the stage says so
  set -m
  make_chroot &
  CHROOT=$!
  set +m
}

# Code that compiles and passes in one of the two supported releases may fail in the other.
stage_other() {
  local other status=0 tally
  other=$(other_release)
  say "other: unit in $other"
  if ! (install_missing "${PACKAGES_OTHER[@]}"); then
    echo "SKIP other: debootstrap cannot be installed" >>"$TALLY"
    return
  fi
  if [[ -n $CHROOT ]]; then
    wait "$CHROOT" || status=$?
    CHROOT=
  else
    make_chroot || status=$?
  fi
  if ((status == 3)); then
    echo "SKIP other: $(tail -n 1 "$WORK/chroot")" >>"$TALLY"
    return
  elif ((status != 0)); then
    tail -n 20 "$WORK/chroot"
    failed "other: debian.sh $other ends with exit code $status"
    return
  fi
  tally=$BUILD/debian/$other/tally
  rm -f "$tally"
  # A name before each line keeps the closing line of that test.sh from being taken for ours.
  "$ROOT/scripts/debian.sh" "$other" env SYNPROXY_TALLY=/tally scripts/test.sh unit </dev/null 2>&1 |
    sed -u "s/^/$other: /" || status=$?
  [[ ! -e $tally ]] || sed "s/^[A-Z]* /&$other: /" "$tally" >>"$TALLY"
  ((status == 0)) || grep -qs '^FAIL ' "$tally" || failed "other: ended early, with exit code $status"
}

# --- order ------------------------------------------------------------------------------------------

has_stage() {
  local wanted=$1
  shift
  [[ " $* " == *" $wanted "* ]]
}

run_stage() {
  local begin=$SECONDS
  "stage_$1"
  echo "$1 $((SECONDS - begin))" >>"$TOOK"
}

# collect CHAIN: shows what its stages have printed, and counts their results.
collect() {
  cat "$WORK/$1/out"
  cat "$WORK/$1/tally" >>"$TALLY"
  rm -r "${WORK:?}/$1"
}

# begin_beside CHAIN STAGE...: starts them, one after the other, in a process group and a directory of their own, and keeps
# their output. Builds the program first, because two must not build in one directory.
begin_beside() {
  local chain=$1
  shift
  with_warnings_as_errors synproxy || return 0
  say "$*: begun, to be told of when it has ended"
  mkdir "$WORK/$chain"
  touch "$WORK/$chain/tally"
  set -m
  (
    trap - INT TERM HUP
    WORK=$WORK/$chain
    TALLY=$WORK/tally
    for stage in "$@"; do run_stage "$stage"; done
  ) </dev/null >"$WORK/$chain/out" 2>&1 &
  BESIDE[$chain]=$!
  AWAY+=" $* "
  set +m
}

end_beside() {
  local status=0
  wait "${BESIDE[$1]}" || status=$?
  unset "BESIDE[$1]"
  collect "$1"
  ((status == 0)) || failed "the stages beside the others ended early, with exit code $status"
}

# begin_waiting STAGE...: the chain whose stages wait for most of their time. Their tests have a clock and come first on the
# cores: before those of the other stages that have one too, and altogether before those that have none (`idle`).
begin_waiting() {
  begin_beside waiting "$@"
  [[ -z ${BESIDE[waiting]-} ]] || renice -n $(($(nice) + 5)) -p $$ >/dev/null
}

end_waiting() {
  [[ -n ${BESIDE[waiting]-} ]] || return 0
  chrt --other --pid 0 $$
  renice -n $(($(nice) - 5)) -p $$ >/dev/null
  end_beside waiting
}

# begin_clockless STAGES...: begins e2e, demo and package, if they are asked for and have not run, and then tidy.
begin_clockless() {
  local waiting=() stage
  for stage in e2e demo package; do
    if has_stage "$stage" "$@" && ! has_stage "$stage" "$AWAY"; then
      waiting+=("$stage")
    fi
  done
  if ((${#waiting[@]} > 0)); then
    end_waiting
    begin_waiting "${waiting[@]}"
    [[ -z ${BESIDE[waiting]-} ]] || chrt --idle --pid 0 $$
  fi
  if has_stage tidy "$@" && has_stage sanitized "$@" && ! has_stage tidy "$AWAY"; then
    begin_beside tidy tidy
  fi
}

# --- main -------------------------------------------------------------------------------------------

if [[ ${1-} == -h || ${1-} == --help ]]; then
  usage
  exit 0
fi
(($# > 0)) || set -- "${STAGES[@]}"
packages=("${PACKAGES_BUILD[@]}" "${PACKAGES_TEST[@]}")
for stage in "$@"; do
  [[ " ${STAGES[*]} quick " == *" $stage "* ]] || die "no stage $stage; there are: quick ${STAGES[*]}" 2
  [[ " ${ROOTLESS[*]} " != *" $stage "* ]] || continue
  need_root "stage $stage makes network namespaces and sends raw packets"
  packages+=("${PACKAGES_LAB[@]}" "${PACKAGES_DEMO[@]}" "${PACKAGES_PACKAGE[@]}" "${PACKAGES_INSTALLED[@]}")
done
[[ $* != quick ]] || packages=("${PACKAGES_BUILD[@]}" "${PACKAGES_QUICK[@]}")
[[ -z ${SYNPROXY_TALLY-} ]] || packages=("${PACKAGES_BUILD[@]}" "${PACKAGES_UNIT[@]}" "${PACKAGES_LAB[@]}")
[[ ! -e $BUILD/build.ninja || -w $BUILD/build.ninja ]] ||
  die "$BUILD is somebody else's; give it to yourself with chown, or name another one in SYNPROXY_BUILD" 2
cd "$ROOT"

WORK=$(mktemp -d)
TALLY=$WORK/tally
TOOK=$WORK/took
declare -A BESIDE=()  # process groups of the stages that run beside the others
AWAY=                 # names of those stages, also when they have ended
CHROOT=               # process group that makes the chroot of the other release
touch "$TALLY" "$TOOK"
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

install_missing "${packages[@]}"
if has_stage other "$@" && (($# > 1)); then
  begin_chroot
fi
if has_stage vm "$@" && (($# > 1)); then
  begin_waiting vm
fi
for stage in "$@"; do
  ! has_stage "$stage" "$AWAY" || continue
  ! has_stage "$stage" "${CLOCKLESS[@]}" || begin_clockless "$@"
  ! has_stage "$stage" "$AWAY" || continue
  if ! has_stage "$stage" "${BUSY[@]}"; then
    end_waiting
    [[ -z ${BESIDE[tidy]-} ]] || end_beside tidy
  elif [[ -n ${BESIDE[waiting]-} ]] && ! kill -0 "${BESIDE[waiting]}" 2>/dev/null; then
    end_waiting
  fi
  run_stage "$stage"
done
end_waiting
[[ -z ${BESIDE[tidy]-} ]] || end_beside tidy
say "done"
