// SPDX-License-Identifier: BSD-3-Clause
// Clients that behave within the rules and are yet seldom seen: what they change between the
// packets of a handshake, when they use an address and port again, and how their frames are tagged.
#include <gtest/gtest.h>

#include "support/session.h"

namespace synproxy::test {
namespace {

// --- the handshake

TEST(OddClient, WindowThatChangesWhileTheServerIsSilentReachesTheServer) {
  for (const std::optional<std::uint8_t> server_scale : {std::optional<std::uint8_t>{7}, {}}) {
    ProxyHarness p;
    Session c(p, {.client_window = 0, .server_scale = server_scale});
    c.syn();
    EXPECT_EQ(c.ack().window, 0) << "closed, as the client says";
    EXPECT_EQ(p.from_client(c.client().window(300).build()), Verdict::kDrop);
    EXPECT_EQ(p.from_client(c.client().window(500).break_l4_checksum().build()), Verdict::kDrop);
    EXPECT_EQ(p.from_client(c.client().seq(c.client_nxt - 1).window(700).build()), Verdict::kDrop)
        << "a keepalive is not acceptable, and its window does not count";
    EXPECT_EQ(p.count(Reason::cookie_retrans), 3U);
    EXPECT_EQ(c.syn_ack().window, server_scale ? 300 : 300 << 7);
  }
}

// Some stacks leave out options that may have been the reason why a SYN was not answered: the
// number is the same, but the options differ. Whichever SYN-ACK the client takes, it gets what that
// one said.
TEST(OddClient, SynThatComesAgainWithFewerOptionsGetsWhatItAsksFor) {
  for (const bool takes_first : {true, false}) {
    SCOPED_TRACE(takes_first);
    ProxyHarness p;
    Session rich(p);
    Session poor(p, {.timestamps = false, .sack = false, .client_scale = std::nullopt});
    rich.syn();
    const DecodedFrame second = poor.syn();
    EXPECT_FALSE(second.window_scale || second.sack_permitted || !second.timestamps.empty());
    Session& c = takes_first ? rich : poor;
    const DecodedFrame syn = c.ack();
    EXPECT_EQ(syn.timestamps.empty(), !takes_first);
    EXPECT_EQ(syn.window_scale.has_value(), takes_first);
    EXPECT_EQ(syn.sack_permitted, takes_first);
    c.syn_ack();
    c.client_sends("hello");
    c.server_sends("world");
    // A client in ESTABLISHED answers the other SYN-ACK with its present numbers.
    EXPECT_EQ(p.from_client(c.client().build()), Verdict::kForward);
    EXPECT_EQ(p.take_server().ack, c.server_nxt);
    EXPECT_EQ(p.count(Reason::conn_established), 1U);
    EXPECT_EQ(p.count(Reason::conn_reopened), 0U);
  }
}

TEST(OddClient, RequestAndFinInTheHandshakesAckAreOneFlight) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6});
    c.syn();
    EXPECT_EQ(p.from_client(c.client(kAck | kPsh | kFin).payload("all there is").build()),
              Verdict::kDrop);
    EXPECT_TRUE(p.take_server().has(kSyn));
    // And once more, as a client repeats: it adds nothing new.
    EXPECT_EQ(p.from_client(c.client(kAck | kPsh | kFin).payload("all there is").build()),
              Verdict::kDrop);
    c.syn_ack();
    const DecodedFrame all = p.take_server();
    EXPECT_EQ(all.text(), "all there is");
    EXPECT_TRUE(all.has(kFin));
    p.expect_quiet();
    c.client_nxt += 13;
    c.server_sends("answer", kAck | kPsh | kFin);
    c.client_sends("", kAck);
    EXPECT_EQ(p.count(Reason::conn_finished), 1U);
  }
}

