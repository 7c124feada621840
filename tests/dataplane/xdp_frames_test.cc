// SPDX-License-Identifier: BSD-3-Clause
// Who has which frame of AF_XDP's memory: rings in plain memory, and a kernel that is told what to
// do, or lies.
#include "dataplane/xdp_frames.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <set>
#include <vector>

namespace synproxy::dataplane {
namespace {

constexpr std::uint32_t kSize = 8;
constexpr std::uint32_t kChunk = 2048;
constexpr xdp_ring_offset kAt{.producer = 0, .consumer = 64, .desc = 128, .flags = 72};

// The memory of a ring. Ends where the ring does, so that a sanitizer sees what lies outside.
template <typename Entry>
struct RingMemory {
  std::vector<std::byte> bytes{XdpRing<Entry>::bytes(kAt, kSize)};

  [[nodiscard]] XdpRing<Entry> ring() { return XdpRing<Entry>(bytes, kAt, kSize); }
};

struct Stand {
  RingMemory<xdp_desc> received_memory;
  RingMemory<std::uint64_t> fill_memory;
  RingMemory<xdp_desc> transmit_memory;
  RingMemory<std::uint64_t> completed_memory;
  XdpRing<xdp_desc> received = received_memory.ring();
  XdpRing<std::uint64_t> fill = fill_memory.ring();
  XdpRing<xdp_desc> transmit = transmit_memory.ring();
  XdpRing<std::uint64_t> completed = completed_memory.ring();
  std::vector<std::uint8_t> memory = std::vector<std::uint8_t>(2 * kSize * kChunk);
  XdpChunks chunks{memory, kChunk};

  [[nodiscard]] XdpReceiver receiver() const { return {received, fill, chunks}; }
  [[nodiscard]] XdpSender sender() const { return {transmit, completed, chunks, kSize}; }

  // --- The kernel's side.
  std::deque<std::uint64_t> free;     // taken from the fill ring
  std::deque<std::uint64_t> sending;  // taken from the transmit ring

