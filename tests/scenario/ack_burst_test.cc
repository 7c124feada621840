// SPDX-License-Identifier: BSD-3-Clause
// If the CPU can and many ACKs are forged, ACKs in bursts are refuted eight at a time. The results
// must be those of one at a time.
#include <gtest/gtest.h>

#include <random>

#include "burst/kernels.h"
#include "bursts_and_singles.h"
#include "support/rounds.h"

namespace synproxy {
namespace {

using namespace test;

class AckBurst : public WithKernels {
 protected:
  AckBurst() {
    HarnessOptions h;
    h.protect = {"203.0.113.10:80", "203.0.113.11:80", "[2001:db8::10]:80", "[2001:db8:0:10::]:80"};
    bursts = std::make_unique<ProxyHarness>(h);
    singles = std::make_unique<ProxyHarness>(h);
    bursts->checksums_must_be_good = singles->checksums_must_be_good = false;
  }

  static PacketBuilder segment(bool ipv6) {
    PacketBuilder b;
    if (ipv6) b.ip("2001:db8:1::7", "2001:db8::10");
    return b;
  }
  // What a client got for its SYN, from both alike.
  struct Cookie {
    std::uint32_t isn = 0;
    std::uint32_t tsval = 0;
  };
  using Tags = std::vector<std::uint16_t>;
  static void add_tags(PacketBuilder& b, const Tags& tags) {
    for (const std::uint16_t tag : tags) b.vlan(tag);
  }
  Cookie cookie_for(std::uint16_t port, std::uint32_t isn, bool stamped, bool ipv6 = false,
                    const Tags& tags = {}) {
    PacketBuilder b = segment(ipv6);
    add_tags(b, tags);
    b.ports(port, 80).seq(isn).flags(kSyn).mss(1460);
    if (seldom(random_, 2)) b.window_scale(7);
    if (stamped) b.timestamps(99, 0);
    Cookie c;
    for (ProxyHarness* p : {bursts.get(), singles.get()}) {
      // No server answers our SYNs here, so in time it comes in doubt and is asked first.
      if (p->from_client(b.build()) == Verdict::kForward) {
        EXPECT_TRUE(p->take_server().has(kSyn));
        PacketBuilder syn_ack;
        syn_ack.macs(kServerMac, kClientMac).ports(80, port);
        add_tags(syn_ack, tags);
        ipv6 ? syn_ack.ip("2001:db8::10", "2001:db8:1::7")
             : syn_ack.ip("203.0.113.10", "198.51.100.7");
        syn_ack.flags(kSyn | kAck).seq(1).ack(isn + 1);
        EXPECT_EQ(p->from_server(syn_ack.build()), Verdict::kDrop);
      }
      const DecodedFrame f = p->take_client();
      c = {f.seq, stamped ? f.tsval() : 0};
    }
    return c;
  }

  // From now on a burst of ACKs is taken for a flood.
  void flood(unsigned ipv6_of_8 = 0) {
    std::vector<Bytes> forged(kMaxBurst);
    for (Bytes& f : forged) {
      PacketBuilder b = ack(random_(), random_(), random_(), random_() % 2 != 0);
      if (random_() % 8 < ipv6_of_8) b.ip("2001:db8:1::7", "2001:db8::10");
      if (tagged_) b.vlan(7);
      f = b.build();
    }
    expect_alike(*bursts, *singles, forged);
    EXPECT_GE(bursts->count(Reason::cookie_invalid), kMaxBurst);
  }

  static PacketBuilder ack(std::uint64_t port, std::uint64_t seq, std::uint64_t number,
                           bool stamped, std::uint32_t tsecr = 0x12345678) {
    PacketBuilder b;
    b.ports(static_cast<std::uint16_t>(port), 80)
        .seq(static_cast<std::uint32_t>(seq))
        .ack(static_cast<std::uint32_t>(number));
    if (stamped) b.timestamps(100, tsecr);
    return b;
  }

