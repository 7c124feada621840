#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Runs the simulator (tests/scenario/sim) over many seeds on all cores, in an optimised build of its own.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

SOAK_BUILD=${SYNPROXY_SOAK_BUILD:-$ROOT/build-soak}

usage() {
  cat <<USAGE
usage: soak.sh N [--jobs J] [--first SEED]

  Runs N seeds, from SEED on (default 1), in J processes (default: one for each CPU). Prints progress and rate,
  and the failing seed with the least number that came up before all were stopped.
  Exit status: 0 all fine, 1 a seed failed, 2 bad usage.

  One seed again:  SYNPROXY_TRACE=1 $SOAK_BUILD/tests/scenario/sim/soak SEED SEED
USAGE
}

bad_usage() {
  printf 'soak.sh: %s\n' "$1" >&2
  usage >&2
  exit 2
}

# number NAME VALUE: a whole number from 1 on that bash can count with.
number() { [[ $2 =~ ^[1-9][0-9]{0,14}$ ]] || bad_usage "$1 must be a number from 1 to 10^15 - 1: $2"; }

count='' jobs=$(nproc) first=1
while (($# > 0)); do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --jobs | --first)
      (($# >= 2)) || bad_usage "$1 needs a value"
      number "$1" "$2"
      if [[ $1 == --jobs ]]; then jobs=$2; else first=$2; fi
      shift 2
      ;;
    -*) bad_usage "no option $1" ;;
    *)
      [[ -z $count ]] || bad_usage "one N only: $1"
      number N "$1"
      count=$1
      shift
      ;;
  esac
done
[[ -n $count ]] || bad_usage "how many seeds?"
((jobs <= count)) || jobs=$count

work=$(mktemp -d)
pids=()
# shellcheck disable=SC2317 # called by the trap
finish() {
  ((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
  rm -rf "$work"
}

trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

lwip=$("$ROOT/scripts/lwip_source.sh" 2>"$work/lwip" | tail -n 1) || {
  lwip=
  say "without lwIP, both ends scripted: $(tail -n 1 "$work/lwip")"
}
say "building"
{ meson_dir "$SOAK_BUILD" -Ddataplane=false -Dbenches=false -Dtests=true -Dbuildtype=release "-Dlwip=$lwip" &&
  ninja -C "$SOAK_BUILD" tests/scenario/sim/soak; } </dev/null >"$work/build" 2>&1 || {
  tail -n 30 "$work/build" >&2
  die "the simulator does not build"
}

# How many seeds process I has finished.
done_by() {
  local at from=${starts[$1]}
  at=$(sed -n 's/^\(at\|done\) //p' "$work/$1" | tail -n 1)
  echo $((at == 0 ? 0 : at - from + 1))
}

failures() { cat "$work"/[0-9]* | sed -n 's/^failed //p' | sort -t= -k2 -n; }

starts=() broken=
begin=$(date +%s%N)
for ((i = 0; i < jobs; ++i)); do
  starts[i]=$((first + count * i / jobs))
  "$SOAK_BUILD/tests/scenario/sim/soak" "${starts[i]}" $((first + count * (i + 1) / jobs - 1)) \
    >"$work/$i" 2>&1 &
  pids+=($!)
done

report() {
  local i total=0
  for ((i = 0; i < jobs; ++i)); do total=$((total + $(done_by "$i"))); done
  local ms=$((($(date +%s%N) - begin) / 1000000 + 1))
  say "$total of $count seeds, $((total * 1000 / ms)) seeds/s"
}

status=0 shown=$SECONDS
while ((${#pids[@]} > 0 && status == 0)); do
  sleep 1
  for i in "${!pids[@]}"; do
    kill -0 "${pids[i]}" 2>/dev/null && continue
    wait "${pids[i]}" || { status=1 && broken=$i; }
    unset "pids[i]"
  done
  if ((SECONDS - shown >= 10)); then
    shown=$SECONDS
    report
  fi
done

report
if ((status == 0)); then
  say "of these, ended early because a 24-bit cookie was hit by chance: $(cat "$work"/[0-9]* | grep -c '^chance hit' || true)"
  say "all of them as good as without the proxy"
  exit 0
fi
((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
wait || true
pids=()
first_failure=$(failures | head -n 1)
if [[ -n $first_failure ]]; then
  say "failed: $first_failure"
else
  tail -n 30 "$work/$broken"
  say "a process ended without a word, in a seed after those that it names above"
fi
exit 1
