// SPDX-License-Identifier: BSD-3-Clause
// --strict-window: what clients send outside the window of a known connection.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

HarnessOptions strict(std::uint8_t monitored = 0) {
  HarnessOptions h;
  h.engine.tuning.strict_window = true;
  h.engine.tuning.limits.monitored = monitored;
  return h;
}

class StrictWindow : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Family, StrictWindow, ::testing::Bool());

// Far from the number that is awaited, on either side; and an acknowledgement of what never was.
std::vector<Bytes> outside(const Session& s) {
  std::vector<Bytes> frames;
  for (const std::uint32_t away : {0x10000000U, 0x7fffffffU, 0xc0000000U}) {
    frames.push_back(s.client(kAck | kPsh).seq(s.client_nxt + away).payload("x").build());
  }
  frames.push_back(s.client().ack(s.seen_by_client(s.server_nxt) + 0x10000000U).build());
  return frames;
}

TEST_P(StrictWindow, SegmentsOutsideTheWindowAreDropped) {
  ProxyHarness p(strict());
  Session s(p, {.ipv6 = GetParam()});
  s.open();
  s.client_sends("request");
  s.server_sends("response");
  const std::vector<Bytes> frames = outside(s);
  for (const Bytes& f : frames) EXPECT_EQ(p.from_client(f), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::out_of_window), frames.size());
  p.expect_quiet();
  s.client_sends("goes on");
  s.close();
}

TEST_P(StrictWindow, AreForwardedWithoutTheFlagAndWhileItIsMonitored) {
  for (const bool monitored : {false, true}) {
    ProxyHarness p(monitored ? strict(kMonitorStrictWindow) : HarnessOptions{});
    Session s(p, {.ipv6 = GetParam()});
    s.open();
    const std::vector<Bytes> frames = outside(s);
    for (const Bytes& f : frames) EXPECT_EQ(p.from_client(f), Verdict::kForward);
    EXPECT_EQ(p.count(Reason::strict_window_monitored), monitored ? frames.size() : 0);
    EXPECT_EQ(p.count(Reason::out_of_window), 0U);
    p.to_server.clear();
  }
}

// What an honest client sends: repeats, keepalives, data behind a gap, a probe of a closed window.
TEST_P(StrictWindow, WhatALossyPathMakesIsNotOutside) {
  ProxyHarness p(strict());
  Session s(p, {.ipv6 = GetParam()});
  s.open();
  s.client_sends("request");
  s.server_sends("response");
  const auto passes = [&](const PacketBuilder& b) {
    EXPECT_EQ(p.from_client(b.build()), Verdict::kForward);
    (void)p.take_server();
  };
  passes(s.client(kAck | kPsh).seq(s.client_nxt - 7).payload("request"));
  passes(s.client().seq(s.client_nxt - 1));
  passes(s.client().seq(s.client_nxt - 1).payload("t"));
  for (std::uint32_t gap = 1400; gap < 60'000; gap += 1400) {
    passes(s.client().seq(s.client_nxt + gap).payload(std::string(1000, 'x')));
  }
  EXPECT_EQ(p.count(Reason::out_of_window), 0U);
}

TEST_P(StrictWindow, AServerIsNotJudged) {
  ProxyHarness p(strict());
  Session s(p, {.ipv6 = GetParam()});
  s.open();
  EXPECT_EQ(p.from_server(s.server().seq(s.server_nxt + 0x10000000U).build()), Verdict::kForward);
  p.to_client.clear();
}

}  // namespace
}  // namespace synproxy
