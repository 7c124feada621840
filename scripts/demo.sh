#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Shows a web server under a SYN flood: without protection, behind the kernel's SYNPROXY, behind this
# proxy, and with this proxy on the server itself; and under a flood of whole connections.
# Everything happens in network namespaces that are gone at the end.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly PAGES=20        # asked per measurement
readonly PAGE_GAP=0.15   # seconds between two requests: each is a connection of its own
readonly PAGE_LIMIT=5    # seconds after which a page counts as not fetched
readonly FLOOD_LEAD=2    # seconds of flood before the first page is asked: the backlog is full by then
readonly BOTS=500        # addresses that open connections in the flood of connections, and hold them
readonly BOTS_LEAD=5     # seconds that they need for that
readonly HELD=10000      # connections that they hold; nginx has room for 8,192
readonly LIMITS=(--limit-conns 10 --limit-rate "20/second,burst=20")
readonly URL=http://10.0.0.2/

if [[ ${1-} == -h || ${1-} == --help ]]; then
  echo "usage: demo.sh   (as root; shows a flooded web server with and without protection, under 4 minutes)"
  exit 0
fi
(($# == 0)) || die "takes no arguments, not even $1" 2
need_root "it makes network namespaces and sends raw packets"

export SYNPROXY_LAB=syndemo-$$
WORK=$(mktemp -d)
RESULTS=$WORK/results

cleanup() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  "$LAB_SH" down || true
  rm -rf "$WORK"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

lab() { "$LAB_SH" "$@"; }
client() { ip netns exec "$SYNPROXY_LAB-client" "$@"; }
server() { ip netns exec "$SYNPROXY_LAB-server" "$@"; }

build() {
  say "building into $BUILD"
  # Build only the program: test.sh builds the tests and the benches.
  { { [[ -f $BUILD/build.ninja ]] || meson setup "$BUILD" "$ROOT" -Dtests=false -Dbenches=false; } &&
    ninja -C "$BUILD" synproxy; } </dev/null >"$WORK/build.log" 2>&1 || {
    tail -n 30 "$WORK/build.log" >&2
    die "the build failed; the lines above are its last ones"
  }
}

synacks() {
  client nft list counter netdev lab synack | awk '/packets/ { print $2 }'
}
frames_sent() {
  # The client's sysfs shows the namespace in which it was mounted, so take the link's counters from
  # netlink.
  client ip -s -j link show eth0 | sed 's/.*"tx":{[^}]*"packets":\([0-9]*\).*/\1/'
}
now() { date +%s.%N; }

# Samples half-open connections while the measurement runs; the result is the most seen at once.
watch_syn_recv() {
  local seen most=0
  while [[ ! -e $WORK/stop ]]; do
    seen=$(server ss -Htn state syn-recv | wc -l)
    if ((seen > most)); then most=$seen; fi
    echo "$most" >"$WORK/syn_recv"
    sleep 0.3
  done
}

ask_page() {
  client curl -s -o /dev/null -w '%{http_code} %{time_connect}\n' --max-time "$PAGE_LIMIT" "$URL" \
    >"$WORK/page.$1" || true
}

# Starts the load and sets FLOOD to its process, or to nothing.
begin_load() {
  local lead=$FLOOD_LEAD
  FLOOD=
  case $1 in
    flood) client hping3 --flood -q -S --rand-source -p 80 10.0.0.2 >/dev/null 2>&1 & ;;
    bots)
      lead=$BOTS_LEAD
      client /usr/bin/python3 "$ROOT/tests/e2e/crowd.py" hold 10.0.0.2 80 "$BOTS" 60 "$HELD" >/dev/null 2>&1 &
      ;;
    *) return 0 ;;
  esac
  FLOOD=$!
  sleep "$lead"
}

