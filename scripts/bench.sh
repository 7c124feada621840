#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Runs every bench, writes one report, and says what got slower since an earlier run.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly STEPS=(micro datapath flow_table wire versus)
# For bench/wire: three processes of at most 240 MB, and a reserve.
readonly HUGEPAGES=384
readonly HUGEPAGE_KB=2048
# The beds of bench/datapath, beside the hugepages.
readonly OTHER_MEMORY_KB=$((4 << 20))
readonly NR_HUGEPAGES=/proc/sys/vm/nr_hugepages
readonly FREE_HUGEPAGES=/sys/kernel/mm/hugepages/hugepages-${HUGEPAGE_KB}kB/free_hugepages

usage() {
  cat <<USAGE
usage: bench.sh [--quick] [--only STEP,...] [--json FILE] [--compare OLD.json]
       bench.sh --compare OLD.json NEW.json      compares two runs, measures nothing
       bench.sh --readme RESULTS.json            writes the table of README.md anew

  --quick        fewer and shorter rounds: three minutes instead of ten, and less sure
  --only STEPS   some of: ${STEPS[*]}
  --json FILE    where the figures go, build/bench/results.json
  --compare OLD  afterwards, what got slower since OLD was written

  micro        the hot headers one by one, but for the flow table
  datapath     the whole path in memory
  flow_table   the flow table against DPDK's rte_hash
  wire         two processes over memif, against testpmd
  versus       against the kernel's SYNPROXY, in network namespaces

The report is build/bench/report.html. As root: hugepages are reserved meanwhile, nothing else comes first on
the CPUs, and what is missing is installed; otherwise versus is skipped. Keep the machine quiet.
exit status: 0 done, nothing slower; 1 something got slower, or a step failed; 2 bad usage or a bad file
USAGE
}

# --- what is asked ----------------------------------------------------------------------------------

quick=
only=()
old=
new=
readme=
OUT=$BUILD/bench
json=$OUT/results.json

parse() {
  local step
  while (($# > 0)); do
    case $1 in
      --quick) quick=1 ;;
      --only)
        (($# > 1)) || die "--only: needs names of steps; there are: ${STEPS[*]}" 2
        IFS=, read -r -a only <<<"$2"
        ((${#only[@]} > 0)) || die "--only: needs names of steps; there are: ${STEPS[*]}" 2
        for step in "${only[@]}"; do
          [[ " ${STEPS[*]} " == *" $step "* ]] || die "--only: no step $step; there are: ${STEPS[*]}" 2
        done
        shift
        ;;
      --json | --readme | --compare)
        [[ -n ${2-} && $2 != -* ]] || die "$1: needs the name of a file" 2
        case $1 in
          --json) json=$(realpath -m -- "$2") ;;
          --readme) readme=$(realpath -m -- "$2") ;;
          --compare)
            old=$(realpath -m -- "$2")
            if [[ -n ${3-} && $3 != -* ]]; then
              new=$(realpath -m -- "$3")
              shift
            fi
            ;;
        esac
        shift
        ;;
      -h | --help)
        usage
        exit 0
        ;;
      *) die "$1: no such option; see --help" 2 ;;
    esac
    shift
  done
}

tool() { /usr/bin/python3 "$ROOT/bench/report/$1.py" "${@:2}"; }

# --- surroundings -----------------------------------------------------------------------------------

CHILD=
hugepages_before=

# shellcheck disable=SC2317 # a trap
cleanup() {
  local status=$? tries=0
  trap - EXIT
  trap '' INT TERM HUP
  if [[ -n $CHILD ]]; then
    # It takes down its own processes and namespaces.
    kill -TERM "$CHILD" 2>/dev/null || true
    while kill -0 "$CHILD" 2>/dev/null && ((++tries < 150)); do sleep 0.2; done
    kill -KILL -- "-$CHILD" 2>/dev/null || true
  fi
  [[ -z $hugepages_before ]] || echo "$hugepages_before" >"$NR_HUGEPAGES" || true
  exit "$status"
}

