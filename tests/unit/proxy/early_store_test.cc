// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/early_store.h"
#include "support/rounds.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace synproxy {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Frames = std::vector<Bytes>;
using Handle = EarlyStore::Handle;
using Owner = EarlyStore::Owner;
constexpr Handle kNone = EarlyStore::kNone;

Bytes frame_of(std::size_t size, unsigned seed) {
  Bytes b(size);
  for (std::size_t i = 0; i < size; ++i)
    b[i] = static_cast<std::uint8_t>(std::size_t{seed} * 31 + i * 7);
  return b;
}

Frames read(const EarlyStore& s, Handle head, std::size_t scratch_bytes = 70'000) {
  Frames frames;
  const std::unique_ptr<std::uint8_t[]> scratch(new std::uint8_t[scratch_bytes]);
  s.each(head, {scratch.get(), scratch_bytes}, [&](std::span<std::uint8_t> frame) {
    frames.emplace_back(frame.begin(), frame.end());
    return true;
  });
  return frames;
}

// Appends if there is room, without anybody giving way. kNone: there is none.
Handle append(EarlyStore& s, Handle head, const Bytes& frame, const Owner& owner = {0, 0, 0}) {
  if (!s.may_hold(head, frame.size()) || !s.has_room(head, frame.size())) return kNone;
  return s.append(head, frame, owner);
}

TEST(EarlyStore, GivesBackWhatItWasGivenInOrder) {
  EarlyStore s(1U << 20);
  Handle head = kNone;
  Frames given;
  for (const std::size_t size : {1U, 507U, 508U, 509U, 511U, 512U, 513U, 1024U, 1514U, 9018U}) {
    given.push_back(frame_of(size, static_cast<unsigned>(size)));
    const Handle h = append(s, head, given.back());
    ASSERT_NE(h, kNone);
    EXPECT_TRUE(head == kNone || h == head) << "the head stays";
    head = h;
  }
  EXPECT_EQ(read(s, head), given);
  EXPECT_EQ(read(s, head), given) << "reading changes nothing";
  s.free(head);
  EXPECT_EQ(s.buffers_in_use(), 0U);
}

TEST(EarlyStore, ReaderThatHasSeenEnoughSaysSo) {
  EarlyStore s(1U << 16);
  Handle head = append(s, kNone, frame_of(10, 1));
  head = append(s, head, frame_of(20, 2));
  Bytes scratch(100);
  unsigned calls = 0;
  s.each(head, scratch, [&](auto) { return ++calls > 1; });
  EXPECT_EQ(calls, 1U);
}

TEST(EarlyStore, FrameThatIsTooLongForTheReaderDoesNotOverflow) {
  EarlyStore s(1U << 16);
  const Handle head = append(s, kNone, frame_of(1300, 1));
  for (const std::size_t n : {0U, 1U, 511U, 512U, 1299U}) EXPECT_TRUE(read(s, head, n).empty());
  EXPECT_EQ(read(s, head, 1300).size(), 1U);
}

TEST(EarlyStore, SixteenSegmentsAFlow) {
  EarlyStore s(1U << 20);
  Handle head = kNone;
  for (unsigned i = 0; i < EarlyStore::kMaxSegments; ++i) head = append(s, head, frame_of(100, i));
  EXPECT_FALSE(s.may_hold(head, 100));
  EXPECT_TRUE(s.may_hold(kNone, 100)) << "another flow has its own sixteen";
  const Frames frames = read(s, head);
  ASSERT_EQ(frames.size(), EarlyStore::kMaxSegments);
  for (unsigned i = 0; i < EarlyStore::kMaxSegments; ++i) EXPECT_EQ(frames[i], frame_of(100, i));
}

TEST(EarlyStore, SmallSegmentsStandBehindEachOther) {
  EarlyStore s(1U << 20);
  Handle head = kNone;
  for (unsigned i = 0; i < 16; ++i) head = append(s, head, frame_of(14 + 20 + 32 + 1, i));
  EXPECT_EQ(s.buffers_in_use(), 3U) << "16 times 67 bytes and 4 for the length";
}

TEST(EarlyStore, CountsBuffersAndNotBytes) {
  EarlyStore s(8 * EarlyStore::kBufferBytes);
  const Handle a = append(s, kNone, frame_of(1, 0));
  EXPECT_EQ(s.buffers_in_use(), 1U);
  const Handle b = append(s, kNone, frame_of(509, 0));
  EXPECT_EQ(s.buffers_in_use(), 3U);
  EXPECT_EQ(append(s, kNone, frame_of(6 * 512 - 4, 0)), kNone) << "six are needed, five are left";
  EXPECT_EQ(s.buffers_in_use(), 3U);
  EXPECT_NE(append(s, kNone, frame_of(5 * 512 - 4, 0)), kNone);
  EXPECT_EQ(append(s, kNone, frame_of(1, 0)), kNone);
  EXPECT_EQ(append(s, a, frame_of(500, 0)), a) << "into the buffer that the list has";
  s.free(b);
  EXPECT_EQ(append(s, a, frame_of(1024, 0)), kNone) << "it is full now: three are needed";
  EXPECT_EQ(append(s, a, frame_of(2 * 512 - 4, 0)), a);
}