# measure LABEL quiet|flood|bots
measure() {
  local label=$1 load=$2 watcher page pages=()
  say "$label, $load: asking for $PAGES pages"
  rm -f "$WORK/stop" "$WORK"/page.*
  echo 0 >"$WORK/syn_recv"
  begin_load "$load"
  watch_syn_recv &
  watcher=$!
  local t0 t1 synack0 synack1 sent0 sent1
  synack0=$(synacks) sent0=$(frames_sent) t0=$(now)
  for ((page = 0; page < PAGES; ++page)); do
    ask_page "$page" &
    pages+=($!)
    sleep "$PAGE_GAP"
  done
  wait "${pages[@]}" || true
  synack1=$(synacks) sent1=$(frames_sent) t1=$(now)
  touch "$WORK/stop"
  wait "$watcher"
  if [[ -n $FLOOD ]]; then
    kill "$FLOOD" 2>/dev/null || die "the load ended early: it does not run here"
    wait "$FLOOD" 2>/dev/null || true
  fi
  cat "$WORK"/page.* | sort -k2n | awk -v OFS='\t' -v label="$label" -v load="$load" -v asked="$PAGES" \
    -v syn_recv="$(<"$WORK/syn_recv")" -v seconds="$(awk "BEGIN { print $t1 - $t0 }")" \
    -v synacks=$((synack1 - synack0)) -v sent=$((sent1 - sent0)) '
      $1 == 200 { ms[++n] = $2 * 1000 }
      END {
        median = n ? (n % 2 ? ms[(n + 1) / 2] : (ms[n / 2] + ms[n / 2 + 1]) / 2) : -1
        print label, load, n + 0, asked, median, n ? ms[n] : -1, syn_recv,
          int(sent / seconds), int(synacks / seconds)
      }' >>"$RESULTS"
}

both() {
  measure "$1" quiet
  measure "$1" flood
}

# Only the row of the kernel's SYNPROXY has SYN cookies on the server, because its tutorials set
# them. Elsewhere they are off: they are a protection too, and would hide what the table is about.
fresh_lab() {
  lab down
  lab up --owner $$
  server sysctl -q -w net.ipv4.tcp_syncookies=0 net.ipv4.tcp_timestamps=1
}

no_protection() {
  fresh_lab
  lab bridge on
  both "no protection"
}

kernel_synproxy() {
  fresh_lab
  lab bridge on
  local status=0
  lab kernel-synproxy on || status=$?
  case $status in
    0)
      both "kernel SYNPROXY"
      lab crowd
      measure "kernel SYNPROXY" bots
      ;;
    3)
      say "kernel SYNPROXY: this kernel has none, its rows stay empty"
      printf 'kernel SYNPROXY\t%s\tnot in this kernel\n' quiet flood bots >>"$RESULTS"
      ;;
    *) die "could not set the SYNPROXY rules" ;;
  esac
}

# with_proxy ROLE CLIENT-PORT SERVER-PORT FLAGS -- COMMAND...: COMMAND while the proxy runs in that namespace
with_proxy() {
  local role=$1 ports=(--client-port "$2" --server-port "$3") flags=() pid tries=0
  shift 3
  while [[ $1 != -- ]]; do
    flags+=("$1")
    shift
  done
  shift
  ip netns exec "$SYNPROXY_LAB-$role" "$BUILD/synproxy" --name "$SYNPROXY_LAB" \
    "${ports[@]}" --protect 10.0.0.2:80 "${flags[@]}" \
    --sack-perm --timestamp --wscale 7 --mss 1460 </dev/null >"$WORK/proxy.log" 2>&1 &
  pid=$!
  until grep -q ready "$WORK/proxy.log"; do
    kill -0 "$pid" 2>/dev/null || { cat "$WORK/proxy.log" >&2; die "the proxy did not start"; }
    ((++tries < 150)) || { cat "$WORK/proxy.log" >&2; die "the proxy was not ready after 15 s"; }
    sleep 0.1
  done
  "$@"
  kill -TERM "$pid"
  wait "$pid" || { tail -n 5 "$WORK/proxy.log" >&2; die "the proxy ended with an error"; }
}

this_proxy() {
  fresh_lab
  lab crowd
  without_limits() {
    both "synproxy"
    measure "synproxy" bots
  }
  with_proxy proxy veth-a veth-b -- without_limits
  # A server that holds none of the bots' connections any more.
  fresh_lab
  lab crowd
  with_proxy proxy veth-a veth-b "${LIMITS[@]}" -- measure "with limits" bots
}

# One machine and one interface: the server's addresses move to an end of the proxy's making.
on_the_server() {
  fresh_lab
  lab bridge on
  with_proxy server eth0 host -- both "on the server"
}