# A directory whose program is the one that users get: build/ if it is a release build, otherwise
# one for the benches only.
choose_build() {
  if [[ -f $BUILD/build.ninja ]] && ! meson introspect "$BUILD" --buildoptions | /usr/bin/python3 -c '
import json, sys
options = {option["name"]: option["value"] for option in json.load(sys.stdin)}
sys.exit(0 if options["buildtype"] == "release" and options["optimization"] == "3" and not options["b_coverage"]
         and options["b_sanitize"] == "none" and options["b_ndebug"] != "false" else 1)'; then
    say "${BUILD#"$ROOT"/} is no release build, its figures would say nothing: building in build-bench"
    BUILD=$ROOT/build-bench
  fi
  export SYNPROXY_BUILD=$BUILD
}

build() {
  local log=$OUT/log/build target targets=(synproxy)
  say "building in ${BUILD#"$ROOT"/}"
  {
    meson_dir "$BUILD" -Dtests=true -Dbenches=true -Ddataplane=true &&
      for target in "$BUILD"/bench/*_bench.p; do targets+=("bench/$(basename "$target" .p)"); done &&
      targets+=(bench/datapath/datapath bench/flow_table/flow_table bench/wire/wire_generator) &&
      ninja -C "$BUILD" "${targets[@]}"
  } </dev/null >"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    die "the build failed; the lines above are its last ones"
  }
}

# The first line of bench/wire says whether there are enough.
reserve_hugepages() {
  local free available
  free=$(cat "$FREE_HUGEPAGES" 2>/dev/null) || { say "hugepages: this kernel has none of 2 MB"; return; }
  if ((free >= HUGEPAGES)); then
    say "hugepages: $free are free"
    return
  fi
  available=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
  if ((EUID != 0)); then
    say "hugepages: not root, none reserved"
  elif ((available < (HUGEPAGES - free) * HUGEPAGE_KB + OTHER_MEMORY_KB)); then
    say "hugepages: too little memory is free, none reserved"
  else
    hugepages_before=$(<"$NR_HUGEPAGES")
    echo $((hugepages_before + HUGEPAGES - free)) >"$NR_HUGEPAGES"
    free=$(<"$FREE_HUGEPAGES")
    if ((free < HUGEPAGES)); then
      echo "$hugepages_before" >"$NR_HUGEPAGES"
      hugepages_before=
      say "hugepages: memory is in pieces, only $free could be had; none reserved"
    else
      say "hugepages: $free free, $NR_HUGEPAGES is set back to $hugepages_before at the end"
    fi
  fi
}

# --- steps ------------------------------------------------------------------------------------------

# alone COMMAND...: runs it in a session of its own, so that traps act at once. The session comes
# first on the CPUs if that is allowed (if the kernel groups tasks by session, a nice value counts
# only within the group).
alone() {
  local status=0
  # shellcheck disable=SC2016 # expanded by that shell
  setsid setpriv --pdeathsig TERM bash -c '
    { renice -n -20 -p $$; echo -20 >/proc/$$/autogroup; } >/dev/null 2>&1 || true
    exec "$@"' step "$@" </dev/null >>"$LOG" 2>&1 &
  CHILD=$!
  wait "$CHILD" || status=$?
  CHILD=
  return "$status"
}

run_micro() {
  local program name status=0
  mkdir -p "$WORK/micro"
  for program in "$built"/bench/*_bench; do
    name=$(basename "$program")
    # The step flow_table does the same, and more.
    [[ $name != flow_table_bench ]] || continue
    alone "$program" --benchmark_min_time="$micro_time" --benchmark_repetitions="$micro_repetitions" \
      --benchmark_out="$WORK/micro/$name.json" --benchmark_out_format=json || status=$?
  done
  return "$status"
}

# Says what a step runs: sets `command`, or `skip` to the reason why it does not run.
plan() {
  skip=
  local words=()
  case $1 in
    micro)
      words=("$built/bench/*_bench" "--benchmark_min_time=$micro_time" "--benchmark_repetitions=$micro_repetitions")
      ;;
    datapath | flow_table) words=("$built/bench/$1/$1") ;;
    wire | versus)
      words=("bench/$1/run.py")
      [[ -e ${words[0]} ]] || skip="${words[0]} is not here"
      ;;
  esac
  [[ $1 == micro || -z $quick ]] || words+=(--quick)
  [[ $1 != versus || $EUID -eq 0 ]] || skip="needs root, for network namespaces"
  [[ $1 != wire || $(nproc) -ge 2 ]] || skip="needs two CPUs"
  command=${words[*]}
}

note_step() { printf '%s\t%s\t%d\t%s\t%s\n' "$@" >>"$WORK/steps"; }

step() {
  local name=$1 number=$2 command skip begin status=0
  LOG=$OUT/log/$name
  : >"$LOG"
  plan "$name"
  if [[ -n $skip ]]; then
    say "$number $name: skipped: $skip"
    note_step "$name" skipped 0 "$command" "$skip"
    return
  fi
  say "$number $name: $command"
  begin=$SECONDS
  case $name in
    micro) run_micro || status=$? ;;
    *)
      # shellcheck disable=SC2086 # words of our own, none with a blank
      alone $command --json "$WORK/$name.json" || status=$?
      ;;
  esac
  if ((status == 0)); then
    note_step "$name" "done" $((SECONDS - begin)) "$command" ""
  else
    tail -n 5 "$LOG" >&2
    say "$number $name: failed with exit code $status, see ${LOG#"$ROOT"/}"
    note_step "$name" failed $((SECONDS - begin)) "$command" "exit code $status: $(tail -n 1 "$LOG" | tr '\t' ' ')"
  fi
}

# --- main -------------------------------------------------------------------------------------------

parse "$@"
if [[ -n $readme ]]; then
  tool readme "$readme" "$ROOT/README.md"
  exit
fi
if [[ -n $new ]]; then
  [[ -z $quick && ${#only[@]} -eq 0 && $json == "$OUT/results.json" ]] ||
    die "--compare OLD NEW measures nothing: it goes with no other option" 2
  status=0
  tool compare "$old" "$new" || status=$?
  exit "$status"
fi
# Not after ten minutes.
[[ -z $old ]] || tool compare "$old" "$old" >/dev/null || exit 2
cd "$ROOT"
WORK=$OUT/work
rm -rf "$WORK"
mkdir -p "$WORK" "$OUT/log" 2>/dev/null || die "$OUT cannot be written" 2
{ [[ -d ${json%/*} && ! -d $json ]] && touch -c -- "$json"; } || die "--json $json: cannot be written" 2
if [[ -n $old ]]; then
  # It may be the file that is about to be written.
  cp -- "$old" "$WORK/old.json"
  old=$WORK/old.json
fi
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

install_missing "${PACKAGES_BUILD[@]}" "${PACKAGES_BENCH[@]}" "${PACKAGES_LAB[@]}" "${PACKAGES_DEMO[@]}"
choose_build
build
built=${BUILD#"$ROOT"/}
if [[ -n $quick ]]; then
  mode=quick micro_time=0.01 micro_repetitions=3
else
  mode=normal micro_time=0.02 micro_repetitions=5
fi
((${#only[@]} > 0)) || only=("${STEPS[@]}")
[[ " ${only[*]} " != *" wire "* && " ${only[*]} " != *" versus "* ]] || reserve_hugepages

begin=$SECONDS
number=0
for name in "${STEPS[@]}"; do
  [[ " ${only[*]} " == *" $name "* ]] || continue
  step "$name" "$((++number))/${#only[@]}"
done
say "measured for $((SECONDS - begin)) s"

result=0
tool gather "$WORK" "$mode" "$json" || result=1
tool page "$json" "$OUT/report.html" ${old:+"$old"} || result=1
say "figures: ${json#"$ROOT"/}"
say "report: ${OUT#"$ROOT"/}/report.html"
if [[ -n $old ]]; then
  status=0
  tool compare "$old" "$json" || status=$?
  ((status == 0)) || result=$status
fi
exit "$result"
