// SPDX-License-Identifier: BSD-3-Clause
// Services with names: whose a packet, a connection and its end are. That all of it is counted is
// checked by the harness, in every test.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

// An engine between the services `web` (1) and `dns` (2) and an address of neither.
class Named : public testing::Test {
 protected:
  Named() {
    for (std::uint64_t e = 0; e < 4; ++e) ring_.publish(test_keys(1, e));
  }
  static ProtectRule rule(const char* text, NamedServiceId service) {
    ProtectRule out = parse_protect_rule(text);
    out.service = service;
    return out;
  }
  [[nodiscard]] std::uint64_t count(std::size_t service, Reason r) const {
    return counters_.services[service].get(r);
  }
  void feed(Role sender, std::vector<Bytes> frames) {
    std::vector<Packet> packets;
    for (Bytes& frame : frames) {
      const auto length = static_cast<std::uint32_t>(frame.size());
      frame.resize(2048);
      packets.push_back({.data = frame.data(), .length = length, .room = 2048});
    }
    engine_.process(sender, packets, 1000, sink_);
  }
  static Bytes syn(const char* server, std::uint16_t port, std::uint16_t client_port) {
    PacketBuilder b;
    b.ipv4("198.51.100.7", server).ports(client_port, port).flags(kSyn).mss(1460);
    return b.build();
  }

  class Nowhere final : public FrameSink {
    void emit(Role, std::span<const std::uint8_t>) override {}
  };

  ProtectSet protect_{{rule("203.0.113.0/24", 0), rule("203.0.113.10:80", 1),
                       rule("[2001:db8::10]:80", 1), rule("203.0.113.10:53", 2)}};
  KeyRing ring_;
  Counters counters_;
  Engine engine_{small_engine(), protect_, ring_, {1, 2, 3, 4}, counters_};
  Nowhere sink_;
};

TEST_F(Named, EachSynCountsForTheServiceOfItsAddressAndPort) {
  ASSERT_EQ(counters_.services.size(), 2U);
  std::vector<Bytes> flood;
  for (std::uint16_t port = 1; port <= 30; ++port) {
    flood.push_back(syn("203.0.113.10", port % 3 == 0 ? 53 : 80, port));
  }
  flood.push_back(syn("203.0.113.10", 22, 1));  // protected, without a name
  flood.push_back(syn("192.0.2.1", 80, 1));     // not protected
  feed(Role::kClient, flood);
  EXPECT_EQ(count(0, Reason::syn_received), 20U);
  EXPECT_EQ(count(0, Reason::synack_sent), 20U);
  EXPECT_EQ(count(1, Reason::syn_received), 10U);
  EXPECT_EQ(count(1, Reason::synack_sent), 10U);
  EXPECT_EQ(counters_.get(Reason::syn_received), 31U);
  EXPECT_EQ(counters_.get(Reason::forwarded), 1U);
}

TEST_F(Named, JunkAndForgedAcksCountAsDropsOfTheServiceThatTheyAreAimedAt) {
  std::vector<Bytes> aimed;
  for (const std::uint16_t flags : {std::uint16_t{kSyn | kFin}, std::uint16_t{kAck}}) {
    for (const std::uint16_t port : {std::uint16_t{80}, std::uint16_t{53}, std::uint16_t{80}}) {
      PacketBuilder b;
      b.ipv4("198.51.100.7", "203.0.113.10").ports(40000, port).flags(flags).seq(5).ack(6);
      aimed.push_back(b.build());
    }
  }
  feed(Role::kClient, aimed);
  EXPECT_EQ(count(0, Reason::syn_fin), 2U);
  EXPECT_EQ(count(1, Reason::syn_fin), 1U);
  EXPECT_EQ(count(0, Reason::cookie_invalid), 2U);
  EXPECT_EQ(count(1, Reason::cookie_invalid), 1U);
  EXPECT_EQ(count(0, Reason::syn_received), 0U);
}

TEST_F(Named, WithoutNamesNothingIsKept) {
  const ProtectSet plain({parse_protect_rule("203.0.113.10:80")});
  Counters counters;
  const Engine engine(small_engine(), plain, ring_, {1, 2, 3, 4}, counters);
  EXPECT_TRUE(counters.services.empty());
}

}  // namespace
}  // namespace synproxy
