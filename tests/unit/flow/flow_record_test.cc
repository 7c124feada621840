// SPDX-License-Identifier: BSD-3-Clause
// The layout of a record, which the next process reads, and the two parts that share its bytes.
#include "synproxy/flow/record.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <type_traits>
#include <vector>

namespace synproxy {
namespace {

std::array<std::uint8_t, 64> bytes_of(const FlowRecord& f) {
  std::array<std::uint8_t, 64> out;
  std::memcpy(out.data(), &f, sizeof f);
  return out;
}

FlowRecord in_handshake() {
  FlowRecord f;
  f.become_handshake({.early = 1, .our_tsval = 2, .mss = 3, .window = 4});
  return f;
}

TEST(FlowRecord, FieldsStandWhereTheNextProcessLooksForThem) {
  EXPECT_EQ(offsetof(FlowRecord, client_address), 0U);
  EXPECT_EQ(offsetof(FlowRecord, server_address), 4U);
  EXPECT_EQ(offsetof(FlowRecord, client_port), 8U);
  EXPECT_EQ(offsetof(FlowRecord, server_port), 10U);
  EXPECT_EQ(offsetof(FlowRecord, vlan_and_family), 12U);
  EXPECT_EQ(offsetof(FlowRecord, client_isn), 16U);
  EXPECT_EQ(offsetof(FlowRecord, cookie), 20U);
  EXPECT_EQ(offsetof(FlowRecord, client_nxt), 24U);
  EXPECT_EQ(offsetof(FlowRecord, server_nxt), 28U);
  EXPECT_EQ(offsetof(FlowRecord, mark_isn), 32U);
  EXPECT_EQ(offsetof(FlowRecord, opening_tsval), 36U);
  EXPECT_EQ(offsetof(FlowRecord, last_seen), 40U);
  EXPECT_EQ(offsetof(FlowRecord, link_and_offer), 44U);
  EXPECT_EQ(offsetof(FlowRecord, options), 46U);
  EXPECT_EQ(offsetof(FlowRecord, scales), 47U);
  EXPECT_EQ(offsetof(FlowRecord, windows), 48U);
  EXPECT_EQ(offsetof(FlowRecord, tries_and_epoch), 49U);
  EXPECT_EQ(offsetof(FlowRecord, progress), 50U);
  EXPECT_EQ(offsetof(FlowRecord, handshake_part), 52U);
  EXPECT_EQ(offsetof(FlowRecord, spliced_part), 52U);
  EXPECT_EQ(offsetof(HandshakePart, early), 0U);
  EXPECT_EQ(offsetof(HandshakePart, our_tsval), 4U);
  EXPECT_EQ(offsetof(HandshakePart, mss), 8U);
  EXPECT_EQ(offsetof(HandshakePart, window), 10U);
  EXPECT_EQ(offsetof(SplicedPart, delta), 0U);
  EXPECT_EQ(offsetof(SplicedPart, ts_delta), 4U);
  EXPECT_EQ(offsetof(SplicedPart, window), 8U);
  EXPECT_EQ(offsetof(SplicedPart, mark_second), 10U);
  static_assert(std::is_standard_layout_v<FlowRecord>);
}

TEST(FlowRecord, FreshOneIsFreeAndAllZero) {
  const FlowRecord f{};
  EXPECT_EQ(f.state(), FlowState::kFree);
  EXPECT_EQ(bytes_of(f), (std::array<std::uint8_t, 64>{}));
}

// No two meanings share a bit, except one of a handshake and one of a spliced flow.
TEST(FlowRecord, EveryBitOfProgressHasOneMeaningInEachPart) {
  const std::vector<std::uint16_t> both{kFlowStateMask, kFlowClientFin, kFlowMarked,
                                        kFlowMarkTimestamps};
  const std::vector<std::uint16_t> handshake{kFlowAskedMore,   kFlowEverAskedMore, kFlowAskedAgain,
                                             kFlowWaits,       kFlowUnasked,       kFlowSoftError,
                                             kFlowServerOpens, kFlowSynPassed};
  const std::vector<std::uint16_t> spliced{
      kFlowProbedAgain,    kFlowRepeated,       kFlowClientFinAhead, kFlowServerFin,
      kFlowClientFinAcked, kFlowServerFinAcked, kFlowSpoke,          kFlowProbed,
      kFlowServerAcked,    kFlowMarkTimed};
  unsigned of_handshake = 0;
  for (const std::uint16_t bits : handshake) of_handshake |= bits;
  EXPECT_EQ(of_handshake, kFlowHandshakeBits) << "the splice takes them away";
  for (const auto& part : {handshake, spliced}) {
    unsigned seen = 0;
    for (const auto& group : {both, part}) {
      for (const std::uint16_t bits : group) {
        EXPECT_EQ(seen & bits, 0U) << bits;
        seen |= bits;
      }
    }
  }
  EXPECT_LE(static_cast<unsigned>(FlowState::kPassed), kFlowStateMask);
}

TEST(FlowRecord, PackedFieldsLeaveTheirNeighboursAlone) {
  FlowRecord f;
  f.set_link(0xfff, 14);
  f.set_scales(3, 12);
  f.set_epoch(0b11010);
  f.set_mark_tries(15);
  EXPECT_EQ(f.link(), 0xfff);
  EXPECT_EQ(f.offered_scale(), 14U);
  EXPECT_EQ(f.client_scale(), 3U);
  EXPECT_EQ(f.server_scale(), 12U);
  EXPECT_EQ(f.epoch_bits(), 0b1101U);
  EXPECT_EQ(f.mark_tries(), 15U);
  f.set_mark_tries(0);
  EXPECT_EQ(f.epoch_bits(), 0b1101U);
  f.set_mark_tries(7);
  f.set_epoch(0);
  EXPECT_EQ(f.mark_tries(), 7U);
}

TEST(FlowRecord, SpliceTakesTheHandshakesBitsAndKeepsTheOthers) {
  FlowRecord f = in_handshake();
  EXPECT_EQ(f.state(), FlowState::kSynSent);
  EXPECT_EQ(f.handshake().early, 1U);
  f.set(kFlowHandshakeBits);
  f.set(kFlowMarked | kFlowClientFin);
  f.become_spliced(FlowState::kEstablished,
                   {.delta = 5, .ts_delta = 6, .window = 7, .mark_second = 8});
  EXPECT_EQ(f.state(), FlowState::kEstablished);
  EXPECT_FALSE(f.has(kFlowHandshakeBits));
  EXPECT_EQ(f.progress & ~kFlowStateMask, kFlowMarked | kFlowClientFin);
  EXPECT_EQ(f.spliced().delta, 5U);
  EXPECT_EQ(f.spliced().window, 7U);
  f.put_spliced_state(FlowState::kClosing);
  EXPECT_EQ(f.state(), FlowState::kClosing);
  EXPECT_EQ(f.spliced().ts_delta, 6U);
}

TEST(FlowRecord, WhatEachEndAcknowledgedIsKeptInTheNumbersOfItsPeer) {
  FlowRecord f = in_handshake();
  f.client_isn = 0xfffffff0U;
  f.cookie = 0xfffffff8U;
  f.client_nxt = 0xfffffff1U;
  f.server_nxt = 0xfffffff9U;
  f.opening_tsval = 0xabcdef12U;
  f.become_spliced(FlowState::kEstablished,
                   {.delta = 0, .ts_delta = 0, .window = 7, .mark_second = 8});
  EXPECT_EQ(f.acked_by_client(), f.cookie + 1);
  EXPECT_EQ(f.acked_by_server(), f.client_isn + 1);
  EXPECT_EQ(f.old_tsval(), 0xabcdef12U);
  f.client_acks(1);
  f.server_acks(1);
  f.set_doubted();
  EXPECT_EQ(f.spliced().window, 7U) << "the first window is still there";
  EXPECT_EQ(f.old_tsval(), 0xabcdef12U) << "and so is the TSval";
  EXPECT_FALSE(f.doubted());

  f.start_acks();
  EXPECT_EQ(f.acked_by_client(), f.cookie + 1);
  EXPECT_EQ(f.acked_by_server(), f.client_isn + 1);
  EXPECT_EQ(f.old_tsval(), 0xa8000000U);
  EXPECT_FALSE(f.doubted());
  EXPECT_FALSE(f.server_fin_ahead());
  f.server_nxt += 0x00fffffe;
  f.client_nxt += 0xfffe;
  EXPECT_EQ(f.acked_by_client(), f.cookie + 1) << "nearly 16 MB are under way";
  EXPECT_EQ(f.acked_by_server(), f.client_isn + 1) << "nearly 64 KB are under way";
  f.set_doubted();
  f.set_server_fin_ahead();
  f.client_acks(f.server_nxt);
  f.server_acks(f.client_nxt);
  EXPECT_EQ(f.acked_by_client(), f.server_nxt);
  EXPECT_EQ(f.acked_by_server(), f.client_nxt);
  EXPECT_TRUE(f.doubted() && f.server_fin_ahead());
  f.clear_doubted();
  EXPECT_FALSE(f.doubted());
  EXPECT_TRUE(f.server_fin_ahead());
  EXPECT_EQ(f.old_tsval(), 0xa8000000U);
}

TEST(FlowRecord, PartOfAnotherStateIsAMistake) {
  if constexpr (!kChecked) {
    GTEST_SKIP() << "a release build does not look";
  } else {
    FlowRecord f = in_handshake();
    EXPECT_DEATH((void)f.spliced(), "");
    EXPECT_DEATH(f.become_handshake({}), "");
    EXPECT_DEATH(f.put_spliced_state(FlowState::kClosing), "");
    EXPECT_DEATH(f.set_link(0x1000, 0), "");
    f.become_spliced(FlowState::kTombstone, {});
    EXPECT_DEATH((void)f.handshake(), "");
    EXPECT_DEATH(f.become_spliced(FlowState::kEstablished, {}), "");
    EXPECT_DEATH((void)FlowRecord().spliced(), "");
  }
}

}  // namespace
}  // namespace synproxy
