// SPDX-License-Identifier: BSD-3-Clause
// The simulator's judges must not blame the proxy for what they mix up themselves. Each test is a
// situation in which a seed did.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "forgotten_syn.h"
#include "inspector.h"
#include "last_reset.h"
#include "offers.h"
#include "peer.h"
#include "router.h"
#include "support/naive_checksum.h"

namespace synproxy::test::sim {
namespace {

constexpr std::uint32_t kFirst = 1'000'000;   // the client's ISNs
constexpr std::uint32_t kSecond = 9'000'000;  // of the next connection
constexpr std::uint32_t kServerIsn = 77'000;

HostPlan server_plan() {
  HostPlan p;
  p.address = parse_address("203.0.113.10");
  p.peer = parse_address("198.51.100.7");
  p.port = 80;
  p.peer_port = 40'000;
  p.mac = kServerMac;
  p.peer_mac = kClientMac;
  p.timestamps = p.sack = false;
  p.scale.reset();
  return p;
}

PacketBuilder from_server(const HostPlan& p) {
  PacketBuilder b;
  b.macs(p.mac, p.peer_mac).ip_raw(p.address, p.peer).ports(p.port, p.peer_port);
  return b;
}

PacketBuilder to_server(const HostPlan& p) {
  PacketBuilder b;
  b.macs(p.peer_mac, p.mac).ip_raw(p.peer, p.address).ports(p.peer_port, p.port);
  return b;
}

DecodedFrame frame(const PacketBuilder& b) { return decode(b.build()).value(); }

DecodedFrame syn(const HostPlan& p, std::uint32_t isn) {
  return frame(to_server(p).seq(isn).flags(kSyn).window(8'000).mss(1'460));
}

// --- what is allowed in a conversation ends with it, and not when the next one begins

class Slack : public testing::Test {
 protected:
  // The server answers the SYN with this number and shows a window of 100 bytes.
  void answer(std::uint32_t client_isn) {
    inspector.sent(frame(from_server(plan)
                             .seq(kServerIsn)
                             .flags(kSyn | kAck)
                             .ack(client_isn + 1)
                             .window(100)
                             .mss(1'460)));
  }
  std::string deliver(std::uint32_t client_isn, std::size_t bytes) {
    Flight f;
    f.frame = frame(to_server(plan)
                        .seq(client_isn + 1)
                        .flags(kAck)
                        .ack(kServerIsn + 1)
                        .window(8'000)
                        .payload(Bytes(bytes, 'x')));
    f.conversation = client_isn;
    inspector.delivered(f);
    return inspector.violation;
  }

  const HostPlan plan = server_plan();
  Inspector inspector{plan, false, false};
};

TEST_F(Slack, LateSegmentHasThatOfItsOwnConversation) {
  inspector.set_window_slack(kFirst, 1'000);
  answer(kFirst);
  inspector.set_window_slack(kSecond, 0);  // the next connection begins, its SYN is under way
  EXPECT_EQ(deliver(kFirst, 1'000), "");
}

TEST_F(Slack, NextConversationHasItsOwn) {
  inspector.set_window_slack(kFirst, 1'000);
  answer(kFirst);
  inspector.set_window_slack(kSecond, 200);
  answer(kSecond);
  EXPECT_EQ(deliver(kSecond, 300), "");
  EXPECT_NE(deliver(kSecond, 302), "");
}

// --- a client's data that has overtaken its handshake ACK passes while cookies end, and comes to a
// server that has agreed on timestamps with the proxy

class Stranger : public testing::Test {
 protected:
  Stranger() {
    inspector.sent(frame(from_server(plan)
                             .seq(kServerIsn)
                             .flags(kSyn | kAck)
                             .ack(kFirst + 1)
                             .window(100)
                             .timestamps(5, 6)));
  }
  std::string deliver(bool unknown) {
    Flight f;
    f.frame = frame(
        to_server(plan).seq(kFirst + 9).flags(kAck).ack(kServerIsn + 4'711).payload(Bytes(8, 'x')));
    f.conversation = kFirst;
    f.untouched = f.unknown = unknown;
    inspector.delivered(f);
    return inspector.violation;
  }

  const HostPlan plan = server_plan();
  Inspector inspector{plan, false, false};
};

TEST_F(Stranger, IsRefusedByTheServer) { EXPECT_EQ(deliver(true), ""); }

TEST_F(Stranger, IsNotTheSameAsATranslationThatLacksTimestamps) {
  EXPECT_NE(deliver(false).find("timestamps missing"), std::string::npos);
}

// --- an ICMP error quotes to a host what the host has sent

class Quoted : public testing::Test {
 protected:
  Quoted() {
    p.client = server_plan();
    std::swap(p.client.address, p.client.peer);
    p.server = server_plan();
    p.icmp = 1'000;
  }
  // A segment of the server with these numbers.
  static Flight flight(std::uint32_t seq, std::uint32_t tsval) {
    Flight f;
    PacketBuilder b = from_server(server_plan());
    f.bytes = b.seq(seq).ack(5).flags(kAck).timestamps(tsval, 3).payload(Bytes(600, 'x')).build();
    f.frame = decode(f.bytes);
    f.conversation = kFirst;
    return f;
  }
  // What is said of an error that quotes so much of `passed`, at least, if the proxy changes these
  // bytes of it and no others.
  std::string judge(const Flight& passed, std::size_t least, std::size_t at, const Bytes& bytes) {
    Router router(p, ++seed);
    std::optional<Flight> error = router.answer(Role::kClient, sent, passed);
    while (error->error->guessed || error->error->quoted < 20 + least) {
      error = router.answer(Role::kClient, sent, passed);
    }
    constexpr std::size_t kIcmpAt = 14 + 20;
    Bytes out = error->bytes;
    std::ranges::copy(bytes, out.begin() + kIcmpAt + 8 + 20 + static_cast<long>(at));
    out[kIcmpAt + 2] = out[kIcmpAt + 3] = 0;
    const std::uint16_t sum = NaiveSum().add(std::span(out).subspan(kIcmpAt)).checksum();
    out[kIcmpAt + 2] = static_cast<std::uint8_t>(sum >> 8);
    out[kIcmpAt + 3] = static_cast<std::uint8_t>(sum);
    return check_error(*error->error, error->bytes, out, p.client, true);
  }

  Plan p;
  const Flight sent = flight(0x01020304, 0x0a0b0c0d);
  std::uint64_t seed = 0;
};

TEST_F(Quoted, NumberIsThatOfTheSender) {
  const Flight passed = flight(0x11121314, 0x0a0b0c0d);
  for (const std::size_t least : {8U, 40U, 500U}) {
    EXPECT_EQ(judge(passed, least, 4, {1, 2, 3, 4}), "");
    EXPECT_NE(judge(passed, least, 4, {0x11, 0x12, 0x13, 0x14}), "");
  }
}

TEST_F(Quoted, TimestampsAreThoseOfTheSender) {
  const Flight passed = flight(0x01020304, 0x1a1b1c1d);
  EXPECT_EQ(judge(passed, 40, 24, {0x0a, 0x0b, 0x0c, 0x0d}), "");
  EXPECT_NE(judge(passed, 40, 24, {0x1a, 0x1b, 0x1c, 0x1d}), "");
}

TEST_F(Quoted, PayloadStaysAsItIs) { EXPECT_NE(judge(sent, 500, 400, {'y'}), ""); }

// --- a server that has lost the client's last ACK repeats its last segments when the proxy has
// forgotten the connection. While --adopt lets unknown segments pass, they come to the client in
// the server's own numbers

class LateRepeat : public testing::Test {
 protected:
  LateRepeat() {
    inspector.sent(syn(server, kFirst));
    Flight syn_ack;
    syn_ack.frame =
        frame(from_server(server).seq(kCookie).flags(kSyn | kAck).ack(kFirst + 1).window(8'000));
    syn_ack.conversation = kFirst;
    syn_ack.made = true;
    inspector.delivered(syn_ack);
    inspector.sent(
        frame(to_server(server).seq(kFirst + 1).flags(kAck).ack(kCookie + 1).window(8'000)));
  }
  std::string deliver(bool unknown, bool done) {
    Flight f;
    f.frame = frame(from_server(server)
                        .seq(kServerIsn + 1)
                        .flags(kAck)
                        .ack(kFirst + 1)
                        .window(100)
                        .payload(Bytes(8, 'x')));
    f.conversation = kFirst;
    f.untouched = f.unknown = unknown;
    inspector.set_done(done);
    inspector.delivered(f);
    return inspector.violation;
  }

  static constexpr std::uint32_t kCookie = 1'000;
  const HostPlan server = server_plan();
  const HostPlan plan = [this] {
    HostPlan p = server;
    std::swap(p.address, p.peer);
    std::swap(p.port, p.peer_port);
    std::swap(p.mac, p.peer_mac);
    return p;
  }();
  Inspector inspector{plan, true, false};
};

TEST_F(LateRepeat, IsNothingToAClientThatHasEverything) { EXPECT_EQ(deliver(true, true), ""); }

TEST_F(LateRepeat, IsAFaultWhileTheClientWaitsForIt) { EXPECT_NE(deliver(true, false), ""); }

TEST_F(LateRepeat, IsAFaultWhereTheProxyKnowsTheConnection) { EXPECT_NE(deliver(false, true), ""); }

// --- the client's own SYN has passed too. The server's ACK of it comes before its SYN-ACK, and has
// what that agrees on

class OwnAck : public LateRepeat {
 protected:
  std::string deliver_ack(std::uint32_t seq, std::uint32_t ack, const Bytes& data) {
    Flight f;
    f.frame = frame(
        from_server(server).seq(seq).flags(kAck).ack(ack).window(100).timestamps(5, 6).payload(
            data));
    f.conversation = kFirst;
    f.untouched = true;
    inspector.delivered(f);
    return inspector.violation;
  }
  static constexpr std::uint32_t kFar = 0x7000'0000;
};

TEST_F(OwnAck, IsRefusedByTheClient) { EXPECT_EQ(deliver_ack(kFar, kFirst + 1, {}), ""); }

TEST_F(OwnAck, IsAFaultInTheNumbersOfTheCookie) {
  EXPECT_NE(deliver_ack(kCookie + 1, kFirst + 1, {}), "");
}

TEST_F(OwnAck, IsAFaultWithDataOrBehindTheSyn) {
  EXPECT_NE(deliver_ack(kFar, kFirst + 1, {'x'}), "");
}

// --- a RST that the proxy passes on for an end that is done

TEST(LastReset, OfAnEndThatIsDoneIsThatOfTheProxy) {
  const HostPlan plan = server_plan();
  const DecodedFrame rst = frame(from_server(plan).seq(4'711).flags(kRst));
  LastReset last;
  EXPECT_FALSE(last.is_said_by(rst)) << "the proxy resets of its own";
  last.sent(rst, false);
  EXPECT_FALSE(last.is_said_by(rst)) << "that end may have been reset itself";
  last.sent(frame(from_server(plan).seq(4'711).flags(kAck)), true);
  EXPECT_FALSE(last.is_said_by(rst));
  last.sent(rst, true);
  EXPECT_TRUE(last.is_said_by(rst));
  EXPECT_FALSE(last.is_said_by(frame(from_server(plan).seq(4'712).flags(kRst))));
  last.clear();
  EXPECT_FALSE(last.is_said_by(rst)) << "of the connection before";
}

// --- a late handshake ACK that is older than the SYN, which nobody remembers

TEST(ForgottenSyn, IsThatOfAProcessThatDiedBeforeTheAckCame) {
  ForgottenSyn f;
  f.begin(kSecond);
  f.syn_ack(kFirst + 1);
  f.process_dies();
  f.syn(kFirst);
  EXPECT_FALSE(f.other_opened()) << "the SYN was not answered yet";
  f.syn_ack(kSecond + 1);
  f.syn(kFirst);
  EXPECT_FALSE(f.other_opened()) << "the same process knows better";
  f.process_dies();
  f.syn(kSecond);
  f.syn(kFirst);
  EXPECT_FALSE(f.other_opened()) << "the client was heard";
  f.syn_ack(kSecond + 1);
  f.process_dies();
  f.syn(kFirst);
  EXPECT_TRUE(f.other_opened());
  f.begin(kFirst);
  EXPECT_FALSE(f.other_opened());
}

TEST(Offers, ConversationIsAskedTwiceIfItsOwnOffersDiffer) {
  const HostPlan p = server_plan();
  Offers offers;
  offers.note(syn(p, kFirst));
  offers.note(frame(to_server(p).seq(kSecond).flags(kSyn).mss(1'460).sack_permitted()));
  offers.note(syn(p, kFirst));  // again, of the connection before
  EXPECT_FALSE(offers.asked_twice(kFirst));
  EXPECT_FALSE(offers.asked_twice(kSecond));
  offers.note(syn(p, kSecond));
  EXPECT_FALSE(offers.asked_twice(kFirst));
  EXPECT_TRUE(offers.asked_twice(kSecond));
  EXPECT_FALSE(offers.asked_twice(std::nullopt));
}

// --- one conversation for each SYN of a plan

class LateSyn : public testing::TestWithParam<const char*> {
 protected:
  LateSyn() {
    const bool lwip = std::string_view(GetParam()) == "lwip";
    peer = lwip ? make_lwip_peer(plan) : make_scripted_peer(plan, 1);
  }
  void SetUp() override {
    if (!peer) GTEST_SKIP() << "built without lwIP (-Dlwip=)";
  }
  void listen(std::uint32_t client_isn, std::uint32_t isn) {
    Part part;
    part.isn = isn;
    part.peer_isn = client_isn;
    peer->listen(part, false, now);
    peer->out.clear();
  }
  // The server's number in its answer to this SYN, if it answers.
  std::optional<std::uint32_t> ask(std::uint32_t client_isn) {
    peer->out.clear();
    peer->receive(syn(plan, client_isn), ++now);
    if (peer->out.empty()) return std::nullopt;
    const DecodedFrame answer = decode(peer->out.back().bytes).value();
    EXPECT_TRUE(answer.has(kSyn)) << answer.to_string();
    EXPECT_EQ(answer.ack, client_isn + 1);
    return answer.seq;
  }
  void acknowledge(std::uint32_t client_isn, std::uint32_t isn) {
    peer->receive(frame(to_server(plan).seq(client_isn + 1).flags(kAck).ack(isn + 1).window(8'000)),
                  ++now);
  }
  void reset(std::uint32_t client_isn) {
    peer->receive(frame(to_server(plan).seq(client_isn + 1).flags(kRst)), ++now);
  }

  const HostPlan plan = server_plan();
  std::unique_ptr<Peer> peer;
  std::uint64_t now = 1;
};

TEST_P(LateSyn, OfAConnectionThatWasResetBeginsNothing) {
  listen(kFirst, 5'000);
  EXPECT_EQ(ask(kFirst), 5'000U);
  acknowledge(kFirst, 5'000);
  EXPECT_TRUE(peer->opened);
  reset(kFirst);
  EXPECT_EQ(ask(kFirst), std::nullopt);  // while the application still looks at it
  listen(kSecond, 6'000);
  EXPECT_EQ(ask(kFirst), std::nullopt);
  EXPECT_EQ(ask(kSecond), 6'000U);
}

TEST_P(LateSyn, OfOneThatWasResetInItsHandshakeBeginsNothing) {
  listen(kFirst, 5'000);
  EXPECT_EQ(ask(kFirst), 5'000U);
  reset(kFirst);
  listen(kSecond, 6'000);
  EXPECT_EQ(ask(kFirst), std::nullopt);
  EXPECT_EQ(ask(kSecond), 6'000U);
}

TEST_P(LateSyn, OfOneThatTheServerForgotBeginsNothing) {
  listen(kFirst, 5'000);
  EXPECT_EQ(ask(kFirst), 5'000U);
  acknowledge(kFirst, 5'000);
  peer->forget();
  listen(kSecond, 6'000);
  EXPECT_EQ(ask(kFirst), std::nullopt);
}

// The proxy resets and asks again, for less.
TEST_P(LateSyn, OfThePresentConnectionIsAnsweredAgainUntilItIsOpen) {
  listen(kFirst, 5'000);
  EXPECT_EQ(ask(kFirst), 5'000U);
  reset(kFirst);
  EXPECT_EQ(ask(kFirst), 5'000U);
  acknowledge(kFirst, 5'000);
  EXPECT_TRUE(peer->opened);
}

// It may ask for a client that has gone.
TEST_P(LateSyn, ThatWasNeverAnsweredIsAnswered) {
  listen(kFirst, 5'000);
  listen(kSecond, 6'000);
  EXPECT_EQ(ask(kFirst), 6'000U);
  acknowledge(kFirst, 6'000);
  EXPECT_FALSE(peer->opened);
}

INSTANTIATE_TEST_SUITE_P(Servers, LateSyn, testing::Values("scripted", "lwip"),
                         [](const auto& server) { return std::string(server.param); });

}  // namespace
}  // namespace synproxy::test::sim
