// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/syn_notes.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

constexpr std::uint64_t kFlow = 0x1234'5678'9abc'def1;
constexpr std::uint32_t kNow = 1'000'000;

TcpOptions all_options() {
  TcpOptions o;
  o.window_scale = 7;
  o.timestamps = true;
  o.sack_permitted = true;
  return o;
}

TEST(SynNotes, RememberWhatASynHasAskedFor) {
  SynNotes notes;
  EXPECT_EQ(notes.find(kFlow, kNow), nullptr);
  notes.add(kFlow, SeqNum(5000), all_options(), true, kNow);
  const SynNotes::Note* n = notes.find(kFlow, kNow);
  ASSERT_NE(n, nullptr);
  EXPECT_EQ(n->isn, 5000U);
  EXPECT_EQ(n->scale, 7);
  EXPECT_TRUE(n->timestamps && n->sack && n->ecn);
}

TEST(SynNotes, TellFlowsOfOnePlaceApart) {
  SynNotes notes;
  notes.add(kFlow, SeqNum(5000), all_options(), false, kNow);
  const std::uint64_t other = kFlow ^ 0x10;  // the place is of the upper half
  EXPECT_EQ(notes.find(other, kNow), nullptr);
  notes.forget(other);
  EXPECT_NE(notes.find(kFlow, kNow), nullptr);
  notes.add(other, SeqNum(1), {}, false, kNow);
  EXPECT_EQ(notes.find(kFlow, kNow), nullptr) << "overwritten";
}

TEST(SynNotes, AnswersAcknowledgeTheSynAndAtMostWhatFitsASegment) {
  SynNotes notes;
  notes.add(kFlow, SeqNum(0xffff'fff0), all_options(), false, kNow);
  const SeqNum next(0xffff'fff1);
  EXPECT_EQ(notes.answered(kFlow, SeqNum(0xffff'fff0), kNow), nullptr);
  EXPECT_NE(notes.answered(kFlow, next, kNow), nullptr);
  EXPECT_NE(notes.answered(kFlow, next + SynNotes::kMostData, kNow), nullptr);
  EXPECT_EQ(notes.answered(kFlow, next + SynNotes::kMostData + 1, kNow), nullptr);
}

TEST(SynNotes, AreForgottenByTimeAndOnDemand) {
  SynNotes notes;
  EXPECT_FALSE(notes.lately(kNow));
  notes.add(kFlow, SeqNum(1), {}, false, kNow);
  EXPECT_NE(notes.find(kFlow, kNow + SynNotes::kMemoryMs - 1), nullptr);
  EXPECT_TRUE(notes.lately(kNow + SynNotes::kMemoryMs - 1));
  EXPECT_EQ(notes.find(kFlow, kNow + SynNotes::kMemoryMs), nullptr);
  EXPECT_FALSE(notes.lately(kNow + SynNotes::kMemoryMs));
  notes.forget(kFlow);
  EXPECT_EQ(notes.find(kFlow, kNow), nullptr);
}

}  // namespace
}  // namespace synproxy
