#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Network namespaces client - proxy - server, to try a proxy without a NIC.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'USAGE'
usage: lab.sh [--name NAME] COMMAND

  up [--mtu N] [--vlan TAG[.TAG] | --between client|server|both] [--offloads] [--owner PID] [--no-nginx] [--bare]
        make the namespaces, the links and a web server.
        --between client puts a namespace relay-a between client and proxy, --between server
        relay-b between proxy and server: interface outer towards the end, inner towards the proxy,
        and nothing between the two; start scripts/link_relay.py there, or make it a router.
        --bare makes no links and gives no addresses: the caller brings devices of its own.
        --vlan 5 tags everything on the proxy's links with 802.1Q, --vlan 7.5 with QinQ
        (0x88a8 VLAN 7 outside, 0x8100 VLAN 5 inside); client and server stay untagged.
        --offloads leaves the offloads of all interfaces as the kernel sets them.
        --owner PID takes the lab down when that process is gone, however it ended.
  down  end every process in the namespaces and remove them; does nothing when there is no lab
  exec client|proxy|server|relay-a|relay-b COMMAND...
  bridge on|off
        a plain kernel bridge in the proxy's place
  kernel-synproxy on|off
        the three SYNPROXY rules of the tutorials on the server; exit code 3: this kernel has none
  crowd
        gives the client the addresses 10.76.0.0/14, and the server the way to them
  show  names, addresses and directories

            client                        proxy                         server
     10.0.0.1, fd00::1             veth-a      veth-b             10.0.0.2, fd00::2
          eth0 -------------------- |  the proxy  | -------------------- eth0   nginx, port 80
USAGE
}

LAB=${SYNPROXY_LAB:-synlab}
CLIENT4=10.0.0.1 CLIENT6=fd00::1
SERVER4=10.0.0.2 SERVER6=fd00::2
TAGS=
BETWEEN=
OFFLOADS=

set_names() {
  # Also a directory's name and a part of an interface's: keep it harmless.
  [[ $LAB =~ ^[A-Za-z0-9_-]{1,32}$ ]] || die "--name $LAB: letters, digits, - and _, 32 at most" 2
  STATE=/run/synproxy-lab/$LAB
}

# The namespace of a role is $LAB-ROLE. Tests make many labs: no function here prints what a variable says, because each
# subshell takes time.
in_ns() {
  local where=$1
  shift
  ip netns exec "$LAB-$where" "$@"
}
exists() { [[ -e /run/netns/$LAB-$1 ]]; }
all_ns() {
  local role
  for role in client proxy server relay-a relay-b; do
    if exists "$role"; then echo "$role"; fi
  done
}

# Raw sockets must see what a wire would carry: no unfinished checksums, no packets of 64 KB, no tag
# moved out of the frame. Not every kernel knows every feature, and a fixed one cannot be set.
plain_wire() {
  local where=$1 device=$2 feature
  [[ -z $OFFLOADS ]] || return 0
  # All at once where all can be set: tests make many labs, and each program that starts takes time.
  in_ns "$where" ethtool -K "$device" tx off rx off tso off gso off gro off lro off txvlan off rxvlan off \
    tx-vlan-stag-hw-insert off >/dev/null 2>&1 && return
  for feature in tx rx tso gso gro lro txvlan rxvlan tx-vlan-stag-hw-insert; do
    in_ns "$where" ethtool -K "$device" "$feature" off >/dev/null 2>&1 || true
  done
}

# link NS1 DEV1 NS2 DEV2 MTU
link() {
  # One queue each: what DPDK's AF_XDP on a veth can serve.
  ip link add "$2" netns "$LAB-$1" numrxqueues 1 numtxqueues 1 mtu "$5" type veth \
    peer name "$4" netns "$LAB-$3" numrxqueues 1 numtxqueues 1 mtu "$5"
  plain_wire "$1" "$2"
  plain_wire "$3" "$4"
}

make_ns() {
  ip netns add "$LAB-$1"
  # No kernel may send by itself: no DAD (so addresses are usable at once), no router solicitations,
  # no MLD noise from link-local addresses. Spoofed sources must not be filtered.
  in_ns "$1" sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
    net.ipv4.conf.all.log_martians=0 net.ipv6.conf.default.accept_dad=0 \
    net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.addr_gen_mode=1
  ip -n "$LAB-$1" link set lo up
}

