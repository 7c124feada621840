// SPDX-License-Identifier: BSD-3-Clause
// Lists of sources, and what is junk.
#include <array>

#include "control/flag_rows.h"
#include "control/flag_values.h"

namespace synproxy::control {
namespace {

constexpr auto kListRows = std::to_array<Flag>({
    {.name = "allow-file",
     .form = "FILE|off",
     .example = "/etc/synproxy.allow",
     .group = FlagGroup::kLists,
     .kind = FlagKind::kRepeat,
     .change = Change::kReload,
     .per_service = true,
     .accepts = "a file of one address or prefix a line, # comments; or off",
     .help = "sources that have no limit and are not denied: addresses and prefixes of both "
             "families, one a line, # comments. Repeatable. SIGHUP reads it again",
     .reason =
         "None. Only limits and lists make an exception for these sources: they need a cookie like "
         "everybody, because a source address can be forged until it is proven. A source in both "
         "lists is allowed: a deny list is often somebody else's, and this one is yours. Format and "
         "memory as for --deny-file.",
     .value = list_files(At<&Config::lists, &ListFiles::allow>{})},
    {.name = "deny-file",
     .form = "FILE|off",
     .example = "/etc/synproxy.deny",
     .group = FlagGroup::kLists,
     .kind = FlagKind::kRepeat,
     .change = Change::kReload,
     .per_service = true,
     .accepts = "a file of one address or prefix a line, # comments; or off",
     .help = "sources whose packets to protected addresses are dropped before anything is "
             "answered, whatever their protocol and port: addresses and prefixes of both families, "
             "one a line, # comments. Repeatable. SIGHUP reads it again",
     .reason =
         "None. # and ; begin a comment, also behind a prefix. A line that is wrong, or has bits set "
         "after its prefix, is named with its number: then the program does not start, and a reload "
         "changes nothing. A reload builds the new list aside; no packet waits for it, and the old "
         "one is freed when every worker has the new one. A million IPv4 prefixes of whatever "
         "length take 12.7 MB, a million IPv6 prefixes 38.5 MB; some five times as much while they are read. "
         "Prefixes that touch or overlap count as one. Connections of a source that becomes denied "
         "hear nothing of their client any more and end by their timeouts. Only IPv6 neighbour "
         "discovery passes, because without it the link itself would fail. "
         "`--monitor deny` counts first what would be dropped.",
     .value = list_files(At<&Config::lists, &ListFiles::deny>{})},
    {.name = "bogons",
     .form = "on|off",
     .example = "on",
     .group = FlagGroup::kLists,
     .kind = FlagKind::kSwitch,
     .change = Change::kReload,
     .per_service = true,
     .accepts = "on or off",
     .help = "deny sources that no packet of the Internet has: private, documentation, reserved "
             "and other addresses that are not globally reachable",
     .reason =
         "Off, because clients in a lab, in a company's network or behind a load balancer have "
         "private addresses. They are those of IANA's special-purpose registries (RFC 6890): "
         "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, "
         "192.0.0.0/24, 192.0.2.0/24, 192.168.0.0/16, 198.18.0.0/15, 198.51.100.0/24, "
         "203.0.113.0/24 and 240.0.0.0/4; ::/128, ::1, ::ffff:0:0/96, 64:ff9b:1::/48, 100::/64, "
         "2001::/23, 2001:db8::/32, 3fff::/20, 5f00::/16, fc00::/7 and fe80::/10; without the "
         "parts of 192.0.0.0/24 and 2001::/23 that are globally reachable, and without Teredo. To "
         "keep one, put it into --allow-file: 10.0.0.0/8, for clients of your own network. ICMP "
         "errors pass, because many routers have private addresses and the path MTU depends on "
         "what they say.",
     .value = word<kOffOn>(At<&Config::lists, &ListFiles::bogons>{})},
    {.name = "min-ttl",
     .form = "N",
     .example = "32",
     .group = FlagGroup::kLists,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .per_service = true,
     .accepts = "0 to 255; 0 drops nothing",
     .help = "drop TCP to protected ports whose TTL or hop limit is below N; 0 drops nothing",
     .reason =
         "0: no TTL is wrong by itself. Hosts begin at 64, 128 or 255 and few are more than 30 hops "
         "away, so below 30 are hardly any but forged packets and traceroutes. A value that suits "
         "an attack shows in its packets; `--monitor min-ttl` counts first whom it would hit.",
     .value = integer<0, 255>(kTuning<&EngineTuning::min_ttl>)},
    {.name = "strict-window",
     .form = "on|off",
     .example = "on",
     .group = FlagGroup::kLists,
     .kind = FlagKind::kSwitch,
     .change = Change::kReload,
     .per_service = true,
     .accepts = "on or off",
     .help = "drop what clients send outside the window of a connection that stands, instead of "
             "leaving it to the server",
     .reason =
         "Off: a server decides for itself, and answers such a segment with an ACK (RFC 9293). On, "
         "it is spared a flood of them. A segment is inside if its number is no further from the "
         "expected one than the largest window that the server has shown, and it acknowledges "
         "nothing that was never sent (RFC 5961). So repeats, keepalives and what lies behind a "
         "loss are inside. RSTs outside are always dropped (`rst_out_of_window`).",
     .value = word<kOffOn>(kTuning<&EngineTuning::strict_window>)},
});

}  // namespace

std::span<const Flag> list_rows() { return kListRows; }

}  // namespace synproxy::control
