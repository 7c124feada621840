// SPDX-License-Identifier: BSD-3-Clause
// The simulator's judges must not blame the proxy for what they mix up themselves. Each test is a
// situation in which a seed did.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "inspector.h"
#include "offers.h"
#include "peer.h"

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