# address END IPV4 IPV6 [COMMAND...]: and what else `ip` is to do there
address() {
  ip -n "$LAB-$1" -batch - <<IP
link set eth0 up
address add $2/24 dev eth0
address add $3/64 dev eth0 nodad
$(printf '%s\n' "${@:4}")
IP
}

# bare_ports ROLE DEVICE DEVICE
bare_ports() {
  in_ns "$1" sysctl -q -w "net.ipv6.conf.$2.disable_ipv6=1" "net.ipv6.conf.$3.disable_ipv6=1"
  printf 'link set %s up\n' "$2" "$3" | ip -n "$LAB-$1" -batch -
}

# plain_side MTU END RELAY PORT: from that end to the proxy's port, through a namespace of its own if asked
plain_side() {
  if [[ $BETWEEN != "$2" && $BETWEEN != both ]]; then
    link "$2" eth0 proxy "$4" "$1"
    return
  fi
  make_ns "$3"
  link "$2" eth0 "$3" outer "$1"
  link "$3" inner proxy "$4" "$1"
  bare_ports "$3" outer inner
}

wire_up() {
  local mtu=$1 role
  for role in client proxy server; do make_ns "$role"; done
  if [[ -z $TAGS ]]; then
    plain_side "$mtu" client relay-a veth-a
    plain_side "$mtu" server relay-b veth-b
  else
    # Two tags are 8 bytes, and a raw socket sends no more than the device's MTU.
    for role in relay-a relay-b; do make_ns "$role"; done
    link client eth0 relay-a plain "$mtu"
    link relay-a tagged proxy veth-a $((mtu + 8))
    link proxy veth-b relay-b tagged $((mtu + 8))
    link relay-b plain server eth0 "$mtu"
    for role in relay-a relay-b; do bare_ports "$role" plain tagged; done
  fi
  bare_ports proxy veth-a veth-b
  address client "$CLIENT4" "$CLIENT6"
  # The way back to spoofed addresses: without it the server drops their SYNs and shows no SYN_RECV.
  address server "$SERVER4" "$SERVER6" "route add default via $CLIENT4" "route add default via $CLIENT6"
}

# Counts SYN-ACKs as they arrive, whoever made them: the same measure for every kind of protection.
# Frames to a spoofed source end here, before they cost the client's stack anything.
count_synacks() {
  in_ns client nft -f - <<NFT
table netdev lab {
  counter synack { }
  chain ingress {
    type filter hook ingress device "eth0" priority 0; policy accept;
    tcp sport 80 tcp flags & (syn | ack | rst) == (syn | ack) counter name synack
    meta protocol ip ip daddr != { $CLIENT4, 10.0.0.255, 224.0.0.0/4, 255.255.255.255 } drop
    meta protocol ip6 ip6 daddr != { $CLIENT6, fe80::/10, ff00::/8 } drop
  }
}
NFT
}

start_relays() {
  local role ready
  for role in relay-a relay-b; do
    in_ns "$role" setsid /usr/bin/python3 "$ROOT/scripts/vlan_relay.py" plain tagged "$TAGS" \
      "$STATE/$role.ready" </dev/null >"$STATE/$role.log" 2>&1 &
  done
  for role in relay-a relay-b; do
    for ready in {1..300}; do
      [[ ! -e $STATE/$role.ready ]] || break
      sleep 0.1
    done
    [[ -e $STATE/$role.ready ]] || die "$role did not start ($ready tries): $(tail -n 3 "$STATE/$role.log")"
  done
}

start_nginx() {
  local dir
  dir=$(mktemp -d "${TMPDIR:-/tmp}/synproxy-lab.XXXXXX")
  echo "$dir" >"$STATE/nginx-dir"
  mkdir "$dir/www" "$dir/www/upload" "$dir/tmp"
  printf '<!doctype html><title>lab</title><p>It works.</p>\n' >"$dir/www/index.html"
  cat >"$dir/nginx.conf" <<NGINX
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log warn;
worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
  log_format short '\$remote_addr \$remote_port \$status \$request_method \$uri';
  access_log $dir/access.log short;
  client_body_temp_path $dir/tmp/body; proxy_temp_path $dir/tmp/proxy;
  fastcgi_temp_path $dir/tmp/fastcgi; uwsgi_temp_path $dir/tmp/uwsgi; scgi_temp_path $dir/tmp/scgi;
  client_max_body_size 0;
  keepalive_timeout 30; keepalive_requests 1000000;
  sendfile on; tcp_nopush on;
  default_type application/octet-stream;
  server {
    listen 80;
    listen [::]:80;
    root $dir/www;
    location /upload/ { dav_methods PUT; }
  }
}
NGINX
  # Its workers run as an unprivileged user and must reach the pages.
  chmod 755 "$dir" "$dir/www"
  chmod 777 "$dir/www/upload" "$dir/tmp"
  in_ns server nginx -p "$dir" -c "$dir/nginx.conf" </dev/null >"$dir/start.log" 2>&1 ||
    die "nginx did not start: $(tail -n 3 "$dir/start.log")"
}

