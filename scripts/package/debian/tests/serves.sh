#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The short form of the demo, with the installed program and without systemd: a flooded web server is out of reach, and
# behind the proxy it is not. The proxy keeps no privilege, reloads, and leaves the way to the bypass when it is killed.
set -euo pipefail

readonly PAGES=10
name=pkg$$
pids=()
end() {
  local pid role
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  for role in client proxy server; do ip netns del "$name-$role" 2>/dev/null || true; done
  rm -rf "$dir"
}
dir=$(mktemp -d)
trap end EXIT
in_ns() { ip netns exec "$name-$1" "${@:2}"; }
# Becomes the command, so that the process is the command.
in_ns_exec() { exec ip netns exec "$name-$1" "${@:2}"; }
page() { in_ns client curl -sSf -m 3 -o /dev/null http://10.9.0.2/; }
die() {
  echo "serves: $1" >&2
  cat "$dir/log" >&2 2>/dev/null || true
  exit 1
}

# Prints how many pages the client gets under a flood.
pages_under_flood() {
  local flood number asked=()
  in_ns_exec client hping3 -q -S -i u200 --rand-source -p 80 10.9.0.2 >/dev/null 2>&1 &
  flood=$!
  sleep 1
  rm -f "$dir"/got.*
  for ((number = 0; number < PAGES; number++)); do
    { ! page 2>/dev/null || : >"$dir/got.$number"; } &
    asked+=($!)
    sleep 0.1
  done
  wait "${asked[@]}" || true
  kill "$flood" || die "the flood ended early"
  wait "$flood" 2>/dev/null || true
  find "$dir" -name 'got.*' | wc -l
}

for role in client proxy server; do ip netns add "$name-$role"; done
ip link add eth0 netns "$name-client" type veth peer name veth-a netns "$name-proxy"
ip link add eth0 netns "$name-server" type veth peer name veth-b netns "$name-proxy"
in_ns client ip address add 10.9.0.1/24 dev eth0
in_ns server ip address add 10.9.0.2/24 dev eth0
for role in client server; do in_ns $role ip link set eth0 up; done
for port in veth-a veth-b; do in_ns proxy ip link set $port up; done
# The way to the flood's addresses: without it the server drops their SYNs.
in_ns server ip route add default via 10.9.0.1
in_ns server sysctl -q -w net.ipv4.tcp_syncookies=0 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
mkdir "$dir/www"
echo page >"$dir/www/index.html"
in_ns_exec server python3 -m http.server -d "$dir/www" 80 >/dev/null 2>&1 &
pids+=($!)
chmod 755 "$dir"
conf=$dir/$name.conf
printf 'client-port = veth-a\nserver-port = veth-b\nprotect = 10.9.0.2:80\nwscale = 7\n' >"$conf"
for _ in {1..100}; do [[ -z $(in_ns server ss -Htln 'sport = 80') ]] || break; sleep 0.1; done

in_ns proxy synproxy bypass on --config "$conf" >/dev/null
page || die "no page by the bypass"
got=$(pages_under_flood)
((got < PAGES)) || die "the flood does no harm to the server alone"
echo "serves: no protection, flood: $got of $PAGES pages"

in_ns proxy synproxy check --config "$conf" >/dev/null || die "check"
in_ns_exec proxy synproxy --name "$name" --config "$conf" --user synproxy >"$dir/log" 2>&1 &
proxy=$!
pids+=("$proxy")
for _ in {1..100}; do grep -qs ready "$dir/log" && break; sleep 0.1; done
for _ in {1..50}; do in_ns proxy synproxy check --live --name "$name" >/dev/null && break; sleep 0.1; done
in_ns proxy synproxy check --live --name "$name" >/dev/null || die "check --live"
# Half-open connections of the flood end at the server after a while.
in_ns server sysctl -q -w net.ipv4.tcp_max_syn_backlog=256
got=$(pages_under_flood)
((got == PAGES)) || die "by the proxy: $got of $PAGES pages under a flood"
echo "serves: synproxy, flood: $got of $PAGES pages"
in_ns proxy synproxy stat --json --name "$name" | grep -q '"conn_established": '"$PAGES" || die "not by the proxy"

[[ $(stat -c %U "/proc/$proxy/status") == root ]] || die "its memory is open to its user"
grep -q "^Uid:.$(id -u synproxy)" "/proc/$proxy/status" || die "still root"
sed -i 's/wscale = 7/wscale = 8/' "$conf"
kill -HUP "$proxy"
for _ in {1..50}; do grep -q 'reloaded: wscale 7 -> 8' "$dir/log" && break; sleep 0.1; done
grep -q 'reloaded: wscale 7 -> 8' "$dir/log" || die "no reload"
page || die "no page after the reload"
kill -9 "$proxy"
wait "$proxy" 2>/dev/null || true
in_ns proxy synproxy bypass on --config "$conf" >/dev/null
page || die "no page by the bypass after a kill"
in_ns proxy synproxy bypass off --config "$conf" >/dev/null
echo "serves: OK"