table() {
  printf '\n%-16s %-6s %10s %12s %12s %9s %11s %15s\n' protection load pages 'connect' 'connect' \
    SYN_RECV 'sent' 'SYN answered'
  printf '%-16s %-6s %10s %12s %12s %9s %11s %15s\n' '' '' '' 'median ms' 'worst ms' 'at most' 'frames/s' 'per second'
  awk -F '\t' '
    function ms(v) { return v < 0 ? "-" : sprintf("%.1f", v) }
    NF < 9 { printf "%-16s %-6s   %s\n", $1, $2, $3; next }
    { printf "%-16s %-6s %7d/%-2d %12s %12s %9d %11d %15d\n", $1, $2, $3, $4, ms($5), ms($6), $7, $8, $9 }
  ' "$RESULTS"
  cat <<NOTES

Same server, client and loads in every row, measured just now.
flood: hping3 --flood -S --rand-source -p 80. bots: $BOTS real addresses open connections as fast as they can,
begin a request, and hold up to $HELD; nginx has room for 8,192.
no protection: the server's SYN cookies are off (net.ipv4.tcp_syncookies=0), nginx's backlog of 511.
kernel SYNPROXY: the three iptables rules of the tutorials on the server itself, SYN cookies on.
synproxy: between client and server; the server as without protection.
with limits: the same with ${LIMITS[*]}; the kernel has no such
rule beside its SYNPROXY, which answers before anything is counted.
on the server: the same program on the server itself (--client-port eth0 --server-port host).
A page is fetched when it arrives whole within 5 s of being asked for. SYN answered: SYN-ACKs that
reached the client's link, whoever sent them; an unprotected server repeats its own.
NOTES
}

# One panel: column N of the quiet run beside that of the flood. Each bar has its figure above it,
# and the figures of two more columns in brackets if these are named.
panel() {
  local title=$1 quiet=$2 flood=$3 format=$4
  local quiet_text="sprintf(\"$format\", \$$quiet)" flood_text="sprintf(\"$format\", \$$flood)"
  if (($# == 6)); then
    quiet_text="sprintf(\"$format ($format)\", \$$quiet, \$$5)"
    flood_text="sprintf(\"$format ($format)\", \$$flood, \$$6)"
  fi
  cat <<GNUPLOT
set title "$title"
plot data using $quiet:xtic(1) title "quiet" lc rgb "#7aa6c2", \
  "" using $flood title "under flood" lc rgb "#c2452d", \
  "" using (\$0 - 0.17):$quiet:($quiet_text) with labels offset 0, 0.6 notitle, \
  "" using (\$0 + 0.17):$flood:($flood_text) with labels offset 0, 0.6 notitle
GNUPLOT
}

chart() {
  # A line per protection: pages, worst connect time, SYN_RECV, answers, median connect time; the five of
  # the quiet run, then those of the flood.
  awk -F '\t' '
    $2 == "bots" { next }  # in the table only
    !($1 in seen) { order[++n] = $1; seen[$1] = 1 }
    NF >= 9 { v[$1, $2] = $3 " " ($6 < 0 ? "NaN" : $6) " " $7 " " $9 " " ($5 < 0 ? "NaN" : $5) }
    NF < 9 { v[$1, $2] = "NaN NaN NaN NaN NaN"; note[$1] = "\\n(" $3 ")" }
    END { for (i = 1; i <= n; ++i)
      print "\"" order[i] note[order[i]] "\"", v[order[i], "quiet"], v[order[i], "flood"] }
  ' "$RESULTS" >"$WORK/chart.dat"
  {
    cat <<GNUPLOT
set terminal svg size 1100,760 dynamic font "sans,13" background "white"
set output "$BUILD/demo.svg"
set multiplot layout 2,2 title "A web server under hping3 --flood -S --rand-source -p 80" \
  margins 0.07,0.97,0.08,0.84 spacing 0.09,0.16
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
set xtics scale 0
set xrange [-0.6:3.6]
set yrange [0:*]
set offsets 0, 0, graph 0.12, 0
set key noautotitle at screen 0.5,0.94 center horizontal
data = "$WORK/chart.dat"
GNUPLOT
    panel "pages fetched out of $PAGES" 2 7 %.0f
    echo 'unset key'
    panel "connect time of a fetched page, ms: worst (median)" 3 8 %.1f 6 11
    panel 'half-open connections on the server (SYN\\\_RECV)' 4 9 %.0f
    panel "SYN answered per second" 5 10 %.0f
  } | gnuplot
  say "chart: $BUILD/demo.svg"
}

install_missing "${PACKAGES_BUILD[@]}" "${PACKAGES_LAB[@]}" "${PACKAGES_DEMO[@]}"
build
no_protection
kernel_synproxy
this_proxy
on_the_server
table
chart