watch_owner() {
  # shellcheck disable=SC2016 # expanded by that shell
  # A session of its own, so that the signal that ends the owner's process group does not end it too. It waits at a pipe
  # that nobody writes to: that starts no program.
  setsid bash -c 'exec 3<> <(:); while [[ -e /proc/$1 ]]; do read -rt 0.5 -u 3; done; exec "$2" --name "$3" down' \
    lab-watch "$1" "$LAB_SH" "$LAB" </dev/null >/dev/null 2>&1 &
  echo $! >"$STATE/watcher"
}

up() {
  local mtu=1500 owner='' nginx=1 bare=
  while (($# > 0)); do
    case $1 in
      --mtu) mtu=${2:?--mtu needs a number}; shift ;;
      --vlan) TAGS=${2:?--vlan needs a tag}; shift ;;
      --between) BETWEEN=${2:?--between needs a side}; shift ;;
      --offloads) OFFLOADS=1 ;;
      --owner) owner=${2:?--owner needs a pid}; shift ;;
      --no-nginx) nginx= ;;
      --bare) bare=1 ;;
      *) die "up: unknown option $1" 2 ;;
    esac
    shift
  done
  if [[ ! $mtu =~ ^[0-9]{4}$ ]] || ((mtu < 1280 || mtu > 9216)); then
    die "--mtu $mtu: 1280 to 9216" 2
  fi
  [[ -z $TAGS || $TAGS =~ ^[0-9]{1,4}(\.[0-9]{1,4})?$ ]] || die "--vlan $TAGS: TAG or TAG.TAG" 2
  [[ -z $BETWEEN || $BETWEEN =~ ^(client|server|both)$ ]] || die "--between $BETWEEN: client, server or both" 2
  [[ -z $BETWEEN || -z $TAGS ]] || die "--between and --vlan exclude each other" 2
  [[ -z $(all_ns) ]] || die "lab $LAB is up already; take it down first: lab.sh --name $LAB down"
  # From here on a half-made lab is never left behind.
  trap 'down' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  mkdir -p "$STATE"
  # A missing feature of the machine must show here, by name, not as a strange failure later.
  if [[ -n $bare ]]; then
    make_ns client
    make_ns server
  else
    wire_up "$mtu"
    count_synacks
    [[ -z $TAGS ]] || start_relays
  fi
  [[ -z $nginx ]] || start_nginx
  [[ -z $owner ]] || watch_owner "$owner"
  trap - EXIT INT TERM HUP
}

pids_inside() {
  local role net
  for role in $(all_ns); do
    for net in /proc/[0-9]*/ns/net; do
      if [[ $net -ef /run/netns/$LAB-$role ]]; then
        net=${net%/ns/net}
        echo "${net#/proc/}"
      fi
    done
  done
}