  void arrive(std::uint8_t first_byte, std::uint32_t length = 60) {
    while (fill.consumer() != fill.producer()) {
      free.push_back(fill[fill.consumer()]);
      fill.set_consumer(fill.consumer() + 1);
    }
    if (free.empty()) return;
    const std::uint64_t at = free.front() + 256;
    free.pop_front();
    memory[at] = first_byte;
    received[received.producer()] = {at, length, 0};
    received.set_producer(received.producer() + 1);
  }
  // Returns the first byte of each frame that left.
  std::vector<std::uint8_t> leave(bool complete = true) {
    std::vector<std::uint8_t> left;
    while (transmit.consumer() != transmit.producer()) {
      const xdp_desc d = transmit[transmit.consumer()];
      transmit.set_consumer(transmit.consumer() + 1);
      left.push_back(memory[d.addr]);
      sending.push_back(d.addr);
    }
    while (complete && !sending.empty()) {
      completed[completed.producer()] = sending.front();
      sending.pop_front();
      completed.set_producer(completed.producer() + 1);
    }
    return left;
  }
  // Every frame is in one place.
  void expect_whole(const XdpReceiver& receiver, const XdpSender& sender) {
    std::multiset<std::uint64_t> all(sending.begin(), sending.end());
    for (const std::uint64_t chunk : free) all.insert(chunk);
    for (std::uint32_t i = fill.consumer(); i != fill.producer(); ++i) all.insert(fill[i]);
    for (std::uint32_t i = 0; i < receiver.waiting(); ++i) {
      all.insert(received[received.consumer() + i].addr / kChunk * kChunk);
    }
    for (std::uint32_t i = transmit.consumer(); i != transmit.producer(); ++i) {
      all.insert(transmit[i].addr);
    }
    for (std::uint32_t i = 0; i < sender.room(); ++i) {
      all.insert(completed[transmit.producer() - kSize + i]);
    }
    EXPECT_EQ(all.size(), 2 * kSize);
    for (std::uint64_t chunk = 0; chunk < 2 * kSize; ++chunk) {
      EXPECT_EQ(all.count(chunk * kChunk), 1U) << chunk;
    }
  }
};

std::vector<std::uint8_t> read(XdpReceiver& receiver, std::uint32_t most) {
  std::vector<std::uint8_t> got;
  const std::uint32_t n = std::min(receiver.waiting(), most);
  for (std::uint32_t i = 0; i < n; ++i) got.push_back(receiver.frame(i).front());
  receiver.release(n);
  return got;
}

std::uint32_t write(XdpSender& sender, std::uint8_t first_byte, std::uint32_t frames) {
  const std::uint32_t n = std::min(sender.room(), frames);
  for (std::uint32_t i = 0; i < n; ++i) {
    sender.chunk(i)[0] = static_cast<std::uint8_t>(first_byte + i);
    sender.put(i, 60);
  }
  sender.send(n);
  return n;
}

TEST(XdpFrames, FramesComeInOrderAndTheirChunksGoBackAtOnce) {
  Stand s;
  XdpReceiver receiver = s.receiver();
  receiver.begin();
  for (std::uint8_t turn = 0; turn < 50; ++turn) {
    for (std::uint8_t i = 0; i < 3; ++i) s.arrive(static_cast<std::uint8_t>(3 * turn + i));
    EXPECT_EQ(read(receiver, 2),
              (std::vector<std::uint8_t>{static_cast<std::uint8_t>(3 * turn),
                                         static_cast<std::uint8_t>(3 * turn + 1)}));
    EXPECT_EQ(read(receiver, 2),
              (std::vector<std::uint8_t>{static_cast<std::uint8_t>(3 * turn + 2)}));
    EXPECT_EQ(read(receiver, 2), std::vector<std::uint8_t>{});
  }
}

TEST(XdpFrames, AsManyFramesAreSentAsThereAreChunks) {
  Stand s;
  XdpSender sender = s.sender();
  sender.begin();
  EXPECT_EQ(write(sender, 1, 100), kSize);
  EXPECT_EQ(write(sender, 1, 100), 0U) << "all are on their way";
  EXPECT_EQ(s.leave(), (std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6, 7, 8}));
  for (std::uint8_t turn = 0; turn < 50; ++turn) {
    EXPECT_EQ(write(sender, turn, 5), 5U);
    EXPECT_EQ(s.leave(turn % 2 == 0).size(), 5U);
    if (turn % 2 == 0) continue;
    EXPECT_EQ(write(sender, turn, 5), 3U) << "five are not completed";
    EXPECT_EQ(s.leave().size(), 3U);
  }
}

TEST(XdpFrames, IndexesPassTheEndOfTheirCount) {
  Stand s;
  XdpReceiver receiver = s.receiver();
  XdpSender sender = s.sender();
  receiver.begin();
  sender.begin();
  // As if 2^32 - 3 frames had passed before, either way: the entries lie three places further back.
  constexpr std::uint32_t kBefore = 0U - 3;
  for (std::uint32_t i = 0; i < kSize; ++i) {
    s.fill[kBefore + i] = std::uint64_t{i} * kChunk;
    s.completed[kBefore + i] = std::uint64_t{kSize + i} * kChunk;
  }
  s.fill.set_consumer(kBefore);
  s.fill.set_producer(kBefore + kSize);
  s.received.set_producer(kBefore);
  s.transmit.set_producer(kBefore + kSize);
  s.transmit.set_consumer(kBefore + kSize);
  s.completed.set_producer(kBefore + kSize);
  receiver.go_on();
  sender.go_on();
  s.expect_whole(receiver, sender);
  for (std::uint8_t turn = 0; turn < 20; ++turn) {
    s.arrive(turn);
    EXPECT_EQ(read(receiver, 9), std::vector<std::uint8_t>{turn});
    EXPECT_EQ(write(sender, turn, 1), 1U);
    EXPECT_EQ(s.leave(), std::vector<std::uint8_t>{turn});
    s.expect_whole(receiver, sender);
  }
}

// The only stores that another process can miss are those of the indexes: each is undone in turn,
// as if the process had been killed before it.
TEST(XdpFrames, ProcessThatIsKilledBetweenTwoStoresLosesNoFrame) {
  std::mt19937 random(4711);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  for (unsigned round = 0; round < 2000; ++round) {
    Stand s;
    XdpReceiver receiver = s.receiver();
    XdpSender sender = s.sender();
    receiver.begin();
    sender.begin();
    for (std::uint32_t step = below(40); step != 0; --step) {
      for (std::uint32_t i = below(5); i != 0; --i) s.arrive(1);
      static_cast<void>(read(receiver, below(5)));
      static_cast<void>(write(sender, 1, below(5)));
      if (below(2) == 0) static_cast<void>(s.leave(below(2) == 0));
    }
    const std::uint32_t received = s.received.consumer();
    const std::uint32_t completed = s.completed.consumer();
    const std::uint32_t filled = s.fill.producer();
    static_cast<void>(read(receiver, below(5)));
    static_cast<void>(write(sender, 1, below(5)));
    switch (below(3)) {
      case 0:
        s.received.set_consumer(received);  // after the producers
        s.completed.set_consumer(completed);
        break;
      case 1:
        s.fill.set_producer(filled);  // before the first
        s.received.set_consumer(received);
        break;
      default:
        break;
    }
    // The kernel goes on meanwhile.
    for (std::uint32_t i = below(9); i != 0; --i) s.arrive(2);
    static_cast<void>(s.leave(below(2) == 0));
    XdpReceiver next_receiver = s.receiver();
    XdpSender next_sender = s.sender();
    next_receiver.go_on();
    next_sender.go_on();
    s.expect_whole(next_receiver, next_sender);
    if (HasFailure()) FAIL() << "round " << round;
  }
}

TEST(XdpFrames, WhatTheKernelSaysStaysInsideTheMemory) {
  Stand s;
  XdpReceiver receiver = s.receiver();
  XdpSender sender = s.sender();
  receiver.begin();
  sender.begin();
  const std::uint64_t addresses[] = {
      0, kChunk - 1, kSize * kChunk, ~std::uint64_t{0}, ~0ULL << 11, 2 * kSize * kChunk};
  for (const std::uint64_t address : addresses) {
    for (const std::uint32_t length : {0U, 1U, kChunk, kChunk + 1, ~0U}) {
      for (std::uint32_t i = 0; i < kSize; ++i) {
        s.received[i] = {address, length, 0};
        s.completed[i] = address;
      }
      for (const std::uint32_t ahead : {1U, kSize, kSize + 1, 1U << 31, ~0U}) {
        s.received.set_producer(s.received.consumer() + ahead);
        s.completed.set_producer(s.completed.consumer() + ahead);
        EXPECT_LE(receiver.waiting(), kSize);
        for (std::uint32_t i = 0; i < receiver.waiting(); ++i) {
          const auto frame = receiver.frame(i);
          if (frame.empty()) continue;
          EXPECT_GE(frame.data(), s.memory.data());
          EXPECT_LE(frame.data() + frame.size(), s.memory.data() + kSize * kChunk);
        }
        receiver.release(receiver.waiting());
        for (std::uint32_t i = 0; i < kSize; ++i) EXPECT_LT(s.fill[i], kSize * kChunk);
        EXPECT_LE(sender.room(), kSize);
        for (std::uint32_t i = 0; i < sender.room(); ++i) {
          EXPECT_GE(sender.chunk(i).data(), s.memory.data() + kSize * kChunk);
          EXPECT_LE(sender.chunk(i).data() + kChunk, s.memory.data() + s.memory.size());
        }
        sender.send(sender.room());
      }
    }
  }
}

TEST(XdpFrames, RingsThatDoNotFitTheirMemoryAreRefused) {
  RingMemory<xdp_desc> memory;
  const auto refused = [&](xdp_ring_offset at, std::uint32_t size) {
    EXPECT_THROW((XdpRing<xdp_desc>(memory.bytes, at, size)), std::system_error);
  };
  refused(kAt, 2 * kSize);
  refused(kAt, kSize - 1);
  for (__u64 xdp_ring_offset::*field : {&xdp_ring_offset::producer, &xdp_ring_offset::consumer,
                                        &xdp_ring_offset::desc, &xdp_ring_offset::flags}) {
    for (const std::uint64_t wrong : {std::uint64_t{memory.bytes.size()}, ~std::uint64_t{0},
                                      ~std::uint64_t{0} - 2, std::uint64_t{129}}) {
      xdp_ring_offset at = kAt;
      at.*field = wrong;
      refused(at, kSize);
    }
  }
  Stand s;
  EXPECT_THROW((XdpReceiver(s.received, s.fill, {std::span(s.memory).first(kChunk), kChunk})),
               std::system_error);
  EXPECT_THROW((XdpSender(s.transmit, s.completed, s.chunks, kSize + 1)), std::system_error);
}

}  // namespace
}  // namespace synproxy::dataplane
