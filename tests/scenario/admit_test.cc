// SPDX-License-Identifier: BSD-3-Clause
// The gate for what is proven: whoever is refused leaves the flow that was there as it was, byte by
// byte, and still at work.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

SessionOptions numbers(std::uint32_t n) {
  SessionOptions o;
  o.client_isn = 0x10000000 * n;
  o.server_isn = 0x08000000 + 0x10000000 * n;
  o.client_ts = 5'000 + 1'000 * n;
  o.server_ts = 0x1000000 * n;
  return o;
}

struct OldFlow {
  const char* sentence;
  FlowState state;
  std::function<void(ProxyHarness&, Session&)> make;
  std::function<void(ProxyHarness&, Session&)> goes_on;
};

void talks(ProxyHarness&, Session& s) {
  s.client_sends("still here");
  s.server_sends("so am I");
}

const std::vector<OldFlow>& old_flows() {
  static const std::vector<OldFlow> kAll{
      {"established", FlowState::kEstablished, [](ProxyHarness&, Session& s) { s.open(); }, talks},
      {"in its handshake, with data held", FlowState::kSynSent,
       [](ProxyHarness& p, Session& s) {
         s.syn();
         s.ack();
         p.from_client(s.client(kAck | kPsh).payload("GET").build());
       },
       [](ProxyHarness& p, Session& s) {
         EXPECT_EQ(p.from_server(s.syn_ack_frame()), Verdict::kReply);
         EXPECT_EQ(p.take_server().flags, kAck);
         EXPECT_EQ(p.take_server().text(), "GET");
       }},
      {"closing after a RST", FlowState::kClosing,
       [](ProxyHarness&, Session& s) {
         s.open();
         s.client_sends("", kRst | kAck);
       },
       [](ProxyHarness&, Session& s) { s.server_sends("late"); }},
      {"finished", FlowState::kFinished,
       [](ProxyHarness&, Session& s) {
         s.open();
         s.close();
       },
       [](ProxyHarness&, Session& s) { s.server_sends("", kAck); }},
      {"given up", FlowState::kTombstone,
       [](ProxyHarness& p, Session& s) {
         s.syn();
         s.ack();
         PacketBuilder refusal = s.server(kRst | kAck);
         p.from_server(refusal.seq(0).ack(s.o.client_isn + 1).build());
         EXPECT_TRUE(p.take_client().has(kRst));
         revive_service(p, s.o);
       },
       [](ProxyHarness& p, Session& s) {
         EXPECT_EQ(p.from_server(s.syn_ack_frame()), Verdict::kReply);
         EXPECT_TRUE(p.take_server().has(kRst));
       }},
  };
  return kAll;
}

// Feeds `ack`, which is to be refused for `why`, so often that nothing may hang on how often.
void expect_refused(ProxyHarness& p, const Bytes& ack, Reason why, FlowState state) {
  const auto before = p.record(ack);
  ASSERT_TRUE(before.has_value());
  ASSERT_EQ(before->state(), state);
  const std::uint64_t valid = p.count(Reason::cookie_valid);
  const std::uint64_t reopened = p.count(Reason::conn_reopened);
  for (std::uint64_t i = 1; i <= 20; ++i) {
    EXPECT_EQ(p.from_client(ack), Verdict::kDrop);
    ASSERT_EQ(p.count(why), i);
  }
  const auto after = p.record(ack);
  ASSERT_TRUE(after.has_value());
  EXPECT_EQ(std::memcmp(&*before, &*after, sizeof *before), 0);
  EXPECT_EQ(p.count(Reason::cookie_valid), valid);
  EXPECT_EQ(p.count(Reason::conn_reopened), reopened);
  p.expect_quiet();
}

TEST(Admit, ReplayedAckLeavesTheOldFlowAsItWas) {
  for (const OldFlow& row : old_flows()) {
    for (const bool timestamps : {true, false}) {
      SCOPED_TRACE(row.sentence);
      ProxyHarness p;
      SessionOptions o = numbers(1);
      o.timestamps = timestamps;
      Session gone(p, o);
      gone.syn();
      const Bytes replay = gone.ack_frame();
      gone.ack();
      gone.syn_ack();
      gone.close();
      SessionOptions n = numbers(2);
      n.timestamps = timestamps;
      Session old(p, n);
      row.make(p, old);
      EXPECT_EQ(p.count(Reason::conn_reopened), 1U);
      // A late copy of its SYN: marks the flow where that lives.
      EXPECT_EQ(p.from_client(gone.syn_frame()), Verdict::kReply);
      (void)p.take_client();
      expect_refused(p, replay, Reason::cookie_replayed, row.state);
      row.goes_on(p, old);
    }
  }
}

TEST(Admit, AckWithABadChecksumLeavesTheOldFlowAsItWasAndTheGoodOneIsAdmitted) {
  for (const OldFlow& row : old_flows()) {
    for (const bool admitted : {true, false}) {
      SCOPED_TRACE(row.sentence);
      ProxyHarness p;
      p.checksums_must_be_good = false;
      Session old(p, numbers(1));
      row.make(p, old);
      Session next(p, numbers(2));
      next.syn();
      Bytes damaged = next.ack_frame();
      damaged.at(14 + 20 + 16) ^= 1;  // the TCP checksum
      expect_refused(p, damaged, Reason::bad_checksum, row.state);
      if (!admitted) {
        row.goes_on(p, old);
        continue;
      }
      EXPECT_EQ(p.from_client(next.ack_frame()), Verdict::kDrop);
      EXPECT_EQ(p.count(Reason::conn_reopened), 1U);
      const auto after = p.record(next.ack_frame());
      ASSERT_TRUE(after.has_value());
      EXPECT_EQ(after->client_isn, next.o.client_isn);
      EXPECT_EQ(after->state(), FlowState::kSynSent);
    }
  }
}

// The same gate where there is no flow yet.
TEST(Admit, WithoutAFlowARefusalLeavesNone) {
  ProxyHarness p;
  p.checksums_must_be_good = false;
  Session s(p, numbers(1));
  s.syn();
  Bytes damaged = s.ack_frame();
  damaged.at(14 + 20 + 16) ^= 1;
  EXPECT_EQ(p.from_client(damaged), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::bad_checksum), 1U);
  EXPECT_EQ(p.flows(), 0U);
  p.expect_quiet();
  s.ack();
  EXPECT_EQ(p.flows(), 1U);
}

}  // namespace
}  // namespace synproxy
