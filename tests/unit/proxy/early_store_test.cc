// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/early_store.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <vector>

namespace synproxy {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Handle = EarlyStore::Handle;
constexpr Handle kNone = EarlyStore::kNone;

Bytes frame_of(std::size_t size, unsigned seed) {
  Bytes b(size);
  for (std::size_t i = 0; i < size; ++i) b[i] = static_cast<std::uint8_t>(seed * 31 + i * 7);
  return b;
}

Bytes read(const EarlyStore& s, Handle h) {
  Bytes out(70'000, 0xee);
  out.resize(s.read(h, out));
  return out;
}

TEST(EarlyStore, GivesBackWhatItWasGivenInOrder) {
  EarlyStore s(1U << 20);
  Handle head = kNone;
  const std::size_t sizes[] = {1, 511, 512, 513, 1024, 1025, 1514, 9018};
  for (unsigned i = 0; i < 8; ++i) {
    const Handle h = s.append(head, frame_of(sizes[i], i));
    ASSERT_NE(h, kNone);
    EXPECT_TRUE(i == 0 || h == head) << "the head stays";
    head = h;
  }
  for (unsigned i = 0; i < 8; ++i) {
    EXPECT_EQ(read(s, head), frame_of(sizes[i], i));
    head = s.pop(head);
  }
  EXPECT_EQ(head, kNone);
  EXPECT_EQ(s.buffers_in_use(), 0U);
}

TEST(EarlyStore, SmallBufferOfTheReaderCutsAndDoesNotOverflow) {
  EarlyStore s(1U << 16);
  const Handle head = s.append(kNone, frame_of(1300, 1));
  for (const std::size_t n : {0U, 1U, 511U, 512U, 513U, 1299U, 1300U}) {
    const std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[n]);
    EXPECT_EQ(s.read(head, {exact.get(), n}), n);
  }
}

TEST(EarlyStore, SixteenSegmentsAFlow) {
  EarlyStore s(1U << 20);
  Handle head = kNone;
  for (unsigned i = 0; i < EarlyStore::kMaxSegments; ++i) head = s.append(head, frame_of(100, i));
  const auto used = s.buffers_in_use();
  EXPECT_EQ(s.append(head, frame_of(100, 99)), kNone);
  EXPECT_EQ(s.buffers_in_use(), used) << "the list is as it was";
  const Handle other = s.append(kNone, frame_of(100, 50));
  EXPECT_NE(other, kNone) << "another flow has its own sixteen";
  for (unsigned i = 0; i < EarlyStore::kMaxSegments; ++i) {
    EXPECT_EQ(read(s, head), frame_of(100, i));
    head = s.pop(head);
  }
  s.free_all(other);
  EXPECT_EQ(s.buffers_in_use(), 0U);
}

TEST(EarlyStore, CountsBuffersAndNotBytes) {
  EarlyStore s(8 * EarlyStore::kBufferBytes);
  const Handle a = s.append(kNone, frame_of(1, 0));
  EXPECT_EQ(s.buffers_in_use(), 1U);
  const Handle b = s.append(kNone, frame_of(513, 0));
  EXPECT_EQ(s.buffers_in_use(), 3U);
  EXPECT_EQ(s.append(kNone, frame_of(6 * 512, 0)), kNone) << "six would be needed, five are left";
  EXPECT_EQ(s.buffers_in_use(), 3U);
  const Handle c = s.append(kNone, frame_of(5 * 512, 0));
  EXPECT_NE(c, kNone);
  EXPECT_EQ(s.append(kNone, frame_of(1, 0)), kNone);
  s.free_all(b);
  EXPECT_NE(s.append(a, frame_of(2 * 512, 0)), kNone);
}

TEST(EarlyStore, HoldsNothingWithoutMemoryAndNothingOfNothing) {
  for (const std::uint64_t memory : {0U, 1U, 511U}) {
    EarlyStore s(memory);
    EXPECT_EQ(s.append(kNone, frame_of(1, 0)), kNone);
    EXPECT_EQ(s.buffers_in_use(), 0U);
  }
  EarlyStore s(4096);
  EXPECT_EQ(s.append(kNone, Bytes{}), kNone);
  s.free_all(kNone);
}

// Compared with a model: many flows, random operations, and a pool that is often full.
TEST(EarlyStore, RandomOperationsAgreeWithAModel) {
  std::mt19937 random(17);
  EarlyStore s(200 * EarlyStore::kBufferBytes);
  struct Flow {
    Handle head = kNone;
    std::deque<Bytes> frames;
  };
  std::vector<Flow> flows(30);
  std::size_t refused = 0;
  for (unsigned i = 0; i < 100'000; ++i) {
    Flow& f = flows[random() % flows.size()];
    const unsigned action = random() % 8;
    if (action < 5) {
      const Bytes frame = frame_of(1 + random() % 2000, i);
      const Handle h = s.append(f.head, frame);
      if (h == kNone) {
        ++refused;
      } else {
        f.head = h;
        f.frames.push_back(frame);
      }
    } else if (action < 7 && f.head != kNone) {
      ASSERT_EQ(read(s, f.head), f.frames.front());
      f.head = s.pop(f.head);
      f.frames.pop_front();
    } else if (action == 7) {
      s.free_all(f.head);
      f = {};
    }
    ASSERT_EQ(f.head == kNone, f.frames.empty());
    ASSERT_LE(f.frames.size(), EarlyStore::kMaxSegments);
  }
  EXPECT_GT(refused, 100U);
  std::size_t expected = 0;
  for (const Flow& f : flows) {
    for (const Bytes& b : f.frames) expected += (b.size() + 511) / 512;
  }
  EXPECT_EQ(s.buffers_in_use(), expected);
  for (Flow& f : flows) s.free_all(f.head);
  EXPECT_EQ(s.buffers_in_use(), 0U);
}

}  // namespace
}  // namespace synproxy