  PacketBuilder genuine(std::uint16_t port, bool ipv6) {
    const bool stamped = seldom(random_, 2);
    const auto isn = static_cast<std::uint32_t>(random_());
    const Tags tags = random_tags();
    const Cookie c = cookie_for(port, isn, stamped, ipv6, tags);
    const unsigned probe = seldom(random_, 4) ? 1 : 0;  // a keepalive repeats the byte before
    PacketBuilder b = ack(port, isn + 1 - probe, c.isn + 1, stamped, c.tsval);
    if (ipv6) b.ip("2001:db8:1::7", "2001:db8::10");
    add_tags(b, tags);
    return b;
  }

  Tags random_tags() {
    Tags tags;
    if (tagged_ || (odd_ && seldom(random_, 2))) tags.resize(1 + random_() % 2, 7);
    return tags;
  }
  // What keeps an ACK from the table of shapes.
  void make_odd(PacketBuilder& b, bool ipv6) {
    if (seldom(random_, 2)) b.option({254, 4, 1, 2});
    if (!seldom(random_, 3)) return;
    ipv6 ? b.extension(kDestinationOptions, Bytes(8 * (1 + random_() % 2) - 2))
         : b.ip_options(Bytes(4 * (1 + random_() % 10), 1));
  }

  Bytes random_frame(unsigned ipv6_of_8) {
    constexpr std::array<const char*, 5> kSources{"198.51.100.7", "0.1.2.3", "127.0.0.1",
                                                  "224.0.0.9", "250.0.0.1"};
    constexpr std::array<std::uint16_t, 7> kFlags{
        kAck | kPsh, kAck | kFin, kAck | kUrg, kAck | kRst, kAck | kEce | kCwr, kAck | kAe, kPsh};
    const auto port = static_cast<std::uint16_t>(1024 + random_() % 60000);
    const bool ipv6 = random_() % 8 < ipv6_of_8;
    const bool real = seldom(random_, 6);
    PacketBuilder b =
        real ? genuine(port, ipv6)
             : ack(seldom(random_, 30) ? 80 : port, random_(), random_(), random_() % 2 != 0);
    if (tagged_ && !real) test::add_tags(b, random_);
    if (odd_) make_odd(b, ipv6);
    if (ipv6) {
      constexpr std::array<const char*, 6> kIpv6{"fe80::9", "::1", "::", "ff02::1", "::2", "1::1"};
      if (seldom(random_, 3)) b.ip(pick(random_, kIpv6), "2001:db8::10");
      if (seldom(random_, 6)) b.ip("2001:db8:1::7", "2001:db8:0:10::");  // of the same digest
    } else if (seldom(random_, 3)) {
      b.ip(pick(random_, kSources), seldom(random_, 2) ? "203.0.113.11" : "203.0.113.12");
    }
    if (seldom(random_, 6)) b.flags(pick(random_, kFlags));
    if (seldom(random_, 30)) b.vlan(5);
    if (seldom(random_, 8)) b.sack({{1, 2}});
    if (seldom(random_, 4)) b.payload(Bytes(random_() % 40, 'x'));
    if (seldom(random_, 20)) b.fragment(0x2000);
    if (seldom(random_, 20)) b.break_l4_checksum();
    if (seldom(random_, 2)) b.pad_to(60 + random_() % 40);
    Bytes frame = b.build();
    if (seldom(random_, 10)) {
      frame[random_() % frame.size()] ^= static_cast<std::uint8_t>(1U << random_() % 8);
    }
    if (seldom(random_, 20)) lie_about_length(frame, random_);
    if (seldom(random_, 20)) frame.resize(random_() % (frame.size() + 1));
    return frame;
  }

  void judge_at_random(int count) {
    for (int round = 0; round < count; ++round) {
      std::vector<Bytes> frames(1 + random_() % kMaxBurst);
      const unsigned ipv6_of_8 = pick(random_, std::array<unsigned, 4>{0, 1, 5, 8});
      for (Bytes& f : frames) f = random_frame(ipv6_of_8);
      if (seldom(random_, 20)) {  // in some epochs plain cookies are tight
        const bool tight = seldom(random_, 2);
        for (ProxyHarness* p : {bursts.get(), singles.get()}) p->want_tight_cookies(tight);
      }
      if (!seldom(random_, 3)) flood(ipv6_of_8);
      ASSERT_NO_FATAL_FAILURE(expect_alike(*bursts, *singles, frames)) << "round " << round;
      // The cookies that come belong to older epochs, and now and then to none.
      const std::uint64_t ms = seldom(random_, 10) ? 20'000 : 1;
      bursts->advance(ms);
      singles->advance(ms);
      for (ProxyHarness* p : {bursts.get(), singles.get()}) {
        p->to_client.clear();
        p->to_server.clear();
      }
    }
  }