TEST(EarlyStore, HoldsNothingWithoutMemoryAndNothingOfNothing) {
  for (const std::uint64_t memory : {0U, 1U, 511U}) {
    EarlyStore s(memory);
    EXPECT_FALSE(s.may_hold(kNone, 1));
  }
  EarlyStore s(4096);
  EXPECT_FALSE(s.may_hold(kNone, 0));
  EXPECT_FALSE(s.may_hold(kNone, 4096)) << "more than there is, whoever gives way";
  EXPECT_TRUE(s.may_hold(kNone, 8 * 512 - 4));
  s.free(kNone);
}

TEST(EarlyStore, ShareThatHoldsMostGivesUpItsOldest) {
  EarlyStore s(8 * EarlyStore::kBufferBytes);
  std::vector<Handle> hog;
  for (std::uint32_t i = 0; i < 6; ++i) hog.push_back(append(s, kNone, Bytes(400), {i, 7, 0}));
  const Handle small = append(s, kNone, Bytes(400), {50, 8, 0});
  const Handle other = append(s, kNone, Bytes(400), {51, 9, 0});
  EXPECT_FALSE(s.has_room(kNone, 400));
  const Owner owner{60, 8, 0};
  EXPECT_EQ(s.pick_victim(kNone, 400, owner), hog[0]);
  EXPECT_EQ(s.flow_of(hog[0]), 0U);
  EXPECT_EQ(s.share_of(hog[0]), 7U);
  s.free(hog[0]);
  EXPECT_TRUE(s.has_room(kNone, 400));
  const Handle second = append(s, kNone, Bytes(400), owner);
  EXPECT_EQ(s.pick_victim(second, 1000, owner), hog[1])
      << "two and two more are not more than five";
  EXPECT_EQ(s.pick_victim(second, 2000, owner), kNone) << "it would hold most itself";
  EXPECT_EQ(s.pick_victim(kNone, 400, {61, 7, 0}), kNone) << "nor does it get more";
  for (const Handle h : {small, other, second}) s.free(h);
  for (std::size_t i = 1; i < hog.size(); ++i) s.free(hog[i]);
  EXPECT_EQ(s.buffers_in_use(), 0U);
}

TEST(EarlyStore, WithinAShareWhoHasWaitedLongGivesWay) {
  EarlyStore s(4 * EarlyStore::kBufferBytes);
  std::vector<Handle> all;
  for (std::uint32_t i = 0; i < 4; ++i)
    all.push_back(append(s, kNone, Bytes(500), {i, 0, 100 + i}));
  const std::uint32_t then = 100 + EarlyStore::kPatienceMs;
  EXPECT_EQ(s.pick_victim(kNone, 500, {9, 0, then - 1}), kNone);
  EXPECT_EQ(s.pick_victim(kNone, 500, {9, 0, then}), all[0]);
  EXPECT_EQ(s.pick_victim(all[0], 500, {0, 0, then + 50}), kNone) << "not its own list";
  s.free(all[1]);
  s.free(all[0]);
  EXPECT_EQ(s.pick_victim(kNone, 500, {9, 0, then + 50}), all[2]);
}

// Compared with a model: many flows in a few shares, random operations, and a pool that is often
// full.
TEST(EarlyStore, RandomOperationsAgreeWithAModel) {
  std::mt19937 random(17);
  EarlyStore s(200 * EarlyStore::kBufferBytes);
  struct Flow {
    Handle head = kNone;
    Frames frames;
  };
  std::vector<Flow> flows(60);
  const auto buffers = [](const Flow& f) {
    std::size_t bytes = 0;
    for (const Bytes& b : f.frames) bytes += 4 + b.size();
    return (bytes + 511) / 512;
  };
  std::size_t refused = 0;
  std::size_t gave_way = 0;
  for (unsigned i = 0; i < test::rounds(100'000U); ++i) {
    const auto n = static_cast<std::uint32_t>(random() % flows.size());
    Flow& f = flows[n];
    if (random() % 8 == 0) {
      s.free(f.head);
      f = {};
      continue;
    }
    const Owner owner{n, n % 7, i / 16};
    const Bytes frame = frame_of(1 + random() % 2000, i);
    ASSERT_EQ(s.may_hold(f.head, frame.size()), f.frames.size() < EarlyStore::kMaxSegments);
    if (!s.may_hold(f.head, frame.size())) continue;
    while (!s.has_room(f.head, frame.size())) {
      const Handle victim = s.pick_victim(f.head, frame.size(), owner);
      if (victim == kNone) break;
      ASSERT_NE(victim, f.head);
      Flow& loser = flows[s.flow_of(victim)];
      ASSERT_EQ(loser.head, victim);
      s.free(victim);
      loser = {};
      ++gave_way;
    }
    if (!s.has_room(f.head, frame.size())) {
      ++refused;
      continue;
    }
    f.head = s.append(f.head, frame, owner);
    f.frames.push_back(frame);
    ASSERT_EQ(read(s, f.head), f.frames);
  }
  EXPECT_GT(refused, 100U);
  EXPECT_GT(gave_way, 100U);
  std::size_t expected = 0;
  for (const Flow& f : flows) {
    ASSERT_EQ(read(s, f.head), f.frames);
    expected += buffers(f);
  }
  EXPECT_EQ(s.buffers_in_use(), expected);
  for (Flow& f : flows) s.free(f.head);
  EXPECT_EQ(s.buffers_in_use(), 0U);
}

}  // namespace
}  // namespace synproxy
