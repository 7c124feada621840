// SPDX-License-Identifier: BSD-3-Clause
// Limits and timeouts.
#include <array>

#include "control/flag_rows.h"
#include "control/flag_values.h"

namespace synproxy::control {
namespace {

constexpr std::uint64_t kMaxFlows = 1ULL << 28;
constexpr std::uint64_t kMaxEarlyMemory = 64ULL << 30;

constexpr auto kLimitRows = std::to_array<Flag>({
    {.name = "syn-shed",
     .form = "auto|off",
     .example = "off",
     .group = FlagGroup::kLimits,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .accepts = "auto or off",
     .help = "when more SYNs arrive than can be answered, drop some of them early, so that "
             "connections that stand lose nothing",
     .reason =
         "On `auto`, a worker whose receive queue stays full reads it as fast as it can, answers "
         "SYNs after everything else and drops those that it has no time for (`syn_shed`). A hash "
         "of the source address decides, and changes over time; a SYN that comes again after a "
         "second is answered first. So a new client waits a second or a few. Otherwise its SYN "
         "would be lost among the forged ones, and so would other packets. ACKs that belong to no "
         "connection, and ICMP, are dropped likewise where they are what the worker cannot keep up "
         "with (`ack_shed`, `icmp_shed`). `off` leaves the choice to "
         "the device or the kernel, which drop whatever comes when their queue is full.",
     .value = word<kOffAuto>(kLoop<&LoopTuning::shed_syns>)},
    {.name = "max-flows",
     .form = "N",
     .example = "65536",
     .group = FlagGroup::kLimits,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .accepts = "1 to 268435456 flows",
     .help = "connections in the table, all workers together",
     .reason =
         "Connection rate times life of a finished connection has to fit. It keeps its record for "
         "`--close-timeout`, 60 s, so that 2^20 records carry about 17,400 new connections per "
         "second. Faster than that, finished ones are evicted early, which is harmless: each "
         "leaves its fingerprint in a filter until its cookie has expired (1.5 epochs, 96 s, at "
         "most). Clients that fall silent after their handshake are evicted next, once they have "
         "been silent for 5 s and a sweep has seen it: the table stays open to others up to "
         "max-flows / 6 of them per second, 174,000 by default. Connections that spoke lately "
         "are never evicted. A record takes 76 bytes with its place in "
         "the index, 32 more for IPv6. 2^28 of them fill 20 GB: a larger number is a typing "
         "mistake.",
     .value = integer<1, kMaxFlows>(kShape<&EngineShape::max_flows>)},
    {.name = "early-data-memory",
     .form = "BYTES",
     .example = "1G",
     .group = FlagGroup::kLimits,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .accepts = "a number of bytes up to 64G, K, M and G allowed (1K is 1024)",
     .help = "memory for data that clients send before the server has answered, bytes, all workers "
             "together",
     .reason =
         "A server 10 ms away and 100,000 new connections per second make 1,000 waiting requests; "
         "64 MiB hold 32 buffers of 2 KiB for each of them. Services share it: "
         "when it is full, the one that holds most gives up what it was sent first. What does not "
         "fit is dropped and the client resends it.",
     .value = size<kMaxEarlyMemory>(kShape<&EngineShape::early_data_memory>)},
    {.name = "server-timeout",
     .form = "SECONDS",
     .example = "0.5",
     .group = FlagGroup::kLimits,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .accepts = "0.2 to 600 seconds",
     .help = "give up on a server that does not answer, and reset the client, seconds",
     .reason =
         "The SYN is repeated after 0.2, 0.4 and 0.8 s and then every second, so a server that "
         "was restarted or whose accept queue was full is noticed within a second. 150 s outlast "
         "what a client itself would wait for its SYN-ACK: Linux gives up after 131 s, macOS "
         "after 75 s, Windows after 21 s. So no client is turned away that the server would have "
         "served. A shorter time tells the first client of a dead server sooner; later ones are "
         "not told that they are connected (docs/conformance.md). Below 0.2 s not a single repeat "
         "would be sent.",
     .value = seconds<200, 600'000>(kTuning<&EngineTuning::server_timeout_ms>)},
    {.name = "idle-timeout",
     .form = "SECONDS",
     .example = "600",
     .group = FlagGroup::kLimits,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .accepts = "1 to 604800 seconds",
     .help =
         "forget a connection that was silent that long and does not answer a keepalive, seconds",
     .reason =
         "RFC 5382, REQ-5, asks for 2 hours and 4 minutes (7,440 s): an end that sends TCP "
         "keepalives every 2 hours, the default of RFC 9293, keeps its connection. Both ends are "
         "probed 75 s before, and once more, so that a living connection is renewed. Where an end "
         "has said FIN, the client never sent data, or a repeat stayed unanswered, the server may "
         "have forgotten the connection: there this timeout is 150 s at most, and the ends are "
         "probed after 113 s. While more than three fifths of the table are in use (not counting "
         "closed connections) both are shorter, down to an eighth in a full one, but not below 20 s. Ages are kept in 32 bits of "
         "milliseconds, hence a limit of a week.",
     .value = seconds<1000, 604'800'000>(kTuning<&EngineTuning::idle_timeout_ms>)},
    {.name = "close-timeout",
     .form = "SECONDS",
     .example = "20",
     .group = FlagGroup::kLimits,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .accepts = "1 to 3600 seconds",
     .help = "translate late segments of a closed connection that long, seconds",
     .reason =
         "The TIME_WAIT of Linux: what an end may still send, or resend, after the close is "
         "translated as long as the other end can take it. A connection that both ends have "
         "closed, but not both acknowledged, has four times that: RFC 5382, REQ-5, asks for 4 "
         "minutes.",
     .value = seconds<1000, 3'600'000>(kTuning<&EngineTuning::close_timeout_ms>)},
    {.name = "epoch",
     .form = "SECONDS",
     .example = "32",
     .group = FlagGroup::kLimits,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .accepts = "1 to 3600 seconds",
     .help =
         "life of a cookie secret, seconds; a cookie is valid for 0.5 to 1.5 of it. Proxies that "
         "share a secret need the same value",
     .reason =
         "The shortest life of a cookie, half an epoch, has to outlast a client whose first data "
         "is lost with its ACK: by RFC 6298 it repeats after 1, 3, 7, 15 and 31 s, and 32 s cover "
         "all five. A longer one only gives an attacker more time for each secret.",
     .value = seconds<1000, 3'600'000>(kShape<&EngineShape::epoch_ms>)},
});

}  // namespace

std::span<const Flag> limit_rows() { return kLimitRows; }

}  // namespace synproxy::control
