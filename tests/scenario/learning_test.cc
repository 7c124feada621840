// SPDX-License-Identifier: BSD-3-Clause
// `auto`: the proxy learns from SYN-ACKs what servers can do, and asks for it at the first chance.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "support/proxy_harness.h"
#include "synproxy/proxy/services.h"

namespace synproxy {
namespace {

using namespace test;

constexpr std::uint32_t kClientIsn = 0x11110000;
constexpr std::uint32_t kServerIsn = 0x77770000;

HarnessOptions all_auto() {
  HarnessOptions h;
  h.engine.tuning.offer = OfferConfig{};
  h.protect = {"203.0.113.10"};
  return h;
}

// A server as its SYN-ACKs show it; it grants only what it is asked for.
struct Server {
  bool timestamps = true;
  bool sack = true;
  bool ecn = true;
  std::optional<std::uint8_t> scale = 9;
  std::uint16_t mss = 1400;
  std::uint16_t window = 9'000;
  std::uint16_t port = 80;

  [[nodiscard]] Bytes answer(const DecodedFrame& syn) const {
    const bool wants_ecn = (syn.flags & (kEce | kCwr)) == (kEce | kCwr);
    PacketBuilder b;
    b.macs(kServerMac, kClientMac).ipv4("203.0.113.10", "198.51.100.7");
    b.ports(port, syn.source_port).seq(kServerIsn).ack(syn.seq + 1).window(window);
    b.flags(static_cast<std::uint16_t>(kSyn | kAck | (ecn && wants_ecn ? kEce : 0))).mss(mss);
    if (sack && syn.sack_permitted) b.sack_permitted();
    if (timestamps && !syn.timestamps.empty()) b.timestamps(9'000'000, syn.tsval());
    if (scale && syn.window_scale) b.window_scale(*scale);
    return b.build();
  }
};

// A client that asks for everything.
DecodedFrame syn(ProxyHarness& p, std::uint16_t port, std::uint16_t server_port = 80) {
  const Bytes frame = PacketBuilder()
                          .ipv4("198.51.100.7", "203.0.113.10")
                          .ports(port, server_port)
                          .seq(kClientIsn)
                          .flags(kSyn | kEce | kCwr)
                          .mss(1460)
                          .sack_permitted()
                          .timestamps(5'000, 0)
                          .window_scale(8)
                          .build();
  EXPECT_EQ(p.from_client(frame), Verdict::kReply);
  return p.take_client();
}

// The client's ACK of that SYN-ACK, with the timestamps that it was given.
DecodedFrame ack(ProxyHarness& p, const DecodedFrame& syn_ack) {
  PacketBuilder b;
  b.ipv4("198.51.100.7", "203.0.113.10").ports(syn_ack.destination_port, syn_ack.source_port);
  b.seq(kClientIsn + 1).ack(syn_ack.seq + 1).window(500);
  if (!syn_ack.timestamps.empty()) b.timestamps(5'001, syn_ack.tsval());
  EXPECT_EQ(p.from_client(b.build()), Verdict::kDrop);
  return p.take_server();
}

struct Outcome {
  DecodedFrame syn_ack;                // to the client
  std::vector<DecodedFrame> requests;  // our SYNs and RSTs to the server, in order
  DecodedFrame last;                   // the frame after the server's last SYN-ACK
};

// From SYN to splice. The server answers each of our SYNs.
Outcome connect(ProxyHarness& p, std::uint16_t port, const Server& server) {
  Outcome out;
  out.syn_ack = syn(p, port, server.port);
  DecodedFrame next = ack(p, out.syn_ack);
  for (int i = 0; i < 4 && next.has(kSyn); ++i) {
    out.requests.push_back(next);
    p.from_server(server.answer(next));
    if (p.to_server.empty()) break;
    next = p.take_server();
    if (!next.has(kRst)) continue;
    out.requests.push_back(next);
    if (!p.to_server.empty()) next = p.take_server();
  }
  out.last = next;
  return out;
}

// Connects as often as a promise needs.
void teach(ProxyHarness& p, const Server& server) {
  for (std::uint16_t i = 0; i < ServiceTable::kAnswersToPromise; ++i) {
    (void)connect(p, static_cast<std::uint16_t>(900 + i), server);
  }
}

TEST(Learning, TimestampsAndEcnAreNotPromisedForAServerThatNobodyKnows) {
  ProxyHarness p(all_auto());
  const DecodedFrame first = syn(p, 1000);
  EXPECT_TRUE(first.timestamps.empty());
  EXPECT_FALSE(first.has(kEce));
  EXPECT_TRUE(first.sack_permitted);
  EXPECT_EQ(first.window_scale, kAssumedScale);
  EXPECT_EQ(first.mss, 1460);
}

TEST(Learning, TheFirstConnectionAsksInItsSynAndIsOpenedWithoutTheExtras) {
  ProxyHarness p(all_auto());
  const Outcome c = connect(p, 1000, {});
  ASSERT_EQ(c.requests.size(), 3U);
  EXPECT_FALSE(c.requests[0].timestamps.empty());
  EXPECT_TRUE(c.requests[0].has(kEce));
  EXPECT_EQ(c.requests[1].flags, kRst) << "what the server believes in is reset";
  EXPECT_EQ(c.requests[1].seq, kClientIsn + 1);
  EXPECT_EQ(c.requests[2].flags, kSyn);
  EXPECT_TRUE(c.requests[2].timestamps.empty());
  EXPECT_EQ(c.last.flags, kAck);
  EXPECT_EQ(c.last.ack, kServerIsn + 1);
  EXPECT_TRUE(c.last.timestamps.empty());
  EXPECT_EQ(p.count(Reason::server_shows_more), 1U);
  EXPECT_EQ(p.count(Reason::conn_established), 1U);
  p.expect_quiet();
}

// A server that has agreed on ECN with a SYN of the client's own, which passed before the service
// had cookies, shows it in the answer to our SYN too.
struct AgreedBefore {
  HarnessOptions options;
  ProxyHarness p;
  DecodedFrame request;  // our SYN

  AgreedBefore() : options(no_ecn()), p(options), request(ack(p, syn(p, 1000))) {
    EXPECT_EQ(request.flags, kSyn) << "asks for no ECN";
  }
  static HarnessOptions no_ecn() {
    HarnessOptions h = all_auto();
    h.engine.tuning.offer.ecn = Offer::kOff;
    h.engine.tuning.offer.timestamps = Offer::kOff;
    return h;
  }
  [[nodiscard]] Bytes answer(std::uint16_t flags, std::uint32_t isn) const {
    return PacketBuilder()
        .macs(kServerMac, kClientMac)
        .ipv4("203.0.113.10", "198.51.100.7")
        .ports(80, 1000)
        .seq(isn)
        .ack(kClientIsn + 1)
        .window(9'000)
        .flags(flags)
        .mss(1400)
        .build();
  }
};

TEST(Learning, EcnThatNobodyAskedForIsResetAndAskedAgain) {
  AgreedBefore t;
  const Bytes old = t.answer(kSyn | kAck | kEce, kServerIsn);
  EXPECT_EQ(t.p.from_server(old), Verdict::kReply);
  const DecodedFrame rst = t.p.take_server();
  EXPECT_EQ(rst.flags, kRst);
  EXPECT_EQ(rst.seq, kClientIsn + 1);
  EXPECT_EQ(t.p.take_server().flags, kSyn);
  EXPECT_EQ(t.p.from_server(old), Verdict::kDrop) << "a copy: a RST would end the new handshake";
  EXPECT_TRUE(t.p.to_server.empty());
  EXPECT_EQ(t.p.from_server(t.answer(kSyn | kAck, kServerIsn + 99)), Verdict::kReply);
  const DecodedFrame done = t.p.take_server();
  EXPECT_EQ(done.flags, kAck);
  EXPECT_EQ(done.ack, kServerIsn + 100);
  EXPECT_EQ(t.p.count(Reason::conn_established), 1U);
  EXPECT_EQ(t.p.count(Reason::server_shows_more), 2U);
}

TEST(Learning, AServerThatShowsEcnToEverySynIsServedASecondLater) {
  AgreedBefore t;
  const Bytes answer = t.answer(kSyn | kAck | kEce, kServerIsn);
  EXPECT_EQ(t.p.from_server(answer), Verdict::kReply);
  EXPECT_EQ(t.p.from_server(answer), Verdict::kDrop);
  t.p.to_server.clear();
  t.p.advance(1'000);
  t.p.to_server.clear();  // our SYN once more
  EXPECT_EQ(t.p.from_server(answer), Verdict::kReply);
  EXPECT_EQ(t.p.take_server().flags, kAck);
  EXPECT_EQ(t.p.count(Reason::conn_established), 1U);
}

TEST(Learning, TheSynAckOffersWhatEnoughAnswersHaveShown) {
  ProxyHarness p(all_auto());
  teach(p, {});
  const Outcome c = connect(p, 1001, {});
  EXPECT_FALSE(c.syn_ack.timestamps.empty());
  EXPECT_TRUE(c.syn_ack.has(kEce));
  EXPECT_TRUE(c.syn_ack.sack_permitted);
  EXPECT_EQ(c.syn_ack.window_scale, 9);
  EXPECT_EQ(c.syn_ack.mss, 1400);
  EXPECT_EQ(c.syn_ack.window, 9'000) << "no more than the server takes at first";
  ASSERT_EQ(c.requests.size(), 1U) << "nothing is left to ask for";
  EXPECT_EQ(c.last.flags, kAck);
  EXPECT_FALSE(c.last.timestamps.empty());
}

TEST(Learning, AServerThatLacksEverythingIsServedFromTheFirstConnectionOn) {
  ProxyHarness p(all_auto());
  const Server bare{.timestamps = false, .sack = false, .ecn = false, .scale = std::nullopt};
  for (std::uint16_t port = 1000; port < 1010; ++port) {
    const Outcome c = connect(p, port, bare);
    EXPECT_TRUE(c.syn_ack.timestamps.empty());
    EXPECT_EQ(c.syn_ack.sack_permitted, port == 1000);
    EXPECT_EQ(c.syn_ack.window_scale, port == 1000 ? kAssumedScale : 0);
    EXPECT_EQ(c.last.flags, kAck);
    EXPECT_EQ(c.requests.size(), 1U);
    EXPECT_EQ(c.requests[0].timestamps.empty(), port != 1000) << "asked once";
  }
  EXPECT_EQ(p.count(Reason::conn_established), 10U);
  EXPECT_EQ(p.count(Reason::server_no_timestamps), 0U);
  EXPECT_EQ(p.count(Reason::server_no_sack), 1U);
}

TEST(Learning, AServerThatLackedSomethingIsAskedAgainLater) {
  ProxyHarness p(all_auto());
  teach(p, {.timestamps = false});
  EXPECT_TRUE(connect(p, 1001, {}).requests[0].timestamps.empty());
  p.advance(ServiceTable::kAskAgainMs);
  p.to_client.clear();  // the ends are silent
  p.to_server.clear();  // the ACKs of the splices once more
  for (std::uint16_t i = 0; i < ServiceTable::kAnswersToPromise; ++i) {
    EXPECT_TRUE(syn(p, 1002).timestamps.empty());
    EXPECT_EQ(connect(p, static_cast<std::uint16_t>(1010 + i), {}).requests.size(), 3U);
  }
  EXPECT_FALSE(syn(p, 1003).timestamps.empty());
}

TEST(Learning, AServerThatLostItsTimestampsCostsOneConnection) {
  ProxyHarness p(all_auto());
  teach(p, {});
  const Outcome broken = connect(p, 1001, {.timestamps = false});
  EXPECT_TRUE(broken.last.has(kRst));
  EXPECT_TRUE(p.take_client().has(kRst));
  EXPECT_EQ(p.count(Reason::server_no_timestamps), 1U);
  const Outcome next = connect(p, 1002, {.timestamps = false});
  EXPECT_TRUE(next.syn_ack.timestamps.empty());
  EXPECT_EQ(next.last.flags, kAck);
}

TEST(Learning, HandshakesUnderWayWhenTheScaleChangesKeepTheOneTheyWereOffered) {
  ProxyHarness p(all_auto());
  const DecodedFrame before = syn(p, 1000);
  ASSERT_EQ(before.window_scale, kAssumedScale);
  (void)connect(p, 1001, {.timestamps = false, .ecn = false, .scale = 9});
  const DecodedFrame between = syn(p, 1002);
  ASSERT_EQ(between.window_scale, 9);
  (void)connect(p, 1003, {.timestamps = false, .ecn = false, .scale = 3});
  ASSERT_EQ(syn(p, 1004).window_scale, 3);
  // The ACKs come now; each connection translates with its own.
  const Server server{.timestamps = false, .ecn = false, .scale = 3};
  for (const DecodedFrame& offered : {before, between}) {
    const DecodedFrame request = ack(p, offered);
    ASSERT_EQ(request.flags & kSyn, kSyn);
    p.from_server(server.answer(request));
    ASSERT_EQ(p.take_server().flags, kAck);
    PacketBuilder b;
    b.macs(kServerMac, kClientMac).ipv4("203.0.113.10", "198.51.100.7");
    b.ports(80, offered.destination_port).seq(kServerIsn + 1).ack(kClientIsn + 1).window(0x4000);
    if (!offered.timestamps.empty()) b.timestamps(9'000'001, 5'001);
    p.from_server(b.build());
    EXPECT_EQ(p.take_client().window, (0x4000U << 3) >> *offered.window_scale);
  }
}

TEST(Learning, AnOldScaleIsForgottenWithTheLastCookieThatOfferedIt) {
  ProxyHarness p(all_auto());
  (void)connect(p, 1000, {.scale = 9});
  const DecodedFrame old = syn(p, 1001);
  (void)connect(p, 1002, {.scale = 3});
  const std::uint64_t valid = p.count(Reason::cookie_valid);
  p.advance(64'000 + 31'000);  // within one and a half epochs
  p.to_server.clear();         // the ACKs of the splices once more
  EXPECT_TRUE(ack(p, old).has(kSyn));
  EXPECT_EQ(p.count(Reason::cookie_valid), valid + 1);
}

TEST(Learning, ServicesAreKnownByAddressAndPort) {
  ProxyHarness p(all_auto());
  teach(p, {.port = 80});
  EXPECT_FALSE(syn(p, 1001, 80).timestamps.empty());
  EXPECT_TRUE(syn(p, 1001, 443).timestamps.empty());
}

// Two unlike servers behind one address take turns.
TEST(Learning, AFarmOfUnlikeServersResetsNobody) {
  for (const bool first : {false, true}) {
    ProxyHarness p(all_auto());
    for (std::uint16_t i = 0; i < 120; ++i) {
      const bool whole = (i % 2 == 0) == first;
      const Outcome c = connect(p, static_cast<std::uint16_t>(1000 + i),
                                {.timestamps = whole, .sack = whole, .ecn = whole});
      EXPECT_EQ(c.last.flags, kAck) << i;
    }
    EXPECT_EQ(p.count(Reason::conn_established), 120U);
    EXPECT_EQ(p.count(Reason::rst_to_client), 0U);
    EXPECT_EQ(p.count(Reason::server_no_timestamps), 0U);
  }
}

// A connection that the server opens, from its port 50,000 + i. `answered`: by its peer.
void open_own(ProxyHarness& p, std::uint16_t i, bool answered, std::string_view from,
              std::uint16_t vlan = 0) {
  const auto port = static_cast<std::uint16_t>(50'000 + i);
  PacketBuilder own;
  own.macs(kServerMac, kClientMac).ipv4(from, "198.51.100.9").ports(port, 53).seq(1).flags(kSyn);
  own.mss(1300).timestamps(1, 0).window_scale(5);
  if (vlan != 0) own.vlan(vlan);
  EXPECT_EQ(p.from_server(own.build()), Verdict::kForward);
  if (answered) {
    PacketBuilder peer;
    peer.ipv4("198.51.100.9", from).ports(53, port).seq(77).ack(2).flags(kSyn | kAck);
    if (vlan != 0) peer.vlan(vlan);
    EXPECT_EQ(p.from_client(peer.build()), Verdict::kForward);
  }
  p.to_client.clear();
  p.to_server.clear();
}

TEST(Learning, TheServersOwnSynTellsAboutItsHostOnceItIsAnswered) {
  ProxyHarness p(all_auto());
  for (std::uint16_t i = 0; i < 100; ++i) open_own(p, i, false, "203.0.113.10");
  EXPECT_TRUE(syn(p, 1000).timestamps.empty());
  EXPECT_EQ(syn(p, 1000).mss, 1460);
  for (std::uint16_t i = 0; i < ServiceTable::kAnswersToPromise; ++i) {
    open_own(p, static_cast<std::uint16_t>(200 + i), true, "203.0.113.10");
  }
  const DecodedFrame offered = syn(p, 1000);
  EXPECT_FALSE(offered.timestamps.empty());
  EXPECT_EQ(offered.window_scale, 5);
  EXPECT_EQ(offered.mss, 1300);
}

// A compromised host forges the sources of its SYNs, here also in the VLAN of another.
TEST(Learning, ForgedSynsOfServersPushNothingOut) {
  HarnessOptions h = all_auto();
  h.protect = {"203.0.0.0/16"};
  h.engine.shape.max_flows = 1U << 14;
  ProxyHarness p(h);
  teach(p, {});
  ASSERT_FALSE(syn(p, 1001).timestamps.empty());
  for (std::uint16_t i = 0; i < 960; ++i) {
    const std::string from = "203.0." + std::to_string(i >> 8) + '.' + std::to_string(i & 255);
    open_own(p, i, false, from);
    open_own(p, i, i % 2 == 0, from, 20);
  }
  EXPECT_FALSE(syn(p, 1002).timestamps.empty());
  EXPECT_EQ(syn(p, 1003).mss, 1400);
}

TEST(Learning, ASynAckThatOffersAnMssOfOnePoisonsNothing) {
  ProxyHarness p(all_auto());
  teach(p, {});
  (void)connect(p, 1000, {.mss = 1});
  EXPECT_EQ(syn(p, 1001).mss, 536);
  p.advance(2 * ServiceTable::kLatelyMs);
  p.to_client.clear();
  p.to_server.clear();
  (void)connect(p, 1002, {});
  EXPECT_EQ(syn(p, 1003).mss, 1400);
}

TEST(Learning, ASynAckWithMoreThanAskedThatComesTwiceIsNotSplicedWithTheWrongNumbers) {
  ProxyHarness p(all_auto());
  const DecodedFrame request = ack(p, syn(p, 1000));
  const Bytes first = Server{}.answer(request);
  p.from_server(first);
  EXPECT_TRUE(p.take_server().has(kRst));
  const DecodedFrame again = p.take_server();
  ASSERT_EQ(again.flags, kSyn);
  // The network doubled the SYN-ACK. Another RST would end the handshake of our second SYN.
  EXPECT_EQ(p.from_server(first), Verdict::kDrop);
  p.expect_quiet();
  EXPECT_EQ(p.count(Reason::conn_established), 0U);
  p.advance(200);
  const DecodedFrame third = p.take_server();
  ASSERT_EQ(third.flags, kSyn);
  p.from_server(Server{}.answer(third));
  EXPECT_EQ(p.take_server().flags, kAck);
  EXPECT_EQ(p.count(Reason::conn_established), 1U);
}

TEST(Learning, AServerThatKeepsShowingMoreIsResetAgain) {
  ProxyHarness p(all_auto());
  const DecodedFrame request = ack(p, syn(p, 1000));
  const Bytes first = Server{}.answer(request);
  p.from_server(first);
  p.advance(1'100);
  p.to_server.clear();
  EXPECT_EQ(p.from_server(first), Verdict::kReply) << "our RST was lost";
  EXPECT_TRUE(p.take_server().has(kRst));
  p.expect_quiet();
}

TEST(Learning, FlagsThatSayOnOrOffAreNotLearned) {
  HarnessOptions h = all_auto();
  h.engine.tuning.offer = {.sack = Offer::kOff,
                           .timestamps = Offer::kOn,
                           .ecn = Offer::kOff,
                           .window_scale = 4,
                           .mss = 1200};
  ProxyHarness p(h);
  for (std::uint16_t port = 1000; port < 1002; ++port) {
    const Outcome c = connect(p, port, {});
    EXPECT_FALSE(c.syn_ack.timestamps.empty());
    EXPECT_FALSE(c.syn_ack.sack_permitted);
    EXPECT_FALSE(c.syn_ack.has(kEce));
    EXPECT_EQ(c.syn_ack.window_scale, 4);
    EXPECT_EQ(c.syn_ack.mss, 1200);
    EXPECT_EQ(c.requests.size(), 1U);
    EXPECT_EQ(c.last.flags, kAck);
  }
}

}  // namespace
}  // namespace synproxy
