// SPDX-License-Identifier: BSD-3-Clause
// The SYN of the usual shape has a path of its own. Its answer must be that of any other SYN: the
// same options in another order get the same SYN-ACK, byte for byte.
#include <gtest/gtest.h>

#include <random>

#include "support/proxy_harness.h"
#include "support/rounds.h"

namespace synproxy {
namespace {

using namespace test;

struct Syn {
  bool ipv6 = false;
  unsigned tags = 0;
  std::uint16_t mss = 1460;
  std::uint8_t scale = 7;
  std::uint16_t ecn = 0;
  std::uint16_t port = 40000;
  std::uint32_t isn = 0;
  std::uint32_t tsval = 0;
};

PacketBuilder headers(const Syn& s) {
  PacketBuilder b;
  for (unsigned i = 0; i < s.tags; ++i) b.vlan(static_cast<std::uint16_t>(5 + i));
  s.ipv6 ? b.ip("2001:db8:1::7", "2001:db8::10") : b.ip("198.51.100.7", "203.0.113.10");
  b.ports(s.port, 80).seq(s.isn).flags(static_cast<std::uint16_t>(kSyn | s.ecn));
  return b;
}

Bytes usual(const Syn& s) {
  const auto byte = [](std::uint32_t v, unsigned shift) {
    return static_cast<std::uint8_t>(v >> shift);
  };
  return headers(s)
      .option({2,
               4,
               byte(s.mss, 8),
               byte(s.mss, 0),
               4,
               2,
               8,
               10,
               byte(s.tsval, 24),
               byte(s.tsval, 16),
               byte(s.tsval, 8),
               byte(s.tsval, 0),
               0,
               0,
               0,
               0,
               1,
               3,
               3,
               s.scale})
      .build();
}
Bytes unusual(const Syn& s) {
  return headers(s)
      .timestamps(s.tsval, 0)
      .window_scale(s.scale)
      .sack_permitted()
      .mss(s.mss)
      .build();
}

Bytes answer_to(ProxyHarness& p, const Bytes& frame) {
  EXPECT_EQ(p.from_client(frame), Verdict::kReply);
  return p.take_raw(Role::kClient);
}

Syn random_syn(std::mt19937& random) {
  constexpr std::array<std::uint16_t, 5> kMss{1, 536, 1460, 8960, 65535};
  constexpr std::array<std::uint16_t, 4> kEcn{0, kEce | kCwr, kEce, kEce | kCwr | kAe};
  Syn s;
  s.ipv6 = random() % 2 != 0;
  s.tags = static_cast<unsigned>(random() % 3);
  s.mss = kMss[random() % kMss.size()];
  s.scale = static_cast<std::uint8_t>(random() % 17);  // above 14 counts as 14
  s.ecn = kEcn[random() % kEcn.size()];
  s.port = static_cast<std::uint16_t>(1024 + random() % 50000);
  s.isn = static_cast<std::uint32_t>(random());
  s.tsval = static_cast<std::uint32_t>(random());
  return s;
}

TEST(CommonSyn, IsAnsweredAsTheSameOptionsInAnotherOrderAre) {
  std::mt19937 random(7);
  for (const Offer timestamps : {Offer::kOn, Offer::kOff, Offer::kAuto}) {
    for (const Offer ecn : {Offer::kOn, Offer::kOff}) {
      HarnessOptions h;
      h.engine.tuning.offer.timestamps = timestamps;
      h.engine.tuning.offer.ecn = ecn;
      h.engine.tuning.offer.mss = 1400;
      ProxyHarness p(h);
      for (int round = 0; round < test::rounds(400); ++round) {
        const Syn s = random_syn(random);
        ASSERT_EQ(answer_to(p, usual(s)), answer_to(p, unusual(s))) << "round " << round;
      }
    }
  }
}

// The other direction: the cookie in the SYN-ACK of the usual SYN opens a connection.
TEST(CommonSyn, ItsCookieIsGoodForItsOwnAck) {
  std::mt19937 random(8);
  ProxyHarness p;
  for (int round = 0; round < 300; ++round) {
    Syn s = random_syn(random);
    s.port = static_cast<std::uint16_t>(1024 + round);
    answer_to(p, usual(s));  // the service is known from now on
    ASSERT_EQ(p.from_client(usual(s)), Verdict::kReply);
    const DecodedFrame syn_ack = p.take_client();
    PacketBuilder b;
    for (unsigned i = 0; i < s.tags; ++i) b.vlan(static_cast<std::uint16_t>(5 + i));
    s.ipv6 ? b.ip("2001:db8:1::7", "2001:db8::10") : b.ip("198.51.100.7", "203.0.113.10");
    b.ports(s.port, 80).seq(s.isn + 1).ack(syn_ack.seq + 1);
    p.from_client(b.timestamps(s.tsval + 1, syn_ack.tsval()).build());
    const DecodedFrame syn = p.take_server();
    EXPECT_EQ(syn.seq, s.isn);
    EXPECT_EQ(syn.mss, s.mss);
    EXPECT_EQ(syn.window_scale, std::min<std::uint8_t>(s.scale, 14));
    EXPECT_TRUE(syn.sack_permitted);
  }
}

TEST(CommonSyn, DamagedAnywhereItIsNotAnswered) {
  ProxyHarness p;
  p.checksums_must_be_good = false;  // frames for others pass even if damaged
  for (const bool ipv6 : {false, true}) {
    Syn s;
    s.ipv6 = ipv6;
    s.isn = 0x12345678;
    s.tsval = 0x9abcdef0;
    const Bytes good = usual(s);
    answer_to(p, good);
    for (std::size_t at = kEthernetHeader; at < good.size(); ++at) {
      // IPv6 has no header checksum: nobody checks version, class, label and hop limit.
      if (ipv6 && (at < kEthernetHeader + 4 || at == kEthernetHeader + 7)) continue;
      for (unsigned bit = 0; bit < 8; ++bit) {
        Bytes bad = good;
        bad[at] = static_cast<std::uint8_t>(bad[at] ^ 1U << bit);
        EXPECT_NE(p.from_client(bad), Verdict::kReply) << "byte " << at << ", bit " << bit;
      }
    }
    p.to_client.clear();
    p.to_server.clear();
  }
}

TEST(CommonSyn, WhatThePortSaysOfTheChecksumCounts) {
  ProxyHarness p;
  Syn s;
  const Bytes good = usual(s);
  answer_to(p, good);
  p.checksum_hint = ChecksumHint::kBad;
  EXPECT_EQ(p.from_client(good), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::bad_checksum), 1U);
  p.checksum_hint = ChecksumHint::kGood;
  Bytes unchecked = good;
  unchecked[kEthernetHeader + kIpv4Header + 16] ^= 1U;
  answer_to(p, unchecked);
}

TEST(CommonSyn, ABurstOfThemIsAnsweredEachForItself) {
  std::mt19937 random(9);
  HarnessOptions h;
  h.engine.tuning.synack_repeats = 3;
  ProxyHarness p(h);
  for (int round = 0; round < 50; ++round) {
    std::vector<Syn> syns;
    std::vector<Bytes> burst;
    for (std::size_t i = 0; i < kMaxBurst; ++i) {
      syns.push_back(random_syn(random));
      burst.push_back(i % 5 == 4 ? unusual(syns.back()) : usual(syns.back()));
    }
    for (const Verdict v : p.feed_burst(Role::kClient, burst)) EXPECT_EQ(v, Verdict::kReply);
    for (const Syn& s : syns) {
      const DecodedFrame f = p.take_client();
      EXPECT_EQ(f.destination_port, s.port);
      EXPECT_EQ(f.ack, s.isn + 1);
      EXPECT_EQ(f.timestamps.back().second, s.tsval);
    }
  }
}

}  // namespace
}  // namespace synproxy
