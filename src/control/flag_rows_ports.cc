// SPDX-License-Identifier: BSD-3-Clause
// Ports, and what is protected behind them.
#include <array>

#include "control/flag_rows.h"
#include "control/flag_values.h"

namespace synproxy::control {
namespace {

constexpr auto kPortRows = std::to_array<Flag>({
    {.name = "client-port",
     .form = "DEV",
     .example = "eth1",
     .group = FlagGroup::kPorts,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .required = true,
     .accepts = "a Linux interface (eth1), xdp:eth1, a PCI address (0000:3b:00.0) or a DPDK device "
                "(net_tap0)",
     .help =
         "where the clients are. DEV is a Linux interface (eth1: raw socket; xdp:eth1: AF_XDP), "
         "the PCI address of a NIC that DPDK drives (0000:3b:00.0), or a DPDK virtual device "
         "(net_tap0,iface=t0)",
     .reason = "A device that nobody named is never opened.",
     .value = port(At<&Config::client_port>{})},
    {.name = "server-port",
     .form = "DEV",
     .example = "eth2",
     .group = FlagGroup::kPorts,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .required = true,
     .accepts = "host, a Linux interface (eth1), xdp:eth1, a PCI address (0000:3b:00.0) or a DPDK "
                "device (net_tap0)",
     .help = "where the protected servers are; the same forms, or host: this host itself, whose "
             "addresses on the client port's interface move to syn-eth1 while the proxy runs",
     .reason = "As for `--client-port`. With `host` nothing else is needed to protect the server "
               "that this machine is (docs/operation.md): what cannot work is refused before "
               "anything is changed.",
     .value = port(At<&Config::server_port>{})},
    {.name = "confirm",
     .form = "SECONDS|on|off",
     .example = "120",
     .group = FlagGroup::kPorts,
     .kind = FlagKind::kSwitch,
     .change = Change::kRestart,
     .accepts = "1 to 3600 seconds, on or off",
     .help = "with --server-port host: put the addresses back and end unless `synproxy host "
             "confirm` comes within so many seconds; alone: 60",
     .reason = "Off: a service that starts with the machine has nobody to confirm it. On a first "
               "try over SSH it brings the machine back when the move has cut you off, for example "
               "by a firewall's rule that names the interface.",
     .value = confirm(At<&Config::confirm>{})},
    {.name = "flow-offload",
     .form = "auto|on|off",
     .example = "off",
     .group = FlagGroup::kPorts,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .accepts = "auto, on or off",
     .help = "between two Linux interfaces: let the kernel carry connections that bring much, "
             "without a copy; on: fail where it cannot",
     .reason =
         "The proxy decides which connections, and sees all of their segments that need it. Where "
         "the kernel cannot (before Linux 6.6, without CAP_BPF, or by a port that is no Linux "
         "interface), everything goes through the proxy. `off` for who wants to see every frame "
         "in it at any time; during a `synproxy capture` the kernel carries nothing anyway.",
     .value = word<kOffers>(At<&Config::flow_offload>{})},
    {.name = "protect",
     .form = "RULE",
     .example = "203.0.113.10:80",
     .group = FlagGroup::kProtection,
     .kind = FlagKind::kRepeat,
     .change = Change::kRestart,
     .required = true,
     .per_service = true,
     .accepts = "ADDR[/LEN][:PORT[-PORT]], as in 203.0.113.10:80, 203.0.113.0/24:80-89 or "
                "[2001:db8::10]:443",
     .help =
         "what is protected: ADDR[/LEN][:PORT[-PORT]], an IPv6 address with a port in brackets. "
         "Repeatable. Without a port: every port, and the server may open connections of its own",
     .reason =
         "What is protected is for you to say; all other traffic is forwarded untouched. The rules "
         "are built into each worker and into the rules of the device.",
     .value = rules(At<&Config::protect>{})},
    {.name = "vlan-pair",
     .form = "CLIENT:SERVER",
     .example = "100:101",
     .group = FlagGroup::kProtection,
     .kind = FlagKind::kRepeat,
     .change = Change::kRestart,
     .accepts = "CLIENT:SERVER, two VLAN numbers from 1 to 4094, as in 100:101",
     .help =
         "private VLANs: frames of clients have the VLAN number CLIENT where those of servers have "
         "SERVER. Repeatable. Without it both directions have the same tags",
     .reason =
         "A connection is told from others by the tags of its frames, so the proxy has to know which "
         "two belong together. It counts for each tag of a frame.",
     .value = vlan_pairs(At<&Config::vlan_pairs>{})},
    {.name = "fragments",
     .form = "drop|forward|reassemble",
     .example = "forward",
     .group = FlagGroup::kProtection,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .accepts = "drop, forward or reassemble",
     .help = "what becomes of IP fragments of TCP to and from protected addresses",
     .reason =
         "A client that clears DF behind a narrow link sends its long segments in fragments, and "
         "only the first has ports: with `drop` and with `forward` its upload stalls, put together "
         "it takes as long as without the proxy (docs/conformance.md). Each fragment of a flood "
         "then costs some 120 cycles, with `drop` 47. `forward` is for addresses where something "
         "else, on an unprotected port, needs fragments as they are; SYNs in fragments go past the "
         "proxy too.",
     .value = word<kFragmentPolicies>(kTuning<&EngineTuning::fragments>)},
    {.name = "tcp-auth",
     .form = "drop|forward",
     .example = "forward",
     .group = FlagGroup::kProtection,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .accepts = "drop or forward",
     .help =
         "what becomes of segments that carry TCP MD5 or TCP-AO (RFC 2385, RFC 5925) and belong "
         "to no connection of the proxy",
     .reason =
         "Their ends sign addresses, ports and sequence numbers, so no proxy can answer or "
         "translate them: such a SYN is dropped and counted (`tcp_auth`). `forward` lets them by "
         "in both directions, for a BGP speaker behind the proxy. Then a flood whose segments "
         "carry that option gets by too.",
     .value = word<kDropForward>(kTuning<&EngineTuning::forward_tcp_auth>)},
    {.name = "unknown",
     .form = "drop|reset|forward",
     .example = "drop",
     .group = FlagGroup::kProtection,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .per_service = true,
     .accepts = "drop, reset or forward",
     .help = "what becomes of connections that are older than the proxy, and of all others that it "
             "does not know",
     .reason =
         "The proxy cannot translate a connection that it has not seen begin. On `reset` both ends "
         "get a RST (`conn_unknown`), as from a server that has rebooted, at most 1,000 connections "
         "a second for each worker. A server's segment is enough. A client's may be data of a new "
         "connection that has overtaken its handshake, so the server is asked first whether it "
         "knows the connection (`unknown_probe`); if it does not, the client is told after 30 s. "
         "On `drop` both ends wait for their own timeouts. `forward` lets their segments pass "
         "untouched (`unknown_forwarded`), so that connections that are older than the proxy go on; "
         "then forged ACKs and RSTs reach the server too. With `--server-port host` it is the default: "
         "connections of the host itself are older than the proxy, and none may break.",
     .value = word<kUnknownPolicies>(kTuning<&EngineTuning::unknown>)},
    {.name = "adopt",
     .form = "SECONDS",
     .example = "30",
     .group = FlagGroup::kProtection,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .accepts = "0 to 86400 seconds",
     .help = "for so long after the start, let connections go on that are older than the proxy, in "
             "seconds; 0: none",
     .reason =
         "0: a proxy that has always been there has nothing to adopt, and forged segments reach no "
         "server. With it a proxy that is put in front of a running server, or takes the place of "
         "`synproxy bypass`, cuts no connection. Segments that belong to none pass meanwhile "
         "(`adopt_forwarded`), those of clients at 10,000 a second at most for all workers "
         "(`adopt_shed`). A connection is adopted when a segment of each side has passed and the "
         "two agree (`conn_adopted`): from then on it is only watched, and outlives the time. Ends "
         "whose numbers contradict each other, because an earlier proxy has translated them, get a "
         "RST each (`conn_contradicted`). A connection that says nothing in that time is "
         "treated as --unknown says when it speaks, so give the interval of the slowest keepalives "
         "that you want to keep. docs/operation.md has more.",
     .value = seconds<0, 86'400'000>(kShape<&EngineShape::adopt_ms>)},
});

}  // namespace

std::span<const Flag> port_rows() { return kPortRows; }

}  // namespace synproxy::control
