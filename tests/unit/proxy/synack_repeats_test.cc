// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/synack_repeats.h"

#include <gtest/gtest.h>

#include <vector>

namespace synproxy {
namespace {

SynAckRepeats::Entry* admit(SynAckRepeats& r, std::uint32_t now, std::uint16_t port) {
  SynAckRepeats::Entry* e = r.admit(now);
  if (e != nullptr) e->key.client_port = port;
  return e;
}

// With these numbers of its own.
SynAckRepeats::Entry* filed(SynAckRepeats& r, std::uint64_t hash, SeqNum seq, SeqNum ack) {
  SynAckRepeats::Entry* e = admit(r, 1000, 1);
  e->syn_ack.seq = seq;
  e->syn_ack.ack = ack;
  r.file(*e, hash);
  return e;
}

std::vector<unsigned> due(SynAckRepeats& r, std::uint32_t now, bool unanswered,
                          unsigned limit = 10'000) {
  std::vector<unsigned> ports;
  r.run(now, limit, [&](const SynAckRepeats::Entry& e) {
    ports.push_back(e.key.client_port);
    return unanswered;
  });
  return ports;
}

TEST(SynAckRepeats, GivesBackInOrderAfterASecond) {
  SynAckRepeats r(3);
  admit(r, 100, 1);
  admit(r, 100, 2);
  admit(r, 150, 3);
  EXPECT_TRUE(due(r, 1099, true).empty());
  EXPECT_EQ(due(r, 1100, false), (std::vector<unsigned>{1, 2}));
  EXPECT_EQ(due(r, 1150, true), (std::vector<unsigned>{3}));
  EXPECT_TRUE(due(r, 3149, true).empty());
  EXPECT_EQ(due(r, 3150, true), (std::vector<unsigned>{3}));
  EXPECT_EQ(due(r, 7150, true), (std::vector<unsigned>{3}));
  EXPECT_EQ(r.waiting(), 0U);
}

TEST(SynAckRepeats, IsFoundByItsKeyAndItsExactNumber) {
  SynAckRepeats r(1);
  constexpr std::uint64_t kHash = 77;
  SynAckRepeats::Entry* e = filed(r, kHash, SeqNum(500), SeqNum(900));
  const FlowKey key = e->key;
  EXPECT_EQ(r.find(key, kHash, SeqNum(900)), e);
  EXPECT_EQ(r.find_sent(key, kHash, SeqNum(500)), e);
  for (const std::uint32_t wrong : {499U, 501U, 899U, 901U}) {
    EXPECT_EQ(r.find(key, kHash, SeqNum(wrong)), nullptr);
    EXPECT_EQ(r.find_sent(key, kHash, SeqNum(wrong)), nullptr);
  }
  FlowKey other = key;  // of the same place
  other.client_port = 2;
  EXPECT_EQ(r.find(other, kHash, SeqNum(900)), nullptr);
  EXPECT_EQ(r.find_sent(other, kHash, SeqNum(500)), nullptr);
  e->refused = true;
  EXPECT_EQ(r.find(key, kHash, SeqNum(900)), nullptr);
  EXPECT_EQ(r.find_sent(key, kHash, SeqNum(500)), nullptr);
}

TEST(SynAckRepeats, TheLastOfAKeyIsToldFromAnEarlierOne) {
  SynAckRepeats r(3);
  constexpr std::uint64_t kHash = 77;
  constexpr SeqNum kFirst(899);
  constexpr SeqNum kSecond(5000);
  const auto file = [&](std::uint32_t now, SeqNum isn) {
    SynAckRepeats::Entry* e = admit(r, now, 1);
    e->syn_ack.ack = isn + 1;
    r.file(*e, kHash);
    return e;
  };
  const FlowKey key = file(1000, kFirst)->key;
  EXPECT_EQ(r.latest_but(key, kHash, kFirst), nullptr);
  const SynAckRepeats::Entry* second = file(1100, kSecond);
  EXPECT_EQ(r.latest_but(key, kHash, kSecond), nullptr);
  EXPECT_EQ(r.latest_but(key, kHash, kFirst), second);
  FlowKey other = key;
  other.client_port = 2;
  EXPECT_EQ(r.latest_but(other, kHash, kFirst), nullptr);
  constexpr std::uint64_t kOfThatPlace = kHash + (std::uint64_t{1} << 40);
  EXPECT_EQ(r.latest_but(other, kOfThatPlace, kFirst), nullptr);

  EXPECT_EQ(due(r, 2100, true).size(), 2U);  // both go on to their next wait
  const SynAckRepeats::Entry* moved = r.latest_but(key, kHash, kFirst);
  ASSERT_NE(moved, nullptr);
  EXPECT_NE(moved, second);
  EXPECT_EQ(moved->syn_ack.ack, kSecond + 1);
}

// In a flood nothing is filed, so what was filed before may not be the last any more.
TEST(SynAckRepeats, NoLastOneIsKnownOnceAFloodHasSwitchedItOff) {
  SynAckRepeats r(3);
  constexpr std::uint64_t kHash = 77;
  const FlowKey key = filed(r, kHash, SeqNum(500), SeqNum(900))->key;
  while (admit(r, 1000, 2) != nullptr) {
  }
  EXPECT_EQ(r.latest_but(key, kHash, SeqNum(1)), nullptr);
  EXPECT_EQ(r.find(key, kHash, SeqNum(900)), nullptr);
  EXPECT_EQ(r.find_sent(key, kHash, SeqNum(500)), nullptr);
}

TEST(SynAckRepeats, NoLastOneIsKnownOnceNoneAreAskedFor) {
  SynAckRepeats r(3);
  const FlowKey key = filed(r, 77, SeqNum(500), SeqNum(900))->key;
  r.set_repeats(0);
  r.set_repeats(3);
  EXPECT_EQ(r.find(key, 77, SeqNum(900)), nullptr);
}

TEST(SynAckRepeats, WorksAcrossTheWrapOfTheClock) {
  SynAckRepeats r(1);
  admit(r, 0xffffff00U, 1);
  EXPECT_TRUE(due(r, 0xffffffffU, true).empty());
  EXPECT_EQ(due(r, 0xffffff00U + 1000U, true), (std::vector<unsigned>{1}));
}

TEST(SynAckRepeats, TakesNoMoreThanTheLimitAtOnce) {
  SynAckRepeats r(1);
  for (std::uint16_t i = 0; i < 10; ++i) admit(r, 0, i);
  EXPECT_EQ(due(r, 1000, true, 4).size(), 4U);
  EXPECT_EQ(due(r, 1000, true).size(), 6U);
}

TEST(SynAckRepeats, FullMeansOffUntilASecondWithFewSyns) {
  SynAckRepeats r(3);
  for (std::uint32_t i = 0; i < SynAckRepeats::kRoom[0]; ++i) ASSERT_NE(admit(r, 1000, 1), nullptr);
  EXPECT_EQ(admit(r, 1000, 1), nullptr);
  EXPECT_TRUE(r.off());
  EXPECT_EQ(r.waiting(), 0U) << "what waited was part of the flood";
  // A second with more than half as many SYNs keeps it off.
  for (std::uint32_t i = 0; i <= SynAckRepeats::kRoom[0] / 2; ++i) {
    ASSERT_EQ(admit(r, 2000, 1), nullptr);
  }
  EXPECT_EQ(admit(r, 3000, 1), nullptr);
  EXPECT_TRUE(r.off());
  EXPECT_NE(admit(r, 4000, 1), nullptr);
  EXPECT_FALSE(r.off());
}

TEST(SynAckRepeats, LaterLevelsTakeWhatFits) {
  SynAckRepeats r(2);
  for (std::uint32_t i = 0; i < 1000; ++i) admit(r, 0, 1);
  EXPECT_EQ(due(r, 1000, true).size(), 1000U);
  EXPECT_EQ(r.waiting(), SynAckRepeats::kRoom[1]);
  EXPECT_EQ(due(r, 3000, true).size(), SynAckRepeats::kRoom[1]);
}

TEST(SynAckRepeats, NoneAreKeptWhenNoneAreAskedFor) {
  SynAckRepeats r(0);
  EXPECT_EQ(r.admit(0), nullptr);
  EXPECT_EQ(r.waiting(), 0U);
}

TEST(SynAckRepeats, TheirNumberChangesWhileSomeWait) {
  SynAckRepeats r(3);
  admit(r, 0, 1);
  EXPECT_EQ(due(r, 1000, true).size(), 1U);  // waits for the second repeat
  admit(r, 1000, 2);
  r.set_repeats(1);
  EXPECT_EQ(r.waiting(), 1U);
  EXPECT_EQ(due(r, 9000, true), (std::vector<unsigned>{2}));
  r.set_repeats(0);
  EXPECT_EQ(r.admit(9000), nullptr);
  r.set_repeats(3);
  EXPECT_EQ(r.waiting(), 0U) << "what was forgotten does not come back";
  admit(r, 10'000, 3);
  for (const std::uint32_t now : {11'000U, 13'000U, 17'000U})
    EXPECT_EQ(due(r, now, true).size(), 1U);
}

}  // namespace
}  // namespace synproxy