  bool odd_ = false;
  bool tagged_ = false;
  std::mt19937 random_{21};
  std::unique_ptr<ProxyHarness> bursts;
  std::unique_ptr<ProxyHarness> singles;
};

TEST_P(AckBurst, IsJudgedAsEachOfItsAcksAlone) {
  judge_at_random(test::rounds(1500));
  EXPECT_GT(bursts->count(Reason::cookie_valid), test::rounds(500U));
}

// Behind tags, IP options and extension headers, with options that are not usual (ack/any_acks.h).
TEST_P(AckBurst, OfOddShapesIsJudgedAsEachOfItsAcksAlone) {
  odd_ = true;
  judge_at_random(test::rounds(1000));
  EXPECT_GT(bursts->count(Reason::cookie_valid), test::rounds(200U));
}

TEST_P(AckBurst, BehindTagsIsJudgedAsEachOfItsAcksAlone) {
  tagged_ = true;
  for (const bool odd : {false, true}) {
    odd_ = odd;
    judge_at_random(test::rounds(600));
  }
  EXPECT_GT(bursts->count(Reason::cookie_valid), test::rounds(500U));
}

TEST_P(AckBurst, WithOneOddFrameInAnyPlaceIsJudgedAsEachOfItsAcksAlone) {
  std::uint16_t port = 2000;
  const auto forged = [&](bool ipv6, const Tags& tags) {
    PacketBuilder b = ack(port++ | 1024U, random_(), random_(), false);
    if (ipv6) b.ip("2001:db8:1::7", "2001:db8::10");
    add_tags(b, tags);
    return b.build();
  };
  flood();
  expect_alike_with_one_other(*bursts, *singles, forged);
  EXPECT_EQ(bursts->flows(), 0U);
}

// The ACK that opens a connection and the segments after it come in one burst, in the middle of a
// flood.
TEST_P(AckBurst, WhatFollowsAGenuineAckInTheSameBurstIsHeldAndNotRefuted) {
  constexpr std::size_t kDataSegments = 6;
  const std::uint32_t isn = 5000;
  const Cookie c = cookie_for(4000, isn, true);
  flood();
  std::vector<Bytes> burst;
  for (int i = 0; i < 12; ++i) burst.push_back(ack(random_(), random_(), random_(), true).build());
  burst.push_back(ack(4000, isn + 1, c.isn + 1, true, c.tsval).build());
  for (std::uint32_t i = 0; i < kDataSegments; ++i) {
    burst.push_back(
        ack(4000, isn + 1 + i * 100, c.isn + 1, true, c.tsval).payload(Bytes(100, 'd')).build());
  }
  const std::uint64_t invalid = bursts->count(Reason::cookie_invalid);
  const auto verdicts = bursts->feed_burst(Role::kClient, burst);
  EXPECT_EQ(verdicts, std::vector<Verdict>(burst.size(), Verdict::kDrop));
  EXPECT_EQ(bursts->count(Reason::cookie_invalid) - invalid, 12U);
  EXPECT_EQ(bursts->count(Reason::early_held), kDataSegments);
  EXPECT_EQ(bursts->flows(), 1U);
}

// One bit of a cookie that fits: the ACK of an IPv6 client is known in the middle of a flood, and
// with any bit of what the cookie covers changed it is not.
TEST_P(AckBurst, InColumnsACookieOfIpv6CoversBothAddressesWhole) {
  const std::uint32_t isn = 5000;
  for (const bool stamped : {false, true}) {
    const Cookie c = cookie_for(4000, isn, stamped, true);
    PacketBuilder b = ack(4000, isn + 1, c.isn + 1, stamped, c.tsval);
    const Bytes good = b.ip("2001:db8:1::7", "2001:db8::10").build();
    std::vector<Bytes> burst;
    for (std::size_t byte = 23; byte < 38; ++byte) {  // of the source; its first one has rules
      Bytes other = good;
      other[byte] = static_cast<std::uint8_t>(other[byte] ^ 1U << byte % 8);
      burst.push_back(other);
    }
    flood(8);
    const std::uint64_t valid = bursts->count(Reason::cookie_valid);
    ASSERT_NO_FATAL_FAILURE(expect_alike(*bursts, *singles, burst));
    EXPECT_EQ(bursts->count(Reason::cookie_valid), valid);
    burst.assign(8, burst[0]);
    burst.push_back(good);
    ASSERT_NO_FATAL_FAILURE(expect_alike(*bursts, *singles, burst));
    EXPECT_EQ(bursts->count(Reason::cookie_valid), valid + 1);
  }
}

TEST_P(AckBurst, SegmentsOfALiveConnectionPassInTheMiddleOfAFlood) {
  const std::uint32_t isn = 7000;
  const Cookie c = cookie_for(4001, isn, true);
  bursts->from_client(ack(4001, isn + 1, c.isn + 1, true, c.tsval).build());
  const DecodedFrame syn = bursts->take_server();
  PacketBuilder syn_ack;
  syn_ack.ip("203.0.113.10", "198.51.100.7").ports(80, 4001).seq(900).flags(kSyn | kAck);
  syn_ack.ack(syn.seq + 1).mss(1460).sack_permitted().timestamps(1, syn.tsval()).window_scale(7);
  bursts->from_server(syn_ack.build());
  bursts->to_client.clear();
  bursts->to_server.clear();
  std::vector<Bytes> forged(kMaxBurst);
  for (Bytes& f : forged) f = ack(random_(), random_(), random_(), true).build();
  bursts->feed_burst(Role::kClient, forged);
  std::vector<Bytes> burst;
  for (std::uint32_t i = 0; i < kMaxBurst; ++i) {
    burst.push_back(
        i % 2 == 0 ? ack(random_(), random_(), random_(), true).build()
                   : ack(4001, isn + 1 + i / 2, c.isn + 1, true, c.tsval).payload("x").build());
  }
  const auto verdicts = bursts->feed_burst(Role::kClient, burst);
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    EXPECT_EQ(verdicts[i], i % 2 == 0 ? Verdict::kDrop : Verdict::kForward) << i;
  }
}

TEST_P(AckBurst, RefutesNothingOfAnEpochWithoutKeys) {
  AckGroup g;
  g.tagged = false;
  std::array<Bytes, Columns::kLanes> frames;
  for (std::uint32_t lane = 0; lane < Columns::kLanes; ++lane) {
    PacketBuilder b;
    b.ports(4000, 80).seq(7).ack(lane + 1);  // so that ack - 1 is even in the first lane
    frames[lane] = b.pad_to(Columns::kTouched).build();
    g.frames[lane] = frames[lane].data();
  }
  constexpr std::size_t kPlain = 1;
  ASSERT_EQ(kAckShapes[kPlain].options.count, 0U);
  const AckKernel& kernel = (*kernels_for(GetParam()).acks)[kPlain];
  ASSERT_EQ(kernel.verify(g, 0xff), 0xffU);
  const EpochKeys keys = test_keys(1, 1);
  const auto refuted = [&](const KeysByParity& plain) {
    return kernel.refute(g, 0xff, {plain, KeysByParity{}}, scale_set(7));
  };
  EXPECT_EQ(refuted({&keys.plain, &keys.plain}), 0xffU);
  EXPECT_EQ(refuted({&keys.plain, nullptr}), 0x55U);
  EXPECT_EQ(refuted({nullptr, &keys.plain}), 0xaaU);
  EXPECT_EQ(refuted({nullptr, nullptr}), 0U);
}

INSTANTIATE_TEST_SUITE_P(Kernels, AckBurst, kernels(), kernels_name);

}  // namespace
}  // namespace synproxy
