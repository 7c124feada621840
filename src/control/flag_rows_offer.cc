// SPDX-License-Identifier: BSD-3-Clause
// What SYN-ACKs offer.
#include <array>

#include "control/flag_rows.h"
#include "control/flag_values.h"
#include "synproxy/wire/option_list.h"

namespace synproxy::control {
namespace {

constexpr std::uint64_t kMinMss = 88;
constexpr std::uint64_t kMaxWindow = 65535;

constexpr auto kOfferRows = std::to_array<Flag>({
    {.name = "sack-perm",
     .form = "on|off|auto",
     .example = "on",
     .group = FlagGroup::kOffer,
     .kind = FlagKind::kSwitch,
     .change = Change::kReload,
     .accepts = "on, off or auto",
     .help = "offer selective acknowledgements (iptables: --sack-perm)",
     .reason =
         "`auto` offers them until the server answers without: then their blocks are blanked on "
         "the connections that were promised them (`server_no_sack`), and new ones are not.",
     .value = word<kOffers>(kOffer<&OfferConfig::sack>)},
    {.name = "timestamp",
     .form = "on|off|auto",
     .example = "on",
     .group = FlagGroup::kOffer,
     .kind = FlagKind::kSwitch,
     .change = Change::kReload,
     .accepts = "on, off or auto",
     .help = "offer TCP timestamps to a client that sends them (iptables: --timestamp)",
     .reason =
         "`auto` offers them once eight SYN-ACKs in a row of that address and port have shown them, "
         "because a promise of timestamps cannot be taken back: without them the client drops "
         "every segment (RFC 7323, section 3.2). Several servers behind one address may differ. "
         "The first connections ask, and only they go without. `on` offers them always; they also make room in the "
         "cookie for the exact MSS, for ECN and for more tag bits. A server that lacks them after "
         "all resets its connections (`server_no_timestamps`) and is not offered for again on "
         "`auto`.",
     .value = word<kOffers>(kOffer<&OfferConfig::timestamps>)},
    {.name = "ecn",
     .form = "on|off|auto",
     .example = "off",
     .group = FlagGroup::kOffer,
     .kind = FlagKind::kSwitch,
     .change = Change::kReload,
     .accepts = "on, off or auto",
     .help = "agree to ECN with a client that asks for it (iptables: --ecn)",
     .reason =
         "`auto` agrees once eight SYN-ACKs in a row of that address and port have. Only a client that sends "
         "timestamps gets it: the other cookie has no room for the bit. Where the server then "
         "lacks ECN, ECT is cleared towards it (`server_no_ecn`).",
     .value = word<kOffers>(kOffer<&OfferConfig::ecn>)},
    {.name = "wscale",
     .form = "0-14|auto",
     .example = "9",
     .group = FlagGroup::kOffer,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .accepts = "0 to 14 or auto (RFC 7323, section 2.3)",
     .help = "window scale offered (iptables: --wscale)",
     .reason =
         "`auto` is what the server's SYN-ACKs showed last, before that 7, what a current Linux "
         "server offers. Where the server's own differs, the window field is rescaled. 14 is the "
         "largest shift of RFC 7323, section 2.3.",
     .value = integer_or_auto<0, kMaxWindowScale, kAutoScale>(kOffer<&OfferConfig::window_scale>)},
    {.name = "mss",
     .form = "BYTES|auto",
     .example = "1400",
     .group = FlagGroup::kOffer,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .accepts = "88 to 65535 bytes or auto",
     .help = "maximum segment size offered, bytes (iptables: --mss)",
     .reason =
         "`auto` is the least that the server's SYN-ACKs showed lately, but not below 536 (IPv6: "
         "1220), before that 1460 for IPv4 and 1440 for IPv6, what fits a 1500-byte MTU. Set it where the path to the server carries less. "
         "Below 88 bytes, the least that Linux lets a program ask of TCP_MAXSEG, a typing mistake "
         "is likelier than a wish.",
     .value = integer_or_auto<kMinMss, 65535, 0>(kOffer<&OfferConfig::mss>)},
    {.name = "early-window",
     .form = "BYTES",
     .example = "0",
     .group = FlagGroup::kOffer,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .accepts = "0 to 65535 bytes, K allowed (1K is 1024)",
     .help =
         "window of the SYN-ACK, bytes: what a client may send before the server has answered. 0 "
         "makes it wait",
     .reason =
         "Ten segments of 1460 bytes, the initial window of RFC 6928: a client sends no more at "
         "first anyway, so nobody waits. The window field of a SYN-ACK is never scaled, hence the "
         "limit.",
     .value = size<kMaxWindow>(kTuning<&EngineTuning::early_window>)},
    {.name = "synack-repeats",
     .form = "N",
     .example = "1",
     .group = FlagGroup::kOffer,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .accepts = "0 to 3",
     .help =
         "send an unanswered SYN-ACK again: after 1 s, and while few wait after 3 s and 7 s too",
     .reason =
         "A client whose handshake ACK is lost waits forever for a server that speaks first. The "
         "first repeat leaves 1.9 % of the connections hanging where each way loses 10 %, all "
         "three 0.07 %. Up to 4,096 SYN-ACKs a second and worker wait for the first one and 256 "
         "for each of the others; when more SYNs come, there are no repeats for as long. A forged "
         "SYN is answered by 1 + N SYN-ACKs at most.",
     .value = integer<0, 3>(kTuning<&EngineTuning::synack_repeats>)},
    {.name = "hide-rtt",
     .form = "on|off|auto",
     .example = "on",
     .group = FlagGroup::kOffer,
     .kind = FlagKind::kSwitch,
     .change = Change::kReload,
     .accepts = "on, off or auto",
     .help = "keep a server with BBR from taking the round trip to the proxy for the client's",
     .reason =
         "The handshake with the server takes microseconds, and the server measures it. BBR sizes "
         "its window by the shortest round trip of the last ten seconds, and crawls until it has "
         "forgotten that one (docs/conformance.md has figures). `on` sends the SYN to the server "
         "twice, so that it takes no sample from its SYN-ACK (RFC 6298, section 3), and echoes no "
         "timestamp in the ACK. It costs one more SYN and SYN-ACK per connection, and a server "
         "without a sample waits longer for a first flight that is lost whole: Linux probes after "
         "1 s. Cubic, the default of Linux, does not need it. `auto` hides nothing until a worker has "
         "seen the service crawl: a download without losses whose bytes under way have shrunk to a "
         "third. From then on it is `on` for that service (`service_crawls` counts them).",
     .value = word<kOffers>(kTuning<&EngineTuning::hide_rtt>)},
});

}  // namespace

std::span<const Flag> offer_rows() { return kOfferRows; }

}  // namespace synproxy::control
