// SPDX-License-Identifier: BSD-3-Clause
// Super-frames: they are translated whole, their unfinished sum stays, and what would have to be
// held is asked for in segments.
#include <gtest/gtest.h>

#include "support/session.h"
#include "support/super_frames.h"

namespace synproxy::test {
namespace {

class SuperFrames : public ::testing::TestWithParam<bool> {
 protected:
  SuperFrames() {
    proxy.room = 0xffff;
    proxy.checksums_must_be_good = false;  // those of super-frames are not finished
  }
  [[nodiscard]] Bytes super(const PacketBuilder& builder) const {
    return with_pseudo_sum(builder.build(), kEthernetHeader, GetParam());
  }
  Verdict feed(Role from, const Bytes& frame) {
    proxy.checksum_hint = ChecksumHint::kPartial;
    const Verdict v = proxy.feed(from, frame);
    proxy.checksum_hint = ChecksumHint::kUnknown;
    return v;
  }
  [[nodiscard]] std::size_t tcp_at() const { return kEthernetHeader + (GetParam() ? 40U : 20U); }
  [[nodiscard]] std::uint16_t sum_of(const Bytes& frame) const {
    return load_be<std::uint16_t>(&frame[tcp_at() + 16]);
  }

  ProxyHarness proxy;
  Session s{proxy, {.ipv6 = GetParam()}};
};

INSTANTIATE_TEST_SUITE_P(, SuperFrames, ::testing::Bool());

TEST_P(SuperFrames, AreTranslatedWholeAndTheirSumStays) {
  s.open();
  const Bytes up = super(s.client(kAck | kPsh).payload(pattern(40'000)));
  ASSERT_EQ(feed(Role::kClient, up), Verdict::kForward);
  const Bytes at_server = proxy.take_raw(Role::kServer);
  EXPECT_EQ(at_server.size(), up.size());
  EXPECT_EQ(sum_of(at_server), sum_of(up));
  EXPECT_EQ(load_be<std::uint32_t>(&at_server[tcp_at() + 8]), s.server_nxt);

  const Bytes down = super(s.server(kAck | kPsh).payload(pattern(60'000)));
  ASSERT_EQ(feed(Role::kServer, down), Verdict::kForward);
  const Bytes at_client = proxy.take_raw(Role::kClient);
  EXPECT_EQ(sum_of(at_client), sum_of(down));
  EXPECT_EQ(load_be<std::uint32_t>(&at_client[tcp_at() + 4]), s.seen_by_client(s.server_nxt));
  EXPECT_EQ(Bytes(at_client.end() - 60'000, at_client.end()), pattern(60'000));
}

// What an end acknowledges beyond what was seen counts if its sum is good. Nobody can verify a sum
// that is not finished, so its hint must do.
TEST_P(SuperFrames, MoveTheNumbersOverAGap) {
  s.open();
  s.server_nxt += 3000;  // has passed the proxy elsewhere
  ASSERT_EQ(feed(Role::kClient, super(s.client(kAck | kPsh).payload(pattern(20'000)))),
            Verdict::kForward);
  const auto record = proxy.record(s.client().build());
  ASSERT_TRUE(record);
  EXPECT_EQ(record->server_nxt, s.seen_by_client(s.server_nxt));
  static_cast<void>(proxy.take_raw(Role::kServer));
}

TEST_P(SuperFrames, FinInOneEndsItsSide) {
  s.open();
  ASSERT_EQ(feed(Role::kServer, super(s.server(kAck | kFin).payload(pattern(9000)))),
            Verdict::kForward);
  EXPECT_TRUE(proxy.record(s.client().build())->has(kFlowServerFin));
  static_cast<void>(proxy.take_raw(Role::kClient));
}

// The server takes less than the client was promised, so its segments have to be cut.
TEST_P(SuperFrames, AreAskedForInSegmentsWhereThoseAreTooLong) {
  s.o.server_mss = 1300;
  s.open();
  const auto before = proxy.record(s.client().build());
  EXPECT_EQ(feed(Role::kClient, super(s.client(kAck | kPsh).payload(pattern(5000)))),
            Verdict::kCut);
  proxy.expect_quiet();
  EXPECT_EQ(proxy.record(s.client().build())->client_nxt, before->client_nxt);
  EXPECT_EQ(proxy.from_client(s.client().payload(pattern(1400)).build()), Verdict::kForward);
  EXPECT_LE(proxy.take_server().payload.size(), 1300U);
  proxy.to_server.clear();
  proxy.to_client.clear();
}

TEST_P(SuperFrames, FirstDataIsAskedForInSegmentsBeforeAnythingIsDone) {
  s.syn();
  const std::uint64_t valid = proxy.count(Reason::cookie_valid);
  EXPECT_EQ(feed(Role::kClient, super(s.client(kAck | kPsh).payload(pattern(5000)))),
            Verdict::kCut);
  EXPECT_EQ(proxy.flows(), 0U);
  EXPECT_EQ(proxy.count(Reason::cookie_valid), valid);
  proxy.expect_quiet();
  // Its first segment opens the flow.
  EXPECT_EQ(proxy.from_client(s.client(kAck | kPsh).payload(pattern(1000)).build()),
            Verdict::kDrop);
  EXPECT_EQ(proxy.flows(), 1U);
  EXPECT_EQ(proxy.take_server().flags, kSyn);
}

TEST_P(SuperFrames, DataForAServerThatHasNotAnsweredIsAskedForInSegments) {
  s.syn();
  s.ack();
  const std::uint64_t held = proxy.early_buffers();
  EXPECT_EQ(feed(Role::kClient, super(s.client(kAck | kPsh).payload(pattern(5000)))),
            Verdict::kCut);
  EXPECT_EQ(proxy.early_buffers(), held);
}

TEST_P(SuperFrames, ForgedOneIsDroppedWhole) {
  s.syn();
  EXPECT_EQ(feed(Role::kClient, super(s.client(kAck).ack(77).payload(pattern(5000)))),
            Verdict::kDrop);
  EXPECT_EQ(proxy.count(Reason::cookie_invalid), 1U);
}

}  // namespace
}  // namespace synproxy::test
