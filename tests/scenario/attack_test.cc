// SPDX-License-Identifier: BSD-3-Clause
// Attacks by somebody who knows a connection's addresses, or has a connection of his own.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy::test {
namespace {

SessionOptions successor(std::uint32_t isn) {
  SessionOptions o;
  o.client_isn = isn;
  return o;
}

TEST(Attack, MoreSynsBuyNoMoreGuessesAtALiveFlow) {
  ProxyHarness p;
  Session old(p);
  old.open();
  p.advance(5000);
  Session next(p, successor(77'000'000));
  for (int round = 0; round < 10; ++round) {
    next.syn();
    for (std::uint32_t i = 1; i <= 20; ++i) {
      Session guess(p, successor(77'000'000));
      guess.cookie = next.cookie + 0x10'0000 * i;
      guess.our_tsval = next.our_tsval;
      guess.client_nxt = next.client_nxt;
      p.from_client(guess.ack_frame());
    }
    // A fitting segment of the victim clears the mark; it must not clear the count.
    p.to_server.clear();
    old.client_sends("x");
  }
  next.syn();
  p.from_client(next.ack_frame());
  EXPECT_EQ(p.count(Reason::conn_reopened), 0U);
  EXPECT_EQ(p.count(Reason::rst_to_server), 0U);

  p.advance(2000);
  p.to_server.clear();
  next.syn();
  p.from_client(next.ack_frame());
  EXPECT_EQ(p.count(Reason::conn_reopened), 1U) << "an honest client comes through a second later";
}

TEST(Attack, ChallengeAcksAreAskedAgainAtOnceOnlyOnce) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();
  for (int i = 0; i < 100; ++i) {
    p.from_server(c.server().seq(0x12345678).ack(c.o.client_isn - 5000).build());
  }
  EXPECT_EQ(p.count(Reason::challenge_ack), 100U);
  EXPECT_EQ(p.count(Reason::syn_to_server), 2U);
  EXPECT_EQ(p.count(Reason::rst_to_server), 100U)
      << "one for one, as RFC 9293 section 3.10.7.3 asks";
  p.to_server.clear();
  c.syn_ack();
  EXPECT_EQ(p.count(Reason::conn_established), 1U);
}

TEST(Attack, StrayServerSegmentMovesNoNumbers) {
  ProxyHarness p;
  Session c(p);
  c.open();
  p.from_server(c.server().seq(c.server_nxt + (1U << 29)).ack(c.client_nxt + (1U << 29)).build());
  p.from_server(c.server(kAck | kFin).seq(c.server_nxt - (1U << 29)).build());
  p.to_client.clear();
  p.from_client(c.client(kRst).build());
  EXPECT_EQ(p.count(Reason::conn_reset), 1U) << "the client's RST still is exact";
  EXPECT_EQ(p.count(Reason::rst_out_of_window), 0U);
  p.to_server.clear();
  p.expect_empty_after(70'000);
}

TEST(Attack, RstAtWhatTheServerHasAcknowledgedEndsTheFlowInSpiteOfAHole) {
  ProxyHarness p;
  Session c(p);
  c.open();
  c.client_sends("hello");
  c.server_sends("hi");  // acknowledges it
  p.from_client(c.client().seq(c.client_nxt + 100).payload("x").build());
  p.from_client(c.client(kRst | kAck).build());
  EXPECT_EQ(p.count(Reason::conn_reset), 1U);
  p.to_server.clear();
  p.expect_empty_after(70'000);
}

TEST(Attack, HandshakeIsBoundToItsVlan) {
  ProxyHarness p;
  SessionOptions o;
  o.tags = {{5, 0x8100}};
  Session here(p, o);
  here.syn();
  o.tags = {{6, 0x8100}};
  Session there(p, o);
  there.cookie = here.cookie;
  there.our_tsval = here.our_tsval;
  there.client_nxt = here.client_nxt;
  p.from_client(there.ack_frame());
  EXPECT_EQ(p.count(Reason::cookie_invalid), 1U);
  EXPECT_EQ(p.flows(), 0U);
  here.ack();
  here.syn_ack();
  EXPECT_EQ(p.count(Reason::conn_established), 1U);
}

TEST(Attack, ServersRestartedOutboundConnectionIsFollowedByItsNewNumbers) {
  ProxyHarness p;
  Session c(p);
  const auto out = [&](std::uint16_t flags, std::uint32_t seq, std::uint32_t ack) {
    return p.from_server(c.server().seq(seq).ack(ack).flags(flags).build());
  };
  const auto in = [&](std::uint16_t flags, std::uint32_t seq, std::uint32_t ack) {
    return p.from_client(c.client().seq(seq).ack(ack).flags(flags).build());
  };
  out(kSyn, 1000, 0);
  in(kSyn | kAck, 5000, 1001);
  out(kSyn, 0x80000000U, 0);
  EXPECT_EQ(in(kSyn | kAck, 9000, 0x80000001U), Verdict::kForward);
  EXPECT_EQ(p.count(Reason::conn_passed), 2U);
  out(kAck, 0x80000001U, 9001);
  EXPECT_EQ(in(kRst | kAck, 9001, 0x80000001U), Verdict::kForward);
  EXPECT_EQ(p.count(Reason::conn_reset), 1U);
  p.to_client.clear();
  p.to_server.clear();
  p.expect_empty_after(70'000);
}

}  // namespace
}  // namespace synproxy::test