TEST(OddClient, ResetBehindItsAckLeavesNothingAtTheServer) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  const Bytes ack = c.client(kAck | kPsh).payload("never mind").build();
  const Bytes rst = c.client(kRst | kAck).seq(c.client_nxt + 10).build();
  p.feed_burst(Role::kClient, {ack, rst});
  EXPECT_TRUE(p.take_server().has(kSyn));
  const DecodedFrame out = p.take_server();
  EXPECT_TRUE(out.has(kRst));
  EXPECT_EQ(out.seq, c.o.client_isn + 1);
  EXPECT_EQ(p.count(Reason::conn_aborted), 1U);
  // The server's answer was under way already.
  EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
  EXPECT_TRUE(p.take_server().has(kRst));
  p.expect_empty_after(70'000);
}

TEST(OddClient, AckWithEveryHarmlessFlagOpensTheConnection) {
  for (const std::uint16_t flags : {kAck, std::uint16_t{kAck | kPsh}, std::uint16_t{kAck | kUrg},
                                    std::uint16_t{kAck | kEce | kCwr}, std::uint16_t{kAck | kAe}}) {
    SCOPED_TRACE(flags);
    ProxyHarness p;
    Session c(p);
    c.syn();
    EXPECT_EQ(p.from_client(c.client(flags).build()), Verdict::kDrop);
    EXPECT_TRUE(p.take_server().has(kSyn));
    c.syn_ack();
    c.client_sends("hello");
  }
}

// RFC 9293 section 3.10.7.4 lets a SYN-ACK carry data; it comes again behind our ACK.
TEST(OddServer, DataInTheSynAckIsLeftToComeAgain) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  c.ack();
  PacketBuilder early = c.server(kSyn | kAck);
  early.seq(c.o.server_isn).ack(c.o.client_isn + 1).mss(1460).sack_permitted().window_scale(7);
  EXPECT_EQ(p.from_server(early.payload("220 hello").build()), Verdict::kReply);
  EXPECT_EQ(p.take_server().ack, c.o.server_isn + 1) << "nothing but the SYN is acknowledged";
  p.expect_quiet();
  c.server_sends("220 hello");
}

// --- the same addresses and ports again, in every state of what was there before

enum class Before {
  kAsking,
  kHolding,
  kOpen,
  kClientClosed,
  kServerClosed,
  kBothUnacked,
  kFinished,
  kResetByClient,
  kResetByServer,
  kRefused,
  kGivenUp
};
struct ReuseRow {
  const char* sentence;
  Before before;
  bool server_believes;  // in the old connection, and must be told
};

