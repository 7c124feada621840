// SPDX-License-Identifier: BSD-3-Clause
// If the CPU can, SYNs of any shape are answered eight at a time (syn/any_syns.h). The same frames
// must come back byte by byte as from a proxy that gets them one by one, and be counted the same.
#include "syn/any_syns.h"

#include <gtest/gtest.h>

#include <random>

#include "bursts_and_singles.h"
#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

Bytes bytes_at_random(std::mt19937& random, std::size_t n) {
  Bytes out(n);
  for (std::uint8_t& b : out) b = static_cast<std::uint8_t>(random());
  return out;
}

// A whole option, mostly one that a SYN may say something with.
Bytes option(std::mt19937& random) {
  constexpr std::array<std::uint16_t, 14> kMss{0,   1,   63,   64,   215,  339,  460,
                                               535, 536, 1219, 1220, 1440, 1460, 65535};
  const auto byte = [&] { return static_cast<std::uint8_t>(random()); };
  switch (random() % 9) {
    case 0:
      return {1};
    case 1:
    case 2: {
      const std::uint16_t mss =
          seldom(random, 3) ? static_cast<std::uint16_t>(random()) : pick(random, kMss);
      return {2, 4, static_cast<std::uint8_t>(mss >> 8), static_cast<std::uint8_t>(mss)};
    }
    case 3:
      return {3, 3, static_cast<std::uint8_t>(random() % 18)};
    case 4:
      return {4, 2};
    case 5:
      return {8, 10, byte(), byte(), byte(), byte(), byte(), byte(), byte(), byte()};
    case 6:
      return {static_cast<std::uint8_t>(seldom(random, 8) ? 19 : 64 + random() % 64), 4, 0, 0};
    case 7:
      return {static_cast<std::uint8_t>(random() % 9), static_cast<std::uint8_t>(random() % 12)};
    default:
      return {254, 6, byte(), byte(), byte(), byte()};
  }
}
Bytes options(std::mt19937& random) {
  Bytes all;
  for (std::size_t n = random() % 10; n != 0; --n) {
    const Bytes one = option(random);
    if (all.size() + one.size() > kMaxOptionBytes) break;
    all.insert(all.end(), one.begin(), one.end());
  }
  while (all.size() % 4 != 0) all.push_back(static_cast<std::uint8_t>(random() % 2));
  return all;
}

void add_headers(PacketBuilder& b, std::mt19937& random, bool ipv6) {
  for (std::size_t n = seldom(random, 3) ? random() % 4 : 0; n != 0; --n) {
    b.vlan(static_cast<std::uint16_t>(random() % 3));
  }
  if (!seldom(random, 3)) return;
  if (!ipv6) {
    b.ip_options(Bytes(4 * (random() % 11), 1));
  } else {
    for (std::size_t n = random() % 3; n != 0; --n) {
      b.extension(seldom(random, 2) ? kDestinationOptions : kHopByHop, Bytes(8 * (1 + n) - 2));
    }
  }
}

Bytes random_syn(std::mt19937& random, unsigned ipv6_of_8) {
  constexpr std::array<std::uint16_t, 5> kFlags{kSyn, kSyn | kEce | kCwr, kSyn | kEce, kSyn | kPsh,
                                                kSyn | kEce | kCwr | kAe};
  const bool ipv6 = random() % 8 < ipv6_of_8;
  PacketBuilder b;
  b.ip_raw(bytes_at_random(random, ipv6 ? 16 : 4),
           parse_address(ipv6 ? "2001:db8::10" : "203.0.113.10"));
  add_headers(b, random, ipv6);
  b.ports(static_cast<std::uint16_t>(random()), seldom(random, 4) ? 443 : 80)
      .seq(static_cast<std::uint32_t>(random()))
      .flags(pick(random, kFlags))
      .window(static_cast<std::uint16_t>(random()))
      .ttl(static_cast<std::uint8_t>(random()))
      .traffic_class(static_cast<std::uint8_t>(random()));
  if (ipv6) b.flow_label(static_cast<std::uint32_t>(random()) & 0xfffffU);
  b.option(options(random));
  if (seldom(random, 12)) b.payload("GET /");
  if (seldom(random, 20)) b.break_ip_checksum();
  if (seldom(random, 20)) b.break_l4_checksum();
  if (seldom(random, 8)) b.pad_to(60 + random() % 60);
  Bytes frame = b.build();
  if (seldom(random, 12)) {
    frame[random() % frame.size()] ^= static_cast<std::uint8_t>(1U << random() % 8);
  }
  return frame;
}

