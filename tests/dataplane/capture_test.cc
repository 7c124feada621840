// SPDX-License-Identifier: BSD-3-Clause
// What a capture takes of a worker's packets, and how it gets to the control thread.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "capture_frames.h"
#include "dataplane/capture_tap.h"
#include "support/fragments.h"
#include "support/packet_builder.h"

namespace synproxy::dataplane {
namespace {

using test::Bytes;
using test::PacketBuilder;

CaptureFilter dropped_for(std::initializer_list<Reason> fates) {
  CaptureFilter filter;
  filter.any_fate = false;
  for (const Reason fate : fates) filter.fates[static_cast<std::size_t>(fate)] = true;
  return filter;
}

TEST(CaptureFilter, EndsAreTheClientAndTheServerWhoeverSends) {
  struct Row {
    const char* client;
    const char* server;
    bool of_v4, of_v6;
  };
  const Row rows[] = {
      {nullptr, nullptr, true, true},
      {kClient4, nullptr, true, false},
      {"198.51.100.0/24", nullptr, true, false},
      {"198.51.100.8/29", nullptr, false, false},
      {kServer4, nullptr, false, false},
      {kClient6, nullptr, false, true},
      {"2001:db8:1::/48", "2001:db8::/48", false, true},
      {nullptr, "203.0.113.10:80", true, false},
      {nullptr, "203.0.113.10:81-90", false, false},
      {nullptr, "[2001:db8::10]:80", false, true},
      {"198.51.100.7:40000", "203.0.113.10:80", true, false},
      {"198.51.100.7:40001", "203.0.113.10:80", false, false},
  };
  for (const Row& row : rows) {
    const CaptureFilter filter = filter_of(row.client, row.server);
    for (const bool ipv6 : {false, true}) {
      const bool wanted = ipv6 ? row.of_v6 : row.of_v4;
      EXPECT_EQ(matches(filter, Role::kClient, up(ipv6).build()), wanted) << &row - rows << ipv6;
      EXPECT_EQ(matches(filter, Role::kServer, down(ipv6).build()), wanted) << &row - rows << ipv6;
      EXPECT_EQ(matches(filter, Role::kClient, up(ipv6).vlan(5).build()), wanted);
    }
  }
}

TEST(CaptureFilter, AFlowMayBeTypedEitherWayRound) {
  const CaptureFilter turned = filter_of("203.0.113.10:80", "198.51.100.7:40000", true);
  EXPECT_TRUE(matches(turned, Role::kClient, up().build()));
  EXPECT_TRUE(matches(turned, Role::kServer, down().build()));
  EXPECT_FALSE(matches(turned, Role::kClient, up().ports(80, 40'000).build()));
  EXPECT_FALSE(
      matches(filter_of("203.0.113.10:80", "198.51.100.7:40000"), Role::kClient, up().build()));
}

TEST(CaptureFilter, ErrorsBelongToWhatTheyQuoteAndFragmentsToTheirAddresses) {
  const CaptureFilter flow = filter_of("198.51.100.7:40000", "203.0.113.10:80");
  const Bytes quoted = down().build_packet();
  // A router on the client's side is told of a segment of the server.
  const auto error = [&](const Bytes& what) {
    return PacketBuilder().ip("192.0.2.1", kServer4).icmp_error(3, 4, 1280, what).build();
  };
  EXPECT_TRUE(matches(flow, Role::kClient, error(quoted)));
  EXPECT_FALSE(matches(flow, Role::kClient, error(down().ports(80, 40'001).build_packet())));
  EXPECT_FALSE(matches(flow, Role::kServer, error(quoted)));
  EXPECT_TRUE(matches(filter_of(kClient4, nullptr), Role::kClient, error(quoted)));
  for (const Bytes& fragment : test::cut(up().payload(Bytes(100)).build(), 48)) {
    EXPECT_TRUE(matches(flow, Role::kClient, fragment));
  }
  EXPECT_FALSE(matches(flow, Role::kClient, up().protocol(17).build())) << "no TCP, no port";
  EXPECT_TRUE(matches(filter_of(kClient4, nullptr), Role::kClient, up().protocol(17).build()));
  EXPECT_FALSE(matches(flow, Role::kClient, up().ether_type(0x0806).build()));
  EXPECT_FALSE(matches(flow, Role::kClient, Bytes(13)));
}

// Everything that is published, as "kind side verdict fate captured/length".
std::vector<std::string> told(CaptureRing& ring) {
  std::vector<std::string> lines;
  const auto [first, second] = ring.take();
  for (const auto& piece : {first, second}) {
    for (std::size_t i = 0; i < piece.size(); i += piece[i].size / sizeof(CaptureRecord)) {
      const CaptureRecord& r = piece[i];
      if (r.kind == CaptureKind::kVoid) continue;
      constexpr std::array kKinds{"came", "left", "made"};
      lines.push_back(std::string(kKinds.at(static_cast<std::size_t>(r.kind))) +
                      (r.side == Role::kClient ? " c" : " s") +
                      (r.kind == CaptureKind::kMade ? "" : " " + std::string(info(r.fate).name)) +
                      " " + std::to_string(r.captured) + "/" + std::to_string(r.length) + " " +
                      std::to_string(*reinterpret_cast<const std::uint8_t*>(&r + 1)));
    }
  }
  ring.release();
  return lines;
}

TEST(CaptureRing, KeepsTheOrderWhereItsMemoryEnds) {
  CaptureRing ring(1024);
  unsigned in = 0;
  unsigned out = 0;
  for (std::uint32_t turn = 0; turn < 200; ++turn) {
    const Bytes frame(14 + turn * 7 % 200, static_cast<std::uint8_t>(in));
    CaptureRecord head;
    head.kind = CaptureKind::kMade;
    head.length = head.captured = static_cast<std::uint32_t>(frame.size());
    if (ring.add(head, frame.data()) != nullptr) ++in;
    ring.publish();
    if (turn % 3 != 0) continue;
    for (const std::string& line : told(ring)) {
      EXPECT_TRUE(line.ends_with(" " + std::to_string(out++ % 256))) << line;
    }
  }
  EXPECT_EQ(out + told(ring).size(), in);
  EXPECT_GT(in, 190U);
}

TEST(CaptureRing, WhatHasNoRoomIsRefusedAndWhatIsTakenBackWasNeverThere) {
  CaptureRing ring(128);
  const Bytes frame(33);
  CaptureRecord head;
  head.kind = CaptureKind::kMade;
  head.captured = 33;
  ASSERT_NE(ring.add(head, frame.data()), nullptr);
  EXPECT_EQ(ring.add(head, frame.data()), nullptr);
  ring.roll_back();
  EXPECT_TRUE(told(ring).empty());
  ASSERT_NE(ring.add(head, frame.data()), nullptr);
  ring.publish();
  EXPECT_EQ(told(ring).size(), 1U);
  EXPECT_NE(ring.add(head, frame.data()), nullptr) << "given back";
}

std::uint64_t clock_reads = 0;

// A burst of packets whose first byte is their number.
class CaptureTapTest : public testing::Test {
 protected:
  void begin(const CaptureFilter& filter) {
    session_ = std::make_unique<CaptureSession>(filter, 3);
    tap_.begin(*session_);
    tap_.heed();
  }
  Packet& add(const Bytes& frame) {
    frames_.push_back(frame);
    frames_.back()[0] = static_cast<std::uint8_t>(frames_.size());
    packets_.push_back({.data = frames_.back().data(),
                        .length = static_cast<std::uint32_t>(frame.size()),
                        .room = static_cast<std::uint32_t>(frame.size())});
    return packets_.back();
  }
  CaptureTapTest() {
    frames_.reserve(32);
    packets_.reserve(32);
  }

  // As an engine does.
  void decide(std::size_t i, Verdict verdict, Reason fate) {
    counts_.count(fate);
    packets_[i].decide(verdict, fate);
  }

  Counters counts_;
  Counter lost_;
  CaptureTap tap_{counts_, lost_, [] { return ++clock_reads; }};
  std::unique_ptr<CaptureSession> session_;
  std::vector<Bytes> frames_;
  std::vector<Packet> packets_;
};

using Lines = std::vector<std::string>;

TEST_F(CaptureTapTest, APacketIsSeenAsItCameAndAsItLeft) {
  begin({});
  for (const Role sender : {Role::kClient, Role::kServer}) {
    frames_.clear();
    packets_.clear();
    for (int i = 0; i < 4; ++i) add(up().build());
    tap_.before(sender, packets_);
    tap_.made(Role::kServer, frames_[0]);
    decide(0, Verdict::kForward, Reason::translated);
    packets_[0].data[0] = 99;
    decide(1, Verdict::kDrop, Reason::bad_checksum);
    decide(2, Verdict::kReply, Reason::synack_sent);
    packets_[2].length -= 4;
    packets_[3].verdict = Verdict::kCut;
    tap_.after(sender, packets_);
    const Lines wanted = sender == Role::kClient
                             ? Lines{"came c translated 54/54 1",  "came c bad_checksum 54/54 2",
                                     "came c synack_sent 54/54 3", "made s 54/54 1",
                                     "left s translated 54/54 99", "left c synack_sent 50/50 3"}
                             : Lines{"came s translated 54/54 1", "came s bad_checksum 54/54 2",
                                     "came s synack_sent 54/54 3", "left c translated 54/54 99",
                                     "left s synack_sent 50/50 3"};
    Lines got = told(session_->ring);
    if (sender == Role::kServer) std::erase_if(got, [](auto& l) { return l.starts_with("made"); });
    EXPECT_EQ(got, wanted);
  }
  EXPECT_EQ(lost_.get(), 0U);
}

TEST_F(CaptureTapTest, ADropReasonTakesNothingElse) {
  for (const Reason other : {Reason::land, Reason::cookie_invalid}) {  // the second copies first
    begin(dropped_for({Reason::bad_checksum, other}));
    packets_.clear();
    frames_.clear();
    for (int i = 0; i < 3; ++i) add(up().build());
    tap_.before(Role::kClient, packets_);
    tap_.made(Role::kServer, frames_[0]);
    decide(0, Verdict::kForward, Reason::translated);
    decide(1, Verdict::kDrop, Reason::bad_checksum);
    decide(2, Verdict::kDrop, Reason::syn_fin);
    tap_.after(Role::kClient, packets_);
    EXPECT_EQ(told(session_->ring), Lines{"came c bad_checksum 54/54 2"});
    tap_.before(Role::kClient, packets_);
    decide(1, Verdict::kForward, Reason::translated);
    tap_.after(Role::kClient, packets_);
    EXPECT_EQ(told(session_->ring), Lines{});
  }
  decide(0, Verdict::kReply, Reason::cookie_invalid);
  tap_.before(Role::kClient, packets_);
  frames_[0][0] = 77;
  tap_.after(Role::kClient, packets_);
  EXPECT_EQ(told(session_->ring),
            (Lines{"came c cookie_invalid 54/54 1", "left c cookie_invalid 54/54 77"}));
}

TEST_F(CaptureTapTest, OnlyTheEndsAskedForAndTheBytesAskedFor) {
  CaptureFilter filter = filter_of("198.51.100.7:40000", nullptr);
  filter.snaplen = 20;
  begin(filter);
  add(up().build());
  add(up().ports(40'001, 80).build());
  tap_.before(Role::kClient, packets_);
  for (Packet& p : packets_) p.decide(Verdict::kDrop, Reason::consumed);
  tap_.made(Role::kServer, up().build());
  tap_.made(Role::kServer, up().ports(40'001, 80).build());
  tap_.after(Role::kClient, packets_);
  EXPECT_EQ(told(session_->ring), (Lines{"came c consumed 20/54 1", "made s 20/54 2"}));
  decide(0, Verdict::kDrop, Reason::syn_shed);
  tap_.dropped(Role::kClient, packets_[0]);
  tap_.dropped(Role::kClient, packets_[1]);
  tap_.made(Role::kClient, down().build());
  EXPECT_EQ(told(session_->ring), (Lines{"came c syn_shed 20/54 1", "made c 20/54 2"}));
}

TEST_F(CaptureTapTest, ABurstHasOneTimeAndWhatDoesNotMatchAsksForNone) {
  begin(filter_of(kClient4, nullptr));
  add(up(true).build());
  const std::uint64_t before = clock_reads;
  for (int i = 0; i < 3; ++i) {
    tap_.before(Role::kClient, packets_);
    decide(0, Verdict::kForward, Reason::translated);
    tap_.made(Role::kServer, up(true).build());
    tap_.after(Role::kClient, packets_);
  }
  EXPECT_EQ(clock_reads, before);
  add(up().build());
  for (std::uint64_t burst = 1; burst <= 2; ++burst) {
    tap_.before(Role::kClient, packets_);
    decide(1, Verdict::kForward, Reason::translated);
    tap_.made(Role::kServer, up().build());
    tap_.after(Role::kClient, packets_);
    EXPECT_EQ(clock_reads, before + burst);
    const auto taken = session_->ring.take();
    EXPECT_EQ(taken.first.front().time, before + burst);
    EXPECT_EQ(told(session_->ring).size(), 3U);
  }
}

TEST_F(CaptureTapTest, WhatFindsNoRoomIsCountedOnceForEachFrame) {
  begin({});
  const Bytes large = up().payload(Bytes(1400)).build();
  for (int i = 0; i < 32; ++i) add(large);
  std::uint64_t seen = 0;
  for (int burst = 0; burst < 50; ++burst) {
    tap_.before(Role::kClient, packets_);
    for (Packet& p : packets_) p.decide(Verdict::kForward, Reason::forwarded);
    tap_.after(Role::kClient, packets_);
  }
  seen = told(session_->ring).size();
  EXPECT_GT(seen, 1000U);
  EXPECT_EQ(session_->lost.get(), 50U * 64 - seen);
  EXPECT_EQ(lost_.get(), session_->lost.get());
}

TEST_F(CaptureTapTest, ASessionIsInUseUntilTheWorkerHasSeenItsEnd) {
  EXPECT_FALSE(tap_.on());
  CaptureSession session({}, 0);
  EXPECT_FALSE(tap_.uses(session));
  tap_.begin(session);
  EXPECT_TRUE(tap_.uses(session));
  EXPECT_FALSE(tap_.on()) << "the worker has not looked";
  tap_.heed();
  EXPECT_TRUE(tap_.on());
  tap_.end();
  EXPECT_TRUE(tap_.uses(session));
  tap_.heed();
  EXPECT_FALSE(tap_.uses(session));
  EXPECT_FALSE(tap_.on());
}

}  // namespace
}  // namespace synproxy::dataplane
