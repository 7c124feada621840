// SPDX-License-Identifier: BSD-3-Clause
// Limits per source, and turns at the server.
#include <array>

#include "control/flag_rows.h"
#include "control/flag_values.h"

namespace synproxy::control {
namespace {

constexpr std::uint64_t kMaxLimitMemory = 8ULL << 30;

constexpr auto kSourceRows = std::to_array<Flag>({
    {.name = "limit-rate",
     .form = "N/UNIT[,burst=N][,mask4=N][,mask6=N]|off",
     .example = "100/second,burst=200",
     .group = FlagGroup::kSources,
     .kind = FlagKind::kRepeat,
     .change = Change::kReload,
     .per_service = true,
     .accepts = "N/second, N/minute, N/hour or N/day, and perhaps burst=, mask4= and mask6=, as in "
                "100/second,burst=200,mask4=24; or off",
     .help = "how fast one source may open connections. Sources are told apart by the first mask4 "
             "(32) and mask6 (64) bits of their address; burst (5) may come at once. Up to four, "
             "each with its own masks",
     .reason =
         "Only you know your clients. A connection is charged when its cookie has "
         "proven the address and before anything is kept for it, so forged packets spend nobody's "
         "budget, SYNs cost none, and an ACK that was refused and comes again is not charged. The "
         "meaning does not depend on the number of workers. This is "
         "`hashlimit --hashlimit-upto N/UNIT --hashlimit-burst N --hashlimit-mode srcip "
         "--hashlimit-srcmask MASK` on the first packet of a connection, with the same units and "
         "the same burst by default; `--hashlimit-htable-*` have no counterpart, because debts "
         "are kept as long as they last. A rate is met within 0.1 %. A changed burst keeps what "
         "sources have spent, any other change begins anew.",
     .value = limits(kLimit<&LimitTuning::rate>)},
    {.name = "limit-conns",
     .form = "N[,mask4=N][,mask6=N]|off",
     .example = "128,mask4=24,mask6=48",
     .group = FlagGroup::kSources,
     .kind = FlagKind::kRepeat,
     .change = Change::kReload,
     .per_service = true,
     .accepts =
         "a number of connections, and perhaps mask4= and mask6=, as in 128,mask4=24; or off",
     .help =
         "how many connections one source may have open; masks as for --limit-rate. Up to four, "
         "each with its own masks",
     .reason =
         "This is `connlimit --connlimit-upto N --connlimit-mask MASK "
         "--connlimit-saddr`. As there, a connection counts from its proven ACK until both ends "
         "have closed it or a RST has ended it. A client that opens a new connection with the ports "
         "of its old one needs no room for it. Connections that were opened before the limit are "
         "not counted, and counts outlive a change of the number. A NAT full of clients is one "
         "source: `--monitor limit-conns` shows first what a limit would do to it.",
     .value = limits(kLimit<&LimitTuning::conns>)},
    {.name = "limit-action",
     .form = "drop|reset",
     .example = "reset",
     .group = FlagGroup::kSources,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .per_service = true,
     .accepts = "drop or reset",
     .help = "what becomes of the ACK of a client that is over a limit",
     .reason =
         "A client that was dropped takes itself for connected. Its data comes again after 1, 3 and "
         "7 s and opens the connection as soon as the source is below its limit, as long as the "
         "cookie lives: so a short excess costs a delay and no error. A client that was reset knows "
         "at once, which is better where it has another server to go to.",
     .value = word<kDropReset>(kLimit<&LimitTuning::action>)},
    {.name = "limit-memory",
     .form = "BYTES",
     .example = "256M",
     .group = FlagGroup::kSources,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .accepts = "a number of bytes up to 8G, K, M and G allowed (1K is 1024)",
     .help = "memory for what sources have spent of their limits, bytes, all workers together",
     .reason =
         "An entry takes 8 bytes for each source and limit, and none is given up while its source "
         "is in debt or has connections. In 64 MiB, with a million addresses that attack at once, "
         "one newcomer in 100,000 finds no entry (with 16 MiB 4 in 100, with 8 MiB half of them). "
         "It shares a budget with its /16 (IPv6: /48) then (`limit_shared`). It is not let pass "
         "unlimited, as by nft's full sets, and not all newcomers are dropped, as by a full "
         "hashlimit. It takes memory only as it is used. A power of two is used.",
     .value = size<kMaxLimitMemory>(kShape<&EngineShape::limit_memory>)},
    {.name = "reply-rate",
     .form = "N[,mask4=N][,mask6=N]|off",
     .example = "1000,mask4=24,mask6=48",
     .group = FlagGroup::kSources,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .accepts = "a number of SYN-ACKs a second, and perhaps mask4= and mask6=, as in "
                "1000,mask4=24; or off",
     .help = "how many SYN-ACKs a second are sent to one claimed source at most; masks as for "
             "--limit-rate",
     .reason =
         "A flood of SYNs that claim your address makes the proxy send you its answers. "
         "With this, they are no more than the rate, repeats included, and a quarter of a second's "
         "worth at once: 20,000 a second are 13 Mbit/s. No honest client is harmed: 10,000 "
         "browsers behind one address that open six connections each within ten seconds are all "
         "answered at once. If they do so within one second, 42 % are answered at once, as many "
         "when they ask again after a second, the rest after three. A SYN that was capped and "
         "comes again has precedence over first ones. Sources are not remembered one by one, so a "
         "flood cannot fill anything up: while 1,000 claimed sources are above the rate, 4 of 1,000 "
         "others lose their first SYN. A flood of random sources makes that worse only above "
         "60,000 SYNs a second for each 1 of the rate. Each worker has its part of the rate.",
     .value = reply_rate(kLimit<&LimitTuning::reply>)},
    {.name = "server-backlog",
     .form = "N|auto[,mask4=N][,mask6=N]|off",
     .example = "auto",
     .group = FlagGroup::kSources,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .per_service = true,
     .accepts =
         "a number of connections up to 65535, or auto, and perhaps mask4= and mask6=, as in "
         "128,mask4=24; or off",
     .help =
         "how many connections of one service (address and port) may wait for the server's "
         "SYN-ACK. Others wait in the proxy, established from their client's side, and go on in "
         "turns of sources (masks as for --limit-rate)",
     .reason =
         "A server whose accept queue is full drops SYNs, and the client that repeats most gets in. "
         "With this flag the proxy asks for as many connections as the server has room for. The first "
         "connection of every source goes before the second one of any; a turn is forgotten after "
         "30 s. N is what the server gives listen(), as `ss -lnt` shows it. `auto` begins at 128: a "
         "SYN that stays unanswered for 0.6 s halves it (not below 8; once for all SYNs that were "
         "sent before), and as many answers as it is raise it by one while half of it is in use. A "
         "connection that the server leaves unanswered for 1.4 s gives its place to the next that "
         "waits, and is asked for again in its turn. Who waits longer than --server-timeout gets a "
         "RST. Sources of --allow-file never wait. Off, because a server that keeps up needs "
         "no help. The number holds for all workers together.",
     .value = server_backlog(kLimit<&LimitTuning::backlog>)},
    {.name = "tight-cookies",
     .form = "N|off",
     .example = "1000000",
     .group = FlagGroup::kSources,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .accepts = "a number of invalid cookies a second up to 1000000000, or off",
     .help =
         "above so many invalid cookies of one service a second, the cookies of clients without "
         "timestamps give up bits for options and get 16 times harder to guess (not with "
         "--secret-file)",
     .reason =
         "A flood of forged ACKs guesses cookies; without timestamps one of 8 million guesses opens a "
         "connection (docs/cookie.md). 100,000 a second, one hit in 84 s, is more than any network "
         "makes by mistake, and few enough to be stopped in time. Cookies are tight from the edge of an "
         "epoch (--epoch) on, half of one to one and a half later, and no cookie that is under way dies "
         "by it: what an epoch has is settled once, and the next process is told. They are usual ones "
         "again when for a minute fewer than half as many came. Until then new clients without "
         "timestamps have window scaling and SACK only if they offer both and a scale of 7 or more, as "
         "Windows does; it counts as 7. With --secret-file other proxies accept the same cookies and "
         "would not know, so there they stay as they are. Without names all is one service.",
     .value = integer_or_off<1, 1'000'000'000>(At<&Config::tight_cookies>{})},
    {.name = "monitor",
     .form = "RULE[,RULE...]|off",
     .example = "limit-rate",
     .group = FlagGroup::kSources,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .per_service = true,
     .accepts = "limit-rate, limit-conns, reply-rate, server-backlog, deny, bogons, min-ttl, "
                "strict-window, unknown, fragments, mode or tight-cookies, or several with commas; "
                "or off",
     .help = "rules that only count what they would do (limit_rate_monitored, deny_monitored and "
             "so on) and let it pass: limit-rate, limit-conns, reply-rate, server-backlog, deny, "
             "bogons, min-ttl, strict-window, unknown, fragments, mode, tight-cookies",
     .reason =
         "None: a rule that was given is meant. With it, a new limit or list can be watched for a day "
         "before it refuses anybody. `synproxy stat --json` lists the sources that would have been "
         "refused. `mode` says when `--mode adaptive` would begin cookies, and lets SYNs pass. "
         "--allow-file refuses nobody, so there is nothing to watch; `limit_allowed` counts what it "
         "lets pass. A service may watch rules of its own, but not reply-rate, fragments and "
         "tight-cookies, which are for all of them together.",
     .value = monitored(kLimit<&LimitTuning::monitored>)},
});

}  // namespace

std::span<const Flag> source_rows() { return kSourceRows; }

}  // namespace synproxy::control