HarnessOptions two_services(Offer sack, Offer timestamps, Offer ecn) {
  HarnessOptions h;
  h.protect = {"203.0.113.10:80", "203.0.113.10:443", "[2001:db8::10]:80", "[2001:db8::10]:443"};
  h.engine.tuning.offer = {.sack = sack, .timestamps = timestamps, .ecn = ecn};
  return h;
}

class AnySyns : public WithKernels {};

TEST_P(AnySyns, AreAnsweredInABurstAsEachAlone) {
  expect_alike_at_random(two_services(Offer::kOn, Offer::kOn, Offer::kOn), 21, 400, random_syn);
  expect_alike_at_random(two_services(Offer::kOn, Offer::kOff, Offer::kOn), 22, 400, random_syn);
  expect_alike_at_random(two_services(Offer::kOff, Offer::kOn, Offer::kOff), 23, 400, random_syn);
  expect_alike_at_random(two_services(Offer::kAuto, Offer::kAuto, Offer::kAuto), 24, 400,
                         random_syn);
}

TEST_P(AnySyns, AreCappedInABurstAsEachAlone) {
  HarnessOptions h = two_services(Offer::kOn, Offer::kOn, Offer::kOn);
  h.engine.tuning.limits.reply = {.per_second = 100, .mask = {.ipv4 = 0, .ipv6 = 0}};
  std::mt19937 random(25);
  ProxyHarness bursts(h);
  ProxyHarness singles(h);
  bursts.checksums_must_be_good = singles.checksums_must_be_good = false;
  for (int round = 0; round < 100; ++round) {
    std::vector<Bytes> frames(kMaxBurst);
    const unsigned ipv6_of_8 = round % 2 == 0 ? 0 : 8;  // who is capped depends on the order
    for (Bytes& f : frames) f = random_syn(random, ipv6_of_8);
    bursts.feed_burst(Role::kClient, frames);
    for (const Bytes& f : frames) singles.from_client(f);
    for (const Reason r : {Reason::syn_received, Reason::synack_sent, Reason::reply_capped,
                           Reason::bad_checksum, Reason::tcp_auth}) {
      ASSERT_EQ(bursts.count(r), singles.count(r)) << "round " << round;
    }
  }
  EXPECT_GT(bursts.count(Reason::reply_capped), 1000U);
}

// The buffers are allocated to the byte.
TEST_P(AnySyns, NeedRoomForTheLongestAnswer) {
  ProxyHarness bursts;
  ProxyHarness singles;
  for (const bool ipv6 : {false, true}) {
    PacketBuilder b;
    if (ipv6) b.ip("2001:db8:1::7", "2001:db8::10");
    const Bytes syn = b.vlan(5).seq(1).flags(kSyn).build();
    for (std::size_t room = syn.size(); room <= syn.size() + 24; ++room) {
      bursts.room = singles.room = static_cast<std::uint32_t>(room);
      ASSERT_NO_FATAL_FAILURE(expect_alike(bursts, singles, std::vector<Bytes>(kMaxBurst, syn)));
    }
  }
}

// Every byte of a SYN counts, in each lane.
TEST_P(AnySyns, ADamagedOneIsDroppedAmongGoodOnes) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    p.checksums_must_be_good = false;
    PacketBuilder b;
    if (ipv6) b.ip("2001:db8:1::7", "2001:db8::10");
    const Bytes syn =
        b.vlan(5).seq(1).flags(kSyn).mss(1460).option({254, 6, 1, 2, 3, 4, 1, 1}).build();
    const std::size_t first = ipv6 ? 18 + ipv6_at::kSource : 18 + ipv4_at::kSource;
    for (std::size_t at = first; at < syn.size(); ++at) {
      if (at >= 18 + ip_destination_at(ipv6) && at < 18 + ip_header_size(ipv6)) continue;
      if (at >= 18 + ip_header_size(ipv6) + 2 && at < 18 + ip_header_size(ipv6) + 4) continue;
      if (at == 18 + ip_header_size(ipv6) + 12 || at == 18 + ip_header_size(ipv6) + 13) continue;
      std::vector<Bytes> burst(8, syn);
      burst[at % 8][at] ^= 0x04;
      const std::vector<Verdict> verdicts = p.feed_burst(Role::kClient, burst);
      for (std::size_t i = 0; i < burst.size(); ++i) {
        EXPECT_EQ(verdicts[i], i == at % 8 ? Verdict::kDrop : Verdict::kReply) << at;
      }
    }
    EXPECT_GT(p.count(Reason::bad_checksum), 20U);
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, AnySyns, kernels(), kernels_name);

}  // namespace
}  // namespace synproxy
