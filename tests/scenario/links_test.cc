// SPDX-License-Identifier: BSD-3-Clause
// Frames that a timer makes: they leave in the VLAN of their connection, whatever others do.
#include <gtest/gtest.h>

#include <map>

#include "support/rounds.h"
#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

HarnessOptions many_flows() {
  HarnessOptions h;
  h.protect = {"203.0.113.10", "[2001:db8::10]"};
  h.engine.shape.max_flows = 1U << 14;
  h.engine.tuning.idle_timeout_ms = 40'000;  // keepalives after 30 s
  return h;
}

Mac router(unsigned n) {
  return {0x02, 0, 0, 0, static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n)};
}

// Opens a connection with these tags, and lets its client be behind a router of its own.
void open(ProxyHarness& p, std::vector<VlanTag> tags, const Mac& router_mac, std::uint16_t port,
          bool ipv6 = false) {
  Session c(p, {.ipv6 = ipv6, .client_port = port, .tags = std::move(tags), .timestamps = false});
  EXPECT_EQ(p.from_client(c.syn_frame()), Verdict::kReply);
  c.cookie = p.take_client().seq;
  Bytes ack = c.ack_frame();
  std::copy(router_mac.begin(), router_mac.end(), ack.begin() + 6);
  EXPECT_EQ(p.from_client(ack), Verdict::kDrop);
  p.to_server.clear();
  Bytes syn_ack = c.syn_ack_frame();
  std::copy(router_mac.begin(), router_mac.end(), syn_ack.begin());
  EXPECT_EQ(p.from_server(syn_ack), Verdict::kReply);
  p.to_client.clear();
  p.to_server.clear();
}

std::uint16_t inner_vid(const Bytes& frame, std::size_t tags) {
  return static_cast<std::uint16_t>((frame[10 + 4 * tags] << 8 | frame[11 + 4 * tags]) & 0xfff);
}

TEST(Links, KeepalivesOfAllVlansLeaveInTheirOwn) {
  ProxyHarness p(many_flows());
  for (std::uint16_t vid = 1; vid <= 4094; ++vid) open(p, {{vid}}, router(vid), 40'000);
  p.advance(32'000);
  std::map<unsigned, unsigned> to_client;
  std::map<unsigned, unsigned> to_server;
  for (const Bytes& frame : p.to_client) {
    const std::uint16_t vid = inner_vid(frame, 1);
    EXPECT_EQ(Mac({frame[0], frame[1], frame[2], frame[3], frame[4], frame[5]}), router(vid));
    ++to_client[vid];
  }
  for (const Bytes& frame : p.to_server) {
    const std::uint16_t vid = inner_vid(frame, 1);
    EXPECT_EQ(Mac({frame[6], frame[7], frame[8], frame[9], frame[10], frame[11]}), router(vid));
    ++to_server[vid];
  }
  EXPECT_EQ(to_client.size(), 4094U);
  EXPECT_EQ(to_server.size(), 4094U);
  EXPECT_EQ(p.count(Reason::link_forgotten), 0U);
  p.to_client.clear();
  p.to_server.clear();
}

// A neighbour forges MAC addresses in his own VLAN, and has more handshakes than there are places.
TEST(Links, ANeighboursHandshakesDivertNoFrameOfAnotherVlan) {
  // IPv4 below one tag, IPv6 below two.
  for (const bool ipv6 : {false, true}) {
    const auto tags = [&](std::uint16_t vid) {
      return ipv6 ? std::vector<VlanTag>{{7}, {vid}} : std::vector<VlanTag>{{vid}};
    };
    ProxyHarness p(many_flows());
    for (std::uint16_t port = 1000; port < 1020; ++port) {
      open(p, tags(10), router(1), port, ipv6);
    }
    const auto strangers = static_cast<std::uint16_t>(rounds(6000U));
    for (std::uint16_t n = 0; n < strangers; ++n) {
      open(p, tags(20), router(1000U + n), static_cast<std::uint16_t>(2000 + n), ipv6);
    }
    p.advance(32'000);
    unsigned ours = 0;
    for (const Bytes& frame : p.to_client) {
      const bool of_ours = inner_vid(frame, ipv6 ? 2 : 1) == 10;
      const bool to_router =
          Mac({frame[0], frame[1], frame[2], frame[3], frame[4], frame[5]}) == router(1);
      EXPECT_EQ(of_ours, to_router);
      ours += of_ours ? 1U : 0U;
    }
    EXPECT_EQ(ours, 20U);
    p.to_client.clear();
    p.to_server.clear();
  }
}

}  // namespace
}  // namespace synproxy
