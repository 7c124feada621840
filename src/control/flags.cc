// SPDX-License-Identifier: BSD-3-Clause
#include "control/flags.h"

#include <algorithm>

namespace synproxy::control {
namespace {

constexpr auto kTitles = std::to_array<GroupTitle>({
    {FlagGroup::kPorts, "Ports"},
    {FlagGroup::kProtection, "Protection"},
    {FlagGroup::kOffer, "What SYN-ACKs offer"},
    {FlagGroup::kLimits, "Limits and timeouts"},
    {FlagGroup::kRunning, "Running"},
    {FlagGroup::kOther, "Other"},
});

constexpr std::string_view kDeviceForms =
    "a Linux interface (eth1), xdp:eth1, a PCI address (0000:3b:00.0) or a DPDK device (net_tap0)";
constexpr std::string_view kSwitchForms = "on, off or auto";
constexpr std::string_view kForwardForms = "drop or forward";

constexpr auto kFlags = std::to_array<Flag>({
    {"client-port", "DEV", "", FlagGroup::kPorts, FlagKind::kValue, kDeviceForms,
     "where the clients are. DEV is a Linux interface (eth1: raw socket; xdp:eth1: AF_XDP), the "
     "PCI "
     "address of a NIC that DPDK drives (0000:3b:00.0), or a DPDK virtual device "
     "(net_tap0,iface=t0)",
     "A device that nobody named is never opened."},
    {"server-port", "DEV", "", FlagGroup::kPorts, FlagKind::kValue, kDeviceForms,
     "where the protected servers are; the same forms", "As for `--client-port`."},
    {"protect", "RULE", "", FlagGroup::kProtection, FlagKind::kRepeat,
     "ADDR[/LEN][:PORT[-PORT]], as in 203.0.113.10:80, 203.0.113.0/24:80-89 or [2001:db8::10]:443",
     "what is protected: ADDR[/LEN][:PORT[-PORT]], an IPv6 address with a port in brackets. "
     "Repeatable. Without a port: every port, and the server may open connections of its own",
     "What is protected is for you to say; all other traffic is forwarded untouched."},
    {"fragments", "drop|forward", "drop", FlagGroup::kProtection, FlagKind::kValue, kForwardForms,
     "what becomes of IP fragments of TCP to and from protected addresses",
     "No TCP of today is fragmented on purpose, and only the first fragment has ports: forwarded "
     "ones "
     "go past the proxy untranslated, SYNs in fragments too. `forward` is for addresses where "
     "something "
     "else, on an unprotected port, needs them."},
    {"tcp-auth", "drop|forward", "drop", FlagGroup::kProtection, FlagKind::kValue, kForwardForms,
     "what becomes of segments that carry TCP MD5 or TCP-AO (RFC 2385, RFC 5925) and belong to no "
     "connection of the proxy",
     "Their ends sign addresses, ports and sequence numbers, so no proxy can answer or translate "
     "them: "
     "such a SYN is dropped and counted (`tcp_auth`). `forward` lets them by in both directions, "
     "for a "
     "BGP speaker behind the proxy; so can then everybody who adds that option to a flood."},
    {"sack-perm", "on|off|auto", "auto", FlagGroup::kOffer, FlagKind::kSwitch, kSwitchForms,
     "offer selective acknowledgements (iptables: --sack-perm)",
     "`auto` offers them until the server answers without: then their blocks are blanked on the "
     "connections that were promised them (`server_no_sack`), and new ones are not."},
    {"timestamp", "on|off|auto", "auto", FlagGroup::kOffer, FlagKind::kSwitch, kSwitchForms,
     "offer TCP timestamps to a client that sends them (iptables: --timestamp)",
     "`auto` offers them from the moment a SYN-ACK of that address and port has shown them, "
     "because a "
     "promise of timestamps cannot be taken back: without them the client drops every segment (RFC "
     "7323, section 3.2). The first connection asks, so that only it, and those at the same time, "
     "go "
     "without. `on` offers them always; they also make room in the cookie for the exact MSS, for "
     "ECN "
     "and for more tag bits. A server that lacks them after all resets its connections "
     "(`server_no_timestamps`) and is not offered for again on `auto`."},
    {"ecn", "on|off|auto", "auto", FlagGroup::kOffer, FlagKind::kSwitch, kSwitchForms,
     "agree to ECN with a client that asks for it (iptables: --ecn)",
     "`auto` agrees once a SYN-ACK of that address and port has. Only a client that sends "
     "timestamps gets it: the other cookie has no room for "
     "the bit. Where the server then lacks ECN, ECT is cleared towards it (`server_no_ecn`)."},
    {"wscale", "0-14|auto", "auto", FlagGroup::kOffer, FlagKind::kValue,
     "0 to 14 or auto (RFC 7323, section 2.3)", "window scale offered (iptables: --wscale)",
     "`auto` is what the server's SYN-ACKs showed last, before that 7, what a current Linux server "
     "offers. Where the server's own differs, the window field is rescaled. 14 is the largest "
     "shift of "
     "RFC 7323, section 2.3."},
    {"mss", "BYTES|auto", "auto", FlagGroup::kOffer, FlagKind::kValue, "88 to 65535 bytes or auto",
     "maximum segment size offered, bytes (iptables: --mss)",
     "`auto` is what the server's SYN-ACKs showed last, before that 1460 for IPv4 and 1440 for "
     "IPv6, "
     "what fits a 1500-byte MTU. Set it where the path "
     "to the server carries less. Below 88 bytes, the least that Linux lets a program ask of "
     "TCP_MAXSEG, a typing mistake is likelier than a wish."},
    {"early-window", "BYTES", "14600", FlagGroup::kOffer, FlagKind::kValue,
     "0 to 65535 bytes, K allowed (1K is 1024)",
     "window of the SYN-ACK, bytes: what a client may send before the server has answered. 0 makes "
     "it wait",
     "Ten segments of 1460 bytes, the initial window of RFC 6928: a client sends no more at first "
     "anyway, so nobody waits. The window field of a SYN-ACK is never scaled, hence the limit."},
    {"synack-repeats", "N", "3", FlagGroup::kOffer, FlagKind::kValue, "0 to 3",
     "send an unanswered SYN-ACK again: after 1 s, and while few wait after 3 s and 7 s too",
     "A client whose handshake ACK is lost waits forever for a server that speaks first. The first "
     "repeat leaves 1.9 % of the connections hanging where each way loses 10 %, all three 0.07 %. "
     "Up to "
     "4,096 SYN-ACKs a second and worker wait for the first one and 256 for each of the others; "
     "when "
     "more SYNs come, there are no repeats for as long. A forged SYN is answered by 1 + N SYN-ACKs "
     "at "
     "most."},
    {"hide-rtt", "on|off", "off", FlagGroup::kOffer, FlagKind::kSwitch, "on or off",
     "keep the server from taking the round trip to the proxy for the client's: say it where the "
     "server uses BBR",
     "The handshake with the server takes microseconds, and the server measures it. BBR sizes its "
     "window by the shortest round trip of the last ten seconds, and crawls until it has forgotten "
     "that one (docs/conformance.md has figures). `on` sends the SYN to the server twice, so that "
     "it takes no sample from its SYN-ACK (RFC 6298, section 3), and echoes no timestamp in the "
     "ACK. It costs one more SYN and SYN-ACK per connection, and a server without a sample waits "
     "longer for a first flight that is lost whole: Linux probes after 1 s. Cubic, the default of "
     "Linux, does not need it."},
    {"syn-shed", "auto|off", "auto", FlagGroup::kLimits, FlagKind::kValue, "auto or off",
     "when more SYNs arrive than can be answered, drop some of them early, so that connections "
     "that "
     "stand lose nothing",
     "On `auto`, a worker whose receive queue stays full reads it as fast as it can, answers SYNs "
     "after everything else and drops those that it has no time for (`syn_shed`). A hash of the "
     "source address decides, and changes over time; a SYN that comes again after a second is "
     "answered first. So a new client waits a second or a few, where it would else be lost among "
     "the forged ones, as would every other packet. `off` leaves the choice to the device or the "
     "kernel, which drop whatever comes when their queue is full."},
    {"max-flows", "N", "1048576", FlagGroup::kLimits, FlagKind::kValue, "1 to 268435456 flows",
     "connections in the table, all workers together",
     "Connection rate times life of a finished connection has to fit. It keeps its record for "
     "`--close-timeout`, 60 s, so that 2^20 records carry about 17,400 new connections per second. "
     "Faster than that, finished ones are evicted early, which is harmless: each leaves its "
     "fingerprint in a filter until its cookie has expired (1.5 epochs, 96 s, at most). "
     "Established "
     "ones are never evicted. A record takes 76 bytes with its place in the index, 32 more for "
     "IPv6. 2^28 of them fill 20 GB: a larger number is a typing mistake."},
    {"early-data-memory", "BYTES", "64M", FlagGroup::kLimits, FlagKind::kValue,
     "a number of bytes up to 64G, K, M and G allowed (1K is 1024)",
     "memory for data that clients send before the server has answered, bytes, all workers "
     "together",
     "A server 10 ms away and 100,000 new connections per second make 1,000 waiting requests; 64 "
     "MiB hold 32 buffers of 2 KiB for each of them. What does not fit is dropped and the client "
     "resends it."},
    {"server-timeout", "SECONDS", "10", FlagGroup::kLimits, FlagKind::kValue, "0.2 to 600 seconds",
     "give up on a server that does not answer, and reset the client, seconds",
     "The SYN is repeated after 0.2 s, and each time after twice as long: six SYNs have been lost "
     "by "
     "then. The server is dead, and the client had better learn it while a person still waits. "
     "Below 0.2 s not a single repeat would be sent."},
    {"idle-timeout", "SECONDS", "7500", FlagGroup::kLimits, FlagKind::kValue, "1 to 604800 seconds",
     "forget a connection that was silent that long and does not answer a keepalive, seconds",
     "RFC 5382, REQ-5, asks for 2 hours and 4 minutes (7,440 s): an end that sends TCP keepalives "
     "every 2 hours, the default of RFC 9293, keeps its connection. Both ends "
     "are probed 75 s before, so that a living connection is renewed. Ages are kept in 32 bits of "
     "milliseconds, hence a limit of a week."},
    {"close-timeout", "SECONDS", "60", FlagGroup::kLimits, FlagKind::kValue, "1 to 3600 seconds",
     "translate late segments of a closed connection that long, seconds",
     "The TIME_WAIT of Linux: what an end may still send, or resend, after the close is translated "
     "as long as the other end can take it. A connection that both ends have closed, but not both "
     "acknowledged, has four times that: RFC 5382, REQ-5, asks for 4 minutes."},
    {"epoch", "SECONDS", "64", FlagGroup::kLimits, FlagKind::kValue, "1 to 3600 seconds",
     "life of a cookie secret, seconds; a cookie is valid for 0.5 to 1.5 of it. Proxies that share "
     "a secret need the same value",
     "The shortest life of a cookie, half an epoch, has to outlast a client whose first data is "
     "lost with its ACK: by RFC 6298 it repeats after 1, 3, 7, 15 and 31 s, and 32 s cover all "
     "five. "
     "A longer one only gives an attacker more time for each secret."},
    {"secret-file", "FILE", "", FlagGroup::kRunning, FlagKind::kValue,
     "a file of 16 to 1024 bytes that only its owner may read (chmod 600)",
     "master secret of the cookies, so that a restarted or a second proxy accepts them "
     "(head -c 32 /dev/urandom > FILE; chmod 600 FILE)",
     "Without it a random secret is made at start, which no restart can know: handshakes under way "
     "at that moment fail, and their clients try again."},
    {"workers", "LIST", "", FlagGroup::kRunning, FlagKind::kValue, "CPUs such as 0-1,3, each once",
     "CPUs that move packets, one thread each, as in 0-1,3 (default: the first CPU allowed)",
     "One worker on the first CPU of the affinity mask. A worker polls its ports and, "
     "while frames come, keeps its CPU at 100 %."},
    {"idle-sleep", "MICROSECONDS", "50", FlagGroup::kRunning, FlagKind::kValue,
     "0 to 1000 microseconds",
     "longest sleep of a worker while nothing arrives, microseconds; 0 keeps polling",
     "A receive queue of 1,024 frames, the usual one, holds what 10 Gbit/s of the smallest frames "
     "bring in 69 us; that leaves 19 us for waking when a flood begins. A queue that holds fewer "
     "frames shortens the sleep in proportion. The worker polls for "
     "50 us after each frame, then sleeps for a quarter of the silence so far, up to this limit: "
     "no "
     "connection that is busy notices, and the first frame after a silence waits that long at "
     "most, "
     "and until the kernel wakes the worker. Measured over memif on a busy virtual "
     "machine, where waking is dear: at 1,000 SYNs a second half of the SYN-ACKs came within 36 us "
     "(3 "
     "us when polling, 61 with a limit of 100, 80 with 500), and without traffic the worker took "
     "0.28 "
     "of its CPU (0.14 with 100, 0.08 with 500). A larger limit also risks the first frames of a "
     "sudden burst. Linux interfaces (eth1) wake the proxy with each frame, "
     "whatever the limit; xdp:eth1 does not. 0 keeps polling on every port: one CPU per worker at "
     "100 %, and the lowest latency. 1 ms is the tick of the proxy's timers, hence the largest "
     "limit."},
    {"name", "NAME", "synproxy", FlagGroup::kRunning, FlagKind::kValue,
     "1 to 48 of the characters A-Z a-z 0-9 _ . - and no . or - first",
     "tells several proxies on one machine apart; `synproxy stat --name` finds it by this",
     "It is DPDK's file prefix and names the directory of the telemetry socket, whose path has to "
     "fit the 108 bytes of a socket address: hence 48 characters."},
    {"stats-interval", "N", "0", FlagGroup::kRunning, FlagKind::kValue, "0 to 86400 seconds",
     "print a line of rates every N seconds; 0 prints none",
     "`synproxy stat` answers at any time; a daemon's log needs no line a second."},
    {"log-level", "LEVEL", "warning", FlagGroup::kRunning, FlagKind::kValue,
     "error, warning, info or debug",
     "error, warning, info or debug; with debug DPDK's own lines are shown too",
     "What needs an operator, and nothing else."},
    {"config", "FILE", "", FlagGroup::kRunning, FlagKind::kValue, "a file of lines `key = value`",
     "read these flags from FILE, lines `key = value`, # comments; flags given here win",
     "None is read unless named."},
    {"json", "", "", FlagGroup::kOther, FlagKind::kBare, "",
     "with `stat`: every counter, per worker and summed, as one JSON document", ""},
    {"help", "", "", FlagGroup::kOther, FlagKind::kBare, "", "print this text", ""},
    {"version", "", "", FlagGroup::kOther, FlagKind::kBare, "", "print the version", ""},
});

constexpr auto kCommands = std::to_array<Command>({
    {"synproxy stat [--name NAME]",
     "the table of /proc/net/stat/synproxy of the running proxy: same columns, hexadecimal, a row "
     "per worker"},
    {"synproxy stat --json [--name NAME]", "every counter as JSON"},
});

}  // namespace

std::span<const Flag> flags() { return kFlags; }
std::span<const GroupTitle> group_titles() { return kTitles; }
std::span<const Command> commands() { return kCommands; }

const Flag* find_flag(std::string_view name) {
  const auto* const it = std::ranges::find(kFlags, name, &Flag::name);
  return it == kFlags.end() ? nullptr : it;
}

}  // namespace synproxy::control
