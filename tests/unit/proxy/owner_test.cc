// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <set>

#include "support/exact_buffer.h"
#include "support/packet_builder.h"
#include "synproxy/flow/index_hash.h"
#include "synproxy/proxy/arrival.h"

namespace synproxy {
namespace {

using namespace test;

constexpr std::array<std::uint64_t, 4> kKey{0x243f6a8885a308d3ULL, 0x9e3779b97f4a7c15ULL,
                                            0x13198a2e03707344ULL, 0xa4093822299f31d0ULL};
constexpr std::uint32_t kFallback = 77;

ProtectSet protect() {
  return ProtectSet({parse_protect_rule("203.0.113.10:80"), parse_protect_rule("2001:db8::10")});
}

std::uint32_t owner(const Bytes& frame, Role side, const ProtectSet& set, std::uint32_t workers) {
  const ExactBuffer buffer(frame);
  Arrival found;
  const std::uint32_t w = owner_of(buffer.span(), side, set, kKey, workers, kFallback, found);
  if (found.owned) {
    EXPECT_EQ(w, worker_of(found.hash, workers));
  } else {
    EXPECT_EQ(w, kFallback);
  }
  Segment parsed;
  parse_frame(buffer.data(), buffer.size(), parsed);
  EXPECT_EQ(found.segment.result, parsed.result) << "what the engine would find";
  EXPECT_EQ(found.segment.l4_offset, parsed.l4_offset);
  EXPECT_EQ(Bytes(buffer.data(), buffer.data() + buffer.size()), frame) << "it only reads";
  return w;
}

// A flow has one owner for both directions, and an ICMP error about it goes there too.
TEST(OwnerOf, BothDirectionsAndIcmpErrorsMeetTheSameWorker) {
  const ProtectSet set = protect();
  for (const bool ipv6 : {false, true}) {
    const char* server = ipv6 ? "2001:db8::10" : "203.0.113.10";
    const char* client = ipv6 ? "2001:db8:1::7" : "198.51.100.7";
    for (const std::uint32_t workers : {1U, 2U, 3U, 16U}) {
      std::set<std::uint32_t> seen;
      for (std::uint16_t port = 1; port < 400; ++port) {
        PacketBuilder up;
        up.vlan(port % 3).ip(client, server).ports(port, 80).flags(kSyn);
        PacketBuilder down;
        down.vlan(port % 3).ip(server, client).ports(80, port).flags(kAck);
        const auto w = owner(up.build(), Role::kClient, set, workers);
        ASSERT_LT(w, workers);
        seen.insert(w);
        EXPECT_EQ(owner(down.build(), Role::kServer, set, workers), w);
        PacketBuilder error_up;
        error_up.vlan(port % 3).ip(ipv6 ? "2001:db8:2::1" : "192.0.2.1", server);
        error_up.icmp_error(ipv6 ? 2 : 3, ipv6 ? 0 : 4, 1280, down.build_packet(ipv6 ? 48 : 28));
        EXPECT_EQ(owner(error_up.build(), Role::kClient, set, workers), w);
        PacketBuilder error_down;
        error_down.vlan(port % 3).ip(ipv6 ? "2001:db8:2::1" : "192.0.2.1", client);
        error_down.icmp_error(ipv6 ? 1 : 3, 1, 0, up.build_packet(ipv6 ? 48 : 28));
        EXPECT_EQ(owner(error_down.build(), Role::kServer, set, workers), w);
      }
      EXPECT_EQ(seen.size(), workers) << "every worker gets some";
    }
  }
}

TEST(OwnerOf, WhatIsNotProtectedTcpMayGoAnywhere) {
  const ProtectSet set = protect();
  const Bytes frames[] = {
      PacketBuilder().ether_type(0x0806).build(),
      PacketBuilder().protocol(17).build(),
      PacketBuilder().ports(40000, 81).flags(kSyn).build(),
      PacketBuilder().flags(kSyn).fragment(0x2000).build(),
      PacketBuilder().icmp_error(8, 0, 0, Bytes(28)).build(),
      PacketBuilder().icmp_error(3, 4, 0, PacketBuilder().protocol(17).build_packet()).build(),
      Bytes(14, 0),
      Bytes(1, 0),
      Bytes{},
  };
  for (const Bytes& frame : frames) EXPECT_EQ(owner(frame, Role::kClient, set, 4), kFallback);
}

TEST(OwnerOf, TruncatedFramesAreReadNoFurther) {
  const ProtectSet set = protect();
  const Bytes whole = PacketBuilder()
                          .vlan(4)
                          .ip("192.0.2.1", "203.0.113.10")
                          .icmp_error(3, 4, 0,
                                      PacketBuilder()
                                          .ip("203.0.113.10", "198.51.100.7")
                                          .ports(80, 4000)
                                          .ack(1)
                                          .build_packet())
                          .build();
  for (std::size_t n = 0; n < whole.size(); ++n) {
    EXPECT_EQ(
        owner(Bytes(whole.begin(), whole.begin() + static_cast<long>(n)), Role::kClient, set, 4),
        kFallback);
  }
}

}  // namespace
}  // namespace synproxy
