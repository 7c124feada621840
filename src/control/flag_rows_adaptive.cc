// SPDX-License-Identifier: BSD-3-Clause
// When SYNs are answered with cookies.
#include <array>

#include "control/flag_rows.h"
#include "control/flag_values.h"

namespace synproxy::control {
namespace {

constexpr std::uint64_t kMaxBacklog = 1ULL << 20;
constexpr std::uint64_t kMaxSynRate = 1'000'000'000;

constexpr auto kAdaptiveRows = std::to_array<Flag>({
    {.name = "mode",
     .form = "always|adaptive|off",
     .example = "adaptive",
     .group = FlagGroup::kAdaptive,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .per_service = true,
     .accepts = "always, adaptive or off",
     .help =
         "which SYNs are answered with cookies: always all; adaptive those of a service that is "
         "under attack, the others pass to the server and their connections are only watched; "
         "off none",
     .reason =
         "always: the server sees no SYN that is not proven, from the first one on. adaptive costs "
         "the server a part of its queue before cookies begin, and gives clients every TCP option "
         "until then: Fast Open and Multipath TCP work, and nothing is translated. off forwards "
         "and counts, what belongs to no known connection too; lists, limits and junk apply as in "
         "the other modes. A change of the mode ends no connection: those that are there stay "
         "what they are, spliced or watched, and cookies are good until they expire. A new SYN on "
         "a spliced connection is answered with a cookie in every mode.",
     .value = word<kModes>(kTuning<&EngineTuning::mode>)},
    {.name = "adaptive-backlog",
     .form = "N",
     .example = "4096",
     .group = FlagGroup::kAdaptive,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .per_service = true,
     .accepts = "1 to 1048576 connections",
     .help = "how many half-open connections the server of each service holds; the marks below are "
             "parts of it",
     .reason =
         "511 is the backlog that nginx and Apache listen with. Linux holds as many half-open "
         "connections as the smaller of that and net.core.somaxconn (`ss -ltn` shows it as "
         "Send-Q). A value above the server's own makes cookies begin too late, and one below it "
         "earlier than needed, which only costs clients their Fast Open.",
     .value = integer<1, kMaxBacklog>(kAdaptive<&AdaptiveTuning::backlog>)},
    {.name = "adaptive-start",
     .form = "PERCENT",
     .example = "50",
     .group = FlagGroup::kAdaptive,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .per_service = true,
     .accepts = "1 to 100, above --adaptive-end",
     .help = "cookies begin for a service when more of its backlog than this is half-open, percent",
     .reason =
         "25, as in OpenBSD's pf: three quarters of the queue are left for what is under way when "
         "cookies begin. A quarter of 511 is 127 connections whose clients have not answered: with "
         "a round trip of 100 ms, 1,270 new connections a second. Each worker has its part of it.",
     .value = integer<1, 100>(kAdaptive<&AdaptiveTuning::start_percent>)},
    {.name = "adaptive-end",
     .form = "PERCENT",
     .example = "20",
     .group = FlagGroup::kAdaptive,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .per_service = true,
     .accepts = "1 to 99, below --adaptive-start",
     .help = "cookies end for a service when less of its backlog than this would be half-open for "
             "the time of --adaptive-hold, percent",
     .reason =
         "12, as in OpenBSD's pf. What would be half-open are the SYNs of the last ten seconds that "
         "no handshake has followed, or the connections that the server still holds, whichever is "
         "more. The SYN rate must be below as large a part of its mark (12/25 of it).",
     .value = integer<1, 99>(kAdaptive<&AdaptiveTuning::end_percent>)},
    {.name = "adaptive-hold",
     .form = "SECONDS",
     .example = "300",
     .group = FlagGroup::kAdaptive,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .per_service = true,
     .accepts = "1 to 86400 seconds",
     .help = "how long a service must be calm before its cookies end, seconds",
     .reason =
         "60 s: attacks pause, and a cookie lives for about as long. Shorter, and an attacker who "
         "stops and goes on has a part of the server's queue each time.",
     .value = seconds<1'000, 86'400'000>(kAdaptive<&AdaptiveTuning::hold_ms>)},
    {.name = "adaptive-rate",
     .form = "N",
     .example = "50000",
     .group = FlagGroup::kAdaptive,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .per_service = true,
     .accepts = "a number of SYNs a second; 0 is any number",
     .help = "cookies begin for a service when more SYNs a second than this come for it, as an "
             "average over ten seconds; 0: its SYN rate begins none",
     .reason =
         "10,000: more than one server's accept loop takes in, and few enough to be passed on. "
         "It catches what leaves nothing half-open: SYNs that the server drops, and a server that "
         "sends cookies itself. Ten times as many are noticed within a second. Each worker has its "
         "part of it.",
     .value = integer<0, kMaxSynRate>(kAdaptive<&AdaptiveTuning::syn_rate>)},
});

}  // namespace

std::span<const Flag> adaptive_rows() { return kAdaptiveRows; }

}  // namespace synproxy::control