end_processes() {
  local pids try
  # Whatever runs in these namespaces was started for this lab.
  mapfile -t pids < <(pids_inside)
  ((${#pids[@]} > 0)) || return 0
  kill -TERM "${pids[@]}" 2>/dev/null || true
  for try in {1..20}; do
    mapfile -t pids < <(pids_inside)
    ((${#pids[@]} > 0)) || return 0
    ((try < 10)) || kill -KILL "${pids[@]}" 2>/dev/null || true
    sleep 0.1
  done
}

down() {
  local role dir
  end_processes
  # Remove links first: a namespace lives on, with its links, as long as something refers to it.
  for role in $(all_ns); do
    # Most of them are not there.
    printf 'link delete %s\n' eth0 veth-a veth-b plain tagged outer inner |
      ip -n "$LAB-$role" -force -batch - 2>/dev/null || true
  done
  for role in $(all_ns); do ip netns delete "$LAB-$role"; done
  if [[ -f $STATE/nginx-dir ]]; then
    dir=$(<"$STATE/nginx-dir")
    [[ $dir != */synproxy-lab.?????? ]] || rm -rf "$dir"
  fi
  if [[ -f $STATE/watcher ]]; then
    dir=$(<"$STATE/watcher")
    # Not if the watcher itself is the caller; and by now the number may belong to another process.
    if [[ $dir != "$$" ]] && grep -qz lab-watch "/proc/$dir/cmdline" 2>/dev/null; then
      kill "$dir" 2>/dev/null || true
    fi
  fi
  rm -rf "$STATE"
  rmdir /run/synproxy-lab 2>/dev/null || true
}

bridge() {
  case ${1-} in
    on)
      # No waiting state and no multicast snooping: it passes everything from the first frame on, ND
      # too.
      in_ns proxy ip link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0
      in_ns proxy sysctl -q -w net.ipv6.conf.br0.disable_ipv6=1
      in_ns proxy ip link set veth-a master br0
      in_ns proxy ip link set veth-b master br0
      in_ns proxy ip link set br0 up
      ;;
    off) in_ns proxy ip link delete br0 2>/dev/null || true ;;
    *) die "bridge: on or off" 2 ;;
  esac
}

# -w: the lock of iptables is the machine's, and a busy one is no sign of a kernel without SYNPROXY.
synproxy_rules() {
  local tables=$1 rule=$2
  in_ns server "$tables" -w -t raw "$rule" PREROUTING -p tcp --dport 80 --syn -j CT --notrack &&
    in_ns server "$tables" -w "$rule" INPUT -p tcp --dport 80 -m state --state INVALID,UNTRACKED \
      -j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460 &&
    in_ns server "$tables" -w "$rule" INPUT -m state --state INVALID -j DROP
}

kernel_synproxy() {
  local tables
  case ${1-} in
    on)
      for tables in iptables-legacy ip6tables-legacy; do
        if ! synproxy_rules "$tables" -A 2>/dev/null; then
          kernel_synproxy off
          exit 3
        fi
      done
      in_ns server sysctl -q -w net.netfilter.nf_conntrack_tcp_loose=0 net.ipv4.tcp_syncookies=1 \
        net.ipv4.tcp_timestamps=1
      ;;
    off)
      for tables in iptables-legacy ip6tables-legacy; do
        in_ns server "$tables" -w -t raw -F 2>/dev/null || true
        in_ns server "$tables" -w -F 2>/dev/null || true
      done
      ;;
    *) die "kernel-synproxy: on or off" 2 ;;
  esac
}

# Over the client's own address, and past the filter that spares it answers to spoofed ones.
crowd() {
  in_ns client nft insert rule netdev lab ingress ip daddr 10.76.0.0/14 accept
  in_ns client ip route add local 10.76.0.0/14 dev lo
  in_ns server ip route add 10.76.0.0/14 via "$CLIENT4"
}

show() {
  [[ -n $(all_ns) ]] || die "no lab $LAB"
  local role
  for role in $(all_ns); do printf 'namespace_%s=%s\n' "${role//-/_}" "$LAB-$role"; done
  printf 'client4=%s\nclient6=%s\nserver4=%s\nserver6=%s\n' "$CLIENT4" "$CLIENT6" "$SERVER4" "$SERVER6"
  [[ ! -f $STATE/nginx-dir ]] || printf 'nginx=%s\n' "$(<"$STATE/nginx-dir")"
}

main() {
  if [[ ${1-} == --name ]]; then
    LAB=${2:?--name needs a name}
    shift 2
  fi
  set_names
  local command=${1-}
  (($# == 0)) || shift
  case $command in
    -h | --help | help) usage; return ;;
    up | down | exec | bridge | kernel-synproxy | crowd | show) need_root "it makes network namespaces" ;;
    *) usage >&2; exit 2 ;;
  esac
  case $command in
    up) up "$@" ;;
    down) down ;;
    bridge) bridge "$@" ;;
    kernel-synproxy) kernel_synproxy "$@" ;;
    crowd) crowd ;;
    show) show ;;
    exec)
      (($# >= 2)) || die "exec client|proxy|server COMMAND..." 2
      exists "$1" || die "no lab $LAB, or no $1 in it; make it first: lab.sh --name $LAB up"
      local where=$1
      shift
      exec ip netns exec "$LAB-$where" "$@"
      ;;
  esac
}

main "$@"