void bring_to(ProxyHarness& p, Session& c, Before state) {
  c.syn();
  c.ack();
  if (state == Before::kAsking) return;
  if (state == Before::kHolding) {
    p.from_client(c.client(kAck | kPsh).payload("of the old one").build());
    return;
  }
  if (state == Before::kRefused) {
    p.from_server(c.server(kRst | kAck).seq(0).build());
    p.to_client.clear();
    return revive_service(p, c.o);
  }
  if (state == Before::kGivenUp) {
    p.advance(11'000);
    p.to_client.clear();
    p.to_server.clear();
    return revive_service(p, c.o);
  }
  c.syn_ack();
  c.client_sends("request");
  c.server_sends("answer");
  if (state == Before::kClientClosed || state == Before::kBothUnacked || state == Before::kFinished)
    c.client_sends("", kAck | kFin);
  if (state == Before::kClientClosed) c.server_sends("", kAck);
  if (state == Before::kServerClosed) c.server_sends("", kAck | kFin);
  if (state == Before::kBothUnacked || state == Before::kFinished) c.server_sends("", kAck | kFin);
  if (state == Before::kFinished) c.client_sends("", kAck);
  if (state == Before::kResetByClient) p.from_client(c.client(kRst | kAck).build());
  if (state == Before::kResetByServer) p.from_server(c.server(kRst | kAck).build());
}

TEST(OddClient, StartsOverInEveryStateOfTheConnectionBefore) {
  for (const ReuseRow& row :
       {ReuseRow{"our SYN is not answered yet", Before::kAsking, true},
        ReuseRow{"early data is held", Before::kHolding, true},
        ReuseRow{"open", Before::kOpen, true},
        ReuseRow{"the client has closed", Before::kClientClosed, true},
        ReuseRow{"the server has closed", Before::kServerClosed, true},
        ReuseRow{"both have closed, the last ACK is missing", Before::kBothUnacked, false},
        ReuseRow{"finished", Before::kFinished, false},
        ReuseRow{"reset by the client", Before::kResetByClient, false},
        ReuseRow{"reset by the server", Before::kResetByServer, false},
        ReuseRow{"refused", Before::kRefused, false},
        ReuseRow{"given up", Before::kGivenUp, false}}) {
    for (const bool ipv6 : {false, true}) {
      for (const bool timestamps : {true, false}) {
        SCOPED_TRACE(std::string(row.sentence) + (ipv6 ? ", IPv6" : ", IPv4") +
                     (timestamps ? "" : ", without timestamps"));
        ProxyHarness p;
        Session old(p, {.ipv6 = ipv6, .timestamps = timestamps});
        bring_to(p, old, row.before);
        p.to_client.clear();
        p.to_server.clear();
        const std::uint64_t resets = p.count(Reason::rst_to_server);
        Session next(p, {.ipv6 = ipv6,
                         .client_isn = 0x7f000000,
                         .server_isn = 0x10,
                         .timestamps = timestamps,
                         .client_ts = 900'000});
        next.syn();
        EXPECT_EQ(p.from_client(next.client(kAck | kPsh).payload("new").build()), Verdict::kDrop);
        EXPECT_EQ(p.count(Reason::rst_to_server) - resets, row.server_believes ? 1U : 0U);
        if (row.server_believes) {
          EXPECT_TRUE(p.take_server().has(kRst));
        }
        EXPECT_EQ(p.take_server().seq, next.o.client_isn);
        next.syn_ack();
        EXPECT_EQ(p.take_server().text(), "new");
        next.client_nxt += 3;
        next.server_sends("done");
        next.client_sends("thanks");
        // Late segments of the old one change nothing.
        if (timestamps) {
          p.from_client(old.client(kAck | kPsh).payload("late").build());
          p.from_client(old.client(kRst).build());
          p.to_server.clear();
        }
        next.server_sends("still here");
        next.close();
        EXPECT_EQ(p.early_buffers(), 0U);
        p.to_client.clear();
        p.to_server.clear();
        p.expect_empty_after(200'000);
      }
    }
  }
}

// --- tags

// IEEE 802.1Q: the priority may change from frame to frame. A tag with only a priority (VID 0)
// names no VLAN, and a host answers it without a tag.
TEST(OddClient, PriorityOfATagIsNobodysBusiness) {
  ProxyHarness p;
  SessionOptions o;
  o.tags = {{0x0005, kEtherTypeVlan}};
  Session c(p, o);
  c.syn();
  c.o.tags = {{0xa005, kEtherTypeVlan}};
  EXPECT_EQ(c.ack().tags.at(0).tci, 0xa005);
  c.o.tags = {{0x0005, kEtherTypeVlan}};
  c.syn_ack();
  c.o.tags = {{0x7005, kEtherTypeVlan}};
  EXPECT_EQ(c.client_sends("hello").tags.at(0).tci, 0x7005);
  EXPECT_EQ(c.server_sends("world").tags.at(0).tci, 0x7005);
}

TEST(OddClient, PriorityTagIsAnsweredByAServerThatHasNone) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6, .tags = {{0x6000, kEtherTypeVlan}}});
    c.syn();
    c.ack();
    c.o.tags.clear();
    c.syn_ack();
    EXPECT_TRUE(c.server_sends("hello").tags.empty()) << "as the server sent it";
    c.o.tags = {{0x4000, kEtherTypeVlan}};
    EXPECT_EQ(c.client_sends("world").tags.at(0).tci, 0x4000);
    c.o.tags.clear();
    c.close(true);
    EXPECT_EQ(p.count(Reason::conn_finished), 1U);
  }
}

}  // namespace
}  // namespace synproxy::test
