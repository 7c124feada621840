// SPDX-License-Identifier: BSD-3-Clause
// The share of SYNs that the kernel lets in, and the count of those that it keeps out.
#include "dataplane/syn_ring.h"

#include <gtest/gtest.h>
#include <net/if.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>

#include "dataplane/proxy_fixture.h"
#include "dataplane/veth_pair.h"
#include "dataplane/wire_end.h"
#include "support/packet_builder.h"

namespace synproxy::dataplane {
namespace {

// A ring of 1,024 with so many SYNs arriving and so many read in each millisecond.
class RingModel {
 public:
  void run(unsigned ms, double arriving, double read) {
    for (unsigned i = 0; i < ms; ++i) {
      held_ = std::min(1024.0, held_ + arriving * share_.share());
      const int level = static_cast<int>(held_ / 128);  // before the reader takes some
      const double answered = std::min(held_, read);
      held_ -= answered;
      answered_ += answered;
      share_.step(++now_, level);
    }
  }
  [[nodiscard]] double take_answered() { return std::exchange(answered_, 0); }
  [[nodiscard]] const RingShare& share() const { return share_; }

 private:
  RingShare share_;
  std::uint64_t now_ = 0;
  double held_ = 0;
  double answered_ = 0;
};

TEST(RingShare, ComesToRestWhereNearlyAllThatCanBeAnsweredIs) {
  for (const double arriving : {150.0, 400.0, 1000.0}) {
    constexpr double kRead = 100;
    RingModel ring;
    ring.run(1000, arriving, kRead);
    static_cast<void>(ring.take_answered());
    ring.run(1000, arriving, kRead);
    EXPECT_GT(ring.take_answered(), 0.97 * 1000 * kRead) << arriving;
    EXPECT_NEAR(ring.share().share(), kRead / arriving, 0.1 * kRead / arriving) << arriving;
  }
}

TEST(RingShare, IsWholeWithoutAFloodAndSoonAfterOne) {
  RingModel ring;
  ring.run(1000, 50, 100);
  EXPECT_TRUE(ring.share().whole());
  ring.run(1000, 1000, 100);
  EXPECT_LT(ring.share().share(), 0.2);
  ring.run(1100, 10, 100);
  EXPECT_TRUE(ring.share().whole());
}

// Nobody reads, so all that is let in finds the ring full.
TEST(SynRing, WhatIsKeptOutIsReckonedFromAllThatIsLetIn) {
  if (!tests::own_network_namespace()) GTEST_SKIP() << "needs root: no network namespace";
  const tests::VethPair wire("syr-near", "syr-far");
  tests::WireEnd far(wire.far());
  SynRing ring(2048, {parse_protect_rule("203.0.113.10:80")});
  ASSERT_EQ(ring.ring().bind(static_cast<int>(::if_nametoindex(wire.near().c_str()))), 0);
  std::mt19937 random(1);
  const auto flood = [&](unsigned syns) {
    for (unsigned i = 0; i < syns; ++i) {
      const std::string source =
          "198.51." + std::to_string(random() % 256) + "." + std::to_string(random() % 256);
      far.send(
          test::PacketBuilder().ip(source, "203.0.113.10").ports(4000, 80).flags(kSyn).build());
    }
  };
  flood(2 * SynRing::kSlots);
  std::uint64_t now = 0;
  ASSERT_TRUE(tests::eventually([&] {
    ring.look(++now);
    return ring.shed_per_mille() > 500;
  }));
  static_cast<void>(ring.take_shed());
  const std::uint64_t before = ring.ring().drops();
  constexpr unsigned kSyns = 4000;
  flood(kSyns);
  std::uint64_t kept_out = 0;
  const auto told = [&] {
    ring.look(now += 20);
    kept_out += ring.take_shed();
    return kept_out + ring.ring().drops() - before;
  };
  EXPECT_TRUE(tests::eventually([&] { return told() > kSyns * 8 / 10; })) << kept_out;
  EXPECT_LT(told(), kSyns * 12 / 10);
  EXPECT_GT(kept_out, kSyns * 4 / 10);
}

}  // namespace
}  // namespace synproxy::dataplane
