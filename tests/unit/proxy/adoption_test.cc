// SPDX-License-Identifier: BSD-3-Clause
// Which numbers make an older connection one that goes on, and which one that is told to end.
#include "synproxy/proxy/adoption.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace synproxy {
namespace {

using Verdict = Adoption::Verdict;

constexpr std::uint64_t kHash = 0x1234'5678'9abc'def1;
constexpr std::uint32_t kC = 0xfffff000;  // numbers of the client's stream, near the wrap
constexpr std::uint32_t kS = 0x7ffff000;

EngineShape adopting(std::uint32_t workers = 1) {
  EngineShape shape;
  shape.adopt_ms = 30'000;
  shape.workers = workers;
  return shape;
}

class AdoptionTest : public testing::Test {
 protected:
  static Adoption::Shown segment(std::uint32_t seq, std::uint32_t ack, std::uint32_t length) {
    return {.seq = SeqNum(seq), .end = SeqNum(seq + length), .ack = SeqNum(ack)};
  }
  Verdict client(std::uint32_t seq, std::uint32_t ack, std::uint32_t length = 0) {
    return a.client(kHash, segment(seq, ack, length), now, other);
  }
  Verdict server(std::uint32_t seq, std::uint32_t ack, std::uint32_t length = 0) {
    return a.server(kHash, segment(seq, ack, length), now, other);
  }

