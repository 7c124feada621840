// SPDX-License-Identifier: BSD-3-Clause
// Everything that a seed decides before the first packet: hosts, links, engine, connections.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "support/packet_builder.h"
#include "synproxy/base/config.h"

namespace synproxy::test::sim {

inline constexpr std::uint64_t kNever = ~0ULL;

// One direction of one link.
struct LinkPlan {
  std::uint32_t drop = 0;  // permille, as the next three
  std::uint32_t duplicate = 0;
  std::uint32_t corrupt = 0;
  std::uint32_t mark_ce = 0;  // of packets that are ECT
  std::uint32_t delay = 0;    // milliseconds
  std::uint32_t jitter = 0;   // more than 0 reorders
};

// What the scripted end does and a polite stack does not, in permille of the occasions.
struct Mischief {
  std::uint32_t shuffle = 0;      // segments of one burst leave in another order
  std::uint32_t overlap = 0;      // a segment begins before what is new
  std::uint32_t stale = 0;        // an old frame of this or an earlier connection is sent again
  std::uint32_t keepalive = 0;    // while idle
  std::uint32_t urgent = 0;       // URG on data
  std::uint32_t odd_options = 0;  // timestamps unaligned, last, or twice
  std::uint32_t wild_rst = 0;     // RST out of the window, or in it and not exact
  std::uint32_t shrink = 0;       // the window's right edge moves back, down to a closed window
  std::uint32_t dsack = 0;        // a duplicate is reported (RFC 2883)
  bool syn_data = false;          // the SYN carries data
  bool ack_data = false;          // the handshake ACK carries data
  bool ignores_rst_in_time_wait = false;  // RFC 1337
};

struct HostPlan {
  bool lwip = false;
  Bytes address;
  Bytes peer;
  std::uint16_t port = 0;
  std::uint16_t peer_port = 0;
  Mac mac{};
  Mac peer_mac{};
  std::vector<VlanTag> tags;
  bool ipv6 = false;
  bool timestamps = true;
  bool sack = true;
  bool ecn = false;
  std::optional<std::uint8_t> scale = 7;
  std::uint16_t mss = 1460;   // announced; 0: no option
  std::uint32_t ts_base = 0;  // TSval at time 0, a tick each millisecond
  std::uint32_t time_wait_ms = 4'000;
  Mischief mischief;
};

enum class Ending : std::uint8_t {
  kClose,         // FINs; must succeed
  kClientAborts,  // RST in the middle
  kServerAborts,
  kRefused,  // nobody listens
  kSilent,   // the server answers nothing
};

// One end's part in one connection.
struct Part {
  std::uint32_t isn = 0;
  std::uint32_t peer_isn = 0;     // for a server: tells the application whose connection it is
  std::uint32_t buffer = 65'535;  // of the receiver
  std::size_t segment = 1000;     // payload sent at most at once
  std::size_t bytes = 0;          // to send
  std::uint64_t speaks_at = 0;    // milliseconds after the connection's begin
  bool waits_for_fin = false;     // closes only after the other side has
  std::uint32_t reads_permille = 1000;  // how readily the application reads what arrived
};

// The gap between this connection and the next one on the same addresses and ports.
enum class Gap : std::uint8_t {
  kNone,       // at once; late segments are still under way, TIME_WAIT stands
  kForgotten,  // at once, and both hosts have forgotten everything
  kDrained,    // when the links are empty
  kLong,       // when TIME_WAIT is over too
};

struct ConnectionPlan {
  Ending ending = Ending::kClose;
  std::uint64_t abort_at = 0;
  std::uint64_t server_deaf_until = 0;  // before that, the server sees nothing
  Part client;
  Part server;
  Gap gap = Gap::kDrained;  // after it
};

struct Plan {
  std::uint64_t seed = 0;
  bool poison = false;  // a second engine, in buffers poisoned differently
  bool bursts = false;  // frames that arrive together are given to the engine together
  EngineConfig engine;
  // Another client asks the service every few seconds, and the server is deaf to it. It takes the
  // one place that --server-backlog leaves.
  bool rival = false;
  bool modes = false;          // the operator changes --mode now and then
  bool allows_client = false;  // by a list, so its limits do not count
  bool denies_rival = false;   // by a list
  // The proxy is put in front of the server in the middle of the first connection (--adopt).
  std::uint64_t adopts_at = 0;         // 0: it was there before
  bool tight = false;                  // in every other epoch plain cookies are tight
  bool over_limits = false;            // the client opens connections faster than its limits allow
  std::uint64_t engine_starts_at = 0;  // milliseconds into an epoch
  std::uint32_t icmp = 0;              // permille of what passes that a router answers
  bool offloads = false;               // a kernel carries connections (--flow-offload)
  unsigned deaths = 0;                 // how often the process dies, and another goes on
  HostPlan client;
  HostPlan server;
  // [side of the proxy][0: to the host, 1: to the proxy]
  std::array<std::array<LinkPlan, 2>, 2> links;
  std::vector<ConnectionPlan> connections;
};

// With one seed in eight the process dies, or with every one.
[[nodiscard]] Plan make_plan(std::uint64_t seed, bool lwip_is_there, bool all_die = false);

}  // namespace synproxy::test::sim