  Adoption a{adopting()};
  Adoption::Shown other;
  std::uint32_t now = 0xffffff00;
};

TEST_F(AdoptionTest, TheTimeBeginsWithTheFirstCall) {
  EXPECT_TRUE(a.goes_on(7'000'000));
  EXPECT_TRUE(a.goes_on(7'029'999));
  EXPECT_FALSE(a.goes_on(7'030'000));
}

TEST_F(AdoptionTest, EitherSideMaySpeakFirst) {
  EXPECT_EQ(client(kC - 1, kS), Verdict::kPass) << "a keepalive";
  EXPECT_EQ(server(kS, kC), Verdict::kAdopt);
  EXPECT_EQ(other.ack, SeqNum(kS));
  EXPECT_EQ(server(kS, kC, 5'000), Verdict::kPass) << "the place is free again";
  EXPECT_EQ(client(kC, kS + 2'500), Verdict::kAdopt);
  EXPECT_EQ(other.end, SeqNum(kS + 5'000));
  EXPECT_EQ(other.ack, SeqNum(kC));
}

TEST_F(AdoptionTest, AnotherConnectionsSegmentsSayNothing) {
  EXPECT_EQ(client(kC, kS), Verdict::kPass);
  EXPECT_EQ(a.server(kHash + 2, segment(kS, kC, 0), now, other), Verdict::kPass);
}

// What is under way was sent before the proxy looked.
TEST_F(AdoptionTest, ABusyClientAgreesARoundTripLater) {
  constexpr std::uint32_t kFlight = 20U << 20;
  EXPECT_EQ(server(kS, kC, 1'460), Verdict::kPass);
  for (std::uint32_t flight = kFlight; flight > 2U << 20; flight -= 1U << 20) {
    const std::uint32_t at = kS - flight;
    EXPECT_EQ(client(kC, at), Verdict::kPass);
    const Verdict v = server(at + kFlight, kC, 1'460);
    EXPECT_TRUE(v == Verdict::kPass || v == Verdict::kAsk) << "nobody is reset";
    now += 50;
  }
  EXPECT_EQ(client(kC, kS), Verdict::kAdopt);
}

TEST_F(AdoptionTest, AnUploadThatIsUnderWayAgreesAtOnce) {
  EXPECT_EQ(client(kC + (30U << 20), kS, 1'460), Verdict::kPass);
  EXPECT_EQ(server(kS, kC), Verdict::kAdopt);
}

// An earlier proxy has added a number to the server's.
TEST_F(AdoptionTest, TheOwnNumberOfAClientMakesItBelieved) {
  for (const std::uint32_t before : {0U, 1U}) {
    EXPECT_EQ(client(kC - before, kS + 0x4000'0000), Verdict::kPass);
    EXPECT_EQ(server(kS, kC), Verdict::kReset);
    EXPECT_EQ(other.ack, SeqNum(kS + 0x4000'0000));
  }
  EXPECT_EQ(client(kC, kS + 0x4000'0000, 700), Verdict::kPass);
  EXPECT_EQ(server(kS, kC + 700), Verdict::kReset) << "data that the server has taken";
}

// A forged segment has neither number. The client answers with the true ones when it is asked.
TEST_F(AdoptionTest, AnyOtherClientIsAskedAndTheTruthIsAdopted) {
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(client(kC + 0x1000'0000, kS + 0x4000'0000), Verdict::kPass);
    const Verdict v = server(kS, kC);
    EXPECT_EQ(v, i % 10 == 0 ? Verdict::kAsk : Verdict::kPass) << "every 200 ms";
    now += i < 40 ? 20 : 0;
    if (i == 40) break;
  }
  EXPECT_EQ(client(kC, kS), Verdict::kAdopt);
}

TEST_F(AdoptionTest, AClientThatContradictsWhenItWasAskedIsReset) {
  for (const bool far : {true, false}) {
    const std::uint32_t patience = far ? Adoption::kPatienceMs : Adoption::kLongPatienceMs;
    const std::uint32_t ack = kS + (far ? 0x4000'0000U : 0x0100'0000U);
    EXPECT_EQ(client(kC + 5'000, ack), Verdict::kPass);
    EXPECT_EQ(server(kS, kC), Verdict::kAsk);
    now += patience;
    EXPECT_EQ(server(kS, kC), Verdict::kAsk) << "it has not spoken since";
    EXPECT_EQ(client(kC + 5'000, ack), Verdict::kPass);
    now -= 1;
    EXPECT_NE(server(kS, kC), Verdict::kReset);
    now += 1;
    EXPECT_EQ(server(kS, kC), Verdict::kReset);
    EXPECT_EQ(other.ack, SeqNum(ack));
  }
}

TEST_F(AdoptionTest, WhatIsForgottenDoesNotContradict) {
  EXPECT_EQ(client(kC, kS + 0x4000'0000), Verdict::kPass);
  now += Adoption::kMemoryMs;
  EXPECT_EQ(server(kS, kC), Verdict::kPass);
}

TEST_F(AdoptionTest, AClientTakesNoPlaceOfAServerThatSpokeLately) {
  // All of one bucket.
  const auto flood = [&] {
    for (std::uint32_t n = 1; n <= 4 * Adoption::kWays; ++n) {
      ASSERT_EQ(a.client(kHash + 2 * n, segment(1, 2, 0), now, other), Verdict::kPass);
    }
  };
  EXPECT_EQ(server(kS, kC), Verdict::kPass);
  flood();
  EXPECT_EQ(client(kC, kS), Verdict::kAdopt);
  EXPECT_EQ(server(kS, kC), Verdict::kPass);
  now += Adoption::kKeepsPlaceMs;
  flood();
  EXPECT_EQ(client(kC, kS), Verdict::kPass) << "it is forgotten, and begins anew";
  EXPECT_EQ(server(kS, kC), Verdict::kAdopt);
}

TEST_F(AdoptionTest, ManyThatWakeAtOnceAreAllAdoptedByOneExchange) {
  std::mt19937_64 random(1);  // NOLINT(cert-msc51-cpp,bugprone-random-generator-seed)
  std::vector<std::uint64_t> hashes(1000);
  for (std::uint64_t& h : hashes) h = random();
  for (const std::uint64_t h : hashes) {
    ASSERT_EQ(a.client(h, segment(kC, kS, 20), now, other), Verdict::kPass);
  }
  for (const std::uint64_t h : hashes) {
    ASSERT_EQ(a.server(h, segment(kS, kC + 20, 20), now, other), Verdict::kAdopt);
  }
}

TEST_F(AdoptionTest, TheNextConnectionOfTheServerIsNotThePreviousOne) {
  EXPECT_EQ(server(kS + 0x4000'0000, kC), Verdict::kPass);
  EXPECT_EQ(server(kS, kC), Verdict::kPass);
  EXPECT_EQ(client(kC, kS + 0x2000'0000), Verdict::kPass) << "is between the two";
  EXPECT_EQ(client(kC, kS), Verdict::kAdopt);
}

TEST(Adoption, WorkersShareWhatMayPassInASecond) {
  for (const std::uint32_t workers : {1U, 4U, 1'000'000U}) {
    Adoption a(adopting(workers));
    const std::uint32_t most = std::max(1U, Adoption::kPassedPerSecond / workers);
    Adoption::Shown other;
    const auto send = [&](std::uint64_t n, std::uint32_t now) {
      return a.client(n << 32 | n, {.seq = SeqNum(kC), .end = SeqNum(kC), .ack = SeqNum(kS)}, now,
                      other);
    };
    EXPECT_EQ(a.server(7ULL << 32 | 7, {.seq = SeqNum(kS), .end = SeqNum(kS), .ack = SeqNum(kC)},
                       5'000, other),
              Verdict::kPass);
    for (std::uint32_t n = 0; n < most; ++n) {
      EXPECT_EQ(send(100 + n % 3'000, 5'000), Verdict::kPass);
    }
    EXPECT_EQ(send(99, 5'999), Verdict::kShed);
    EXPECT_FALSE(a.client_reset(5'999));
    EXPECT_EQ(send(7, 5'999), Verdict::kAdopt) << "what agrees is no flood";
    EXPECT_EQ(send(99, 6'000), Verdict::kPass);
    EXPECT_EQ(a.client_reset(6'000), most > 1);
  }
}

TEST_F(AdoptionTest, ResetsOfASecondAreLimited) {
  for (std::uint64_t n = 0; n < 2 * Adoption::kResetsPerSecond; ++n) {
    const std::uint64_t hash = n << 32 | 1;
    EXPECT_EQ(a.client(hash, segment(kC, kS + 0x4000'0000, 0), now, other), Verdict::kPass);
    EXPECT_EQ(a.server(hash, segment(kS, kC, 0), now, other),
              n < Adoption::kResetsPerSecond ? Verdict::kReset : Verdict::kPass);
  }
}

// Its client may be ahead of a handshake ACK that is still on its way.
TEST_F(AdoptionTest, AServersResetMayNotHitAClientThatWasSeenOnlyNow) {
  EXPECT_TRUE(a.server_reset(kHash, now)) << "an idle connection that the server ends";
  EXPECT_EQ(client(kC, kS), Verdict::kPass);
  EXPECT_FALSE(a.server_reset(kHash, now));
  now += Adoption::kPatienceMs;
  EXPECT_EQ(client(kC, kS), Verdict::kPass);
  EXPECT_TRUE(a.server_reset(kHash, now));
}

TEST_F(AdoptionTest, AServersResetPassesOnAConnectionThatItHas) {
  EXPECT_EQ(client(kC, kS + 0x0100'0000), Verdict::kPass);
  EXPECT_EQ(server(kS, kC), Verdict::kAsk);
  EXPECT_TRUE(a.server_reset(kHash, now));
}

}  // namespace
}  // namespace synproxy
