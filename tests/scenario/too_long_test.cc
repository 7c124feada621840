// SPDX-License-Identifier: BSD-3-Clause
// A client was promised a larger MSS than its server turns out to have: nothing hangs.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "support/naive_checksum.h"
#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

constexpr std::uint16_t kServerMss = 1000;

HarnessOptions learning() {
  HarnessOptions h;
  h.engine.tuning.offer.mss = 0;
  return h;
}

std::size_t ip_at(const Session& c) { return 14 + 4 * c.o.tags.size(); }
std::size_t headers(const Session& c) { return c.o.ipv6 ? 60 : 40; }

std::uint32_t u32(const Bytes& b, std::size_t at) {
  return std::uint32_t{b[at]} << 24 | std::uint32_t{b[at + 1]} << 16 |
         std::uint32_t{b[at + 2]} << 8 | b[at + 3];
}

std::string upload(std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += static_cast<char>('a' + i * 7 % 26);
  return text;
}

// Takes what arrives at the server: whole, in order, each part no longer than an MSS allows.
std::string arrived(ProxyHarness& p, const Session& c, std::uint32_t seq, std::uint16_t mss) {
  std::string text;
  while (!p.to_server.empty()) {
    const DecodedFrame f = p.take_server();
    EXPECT_EQ(f.seq, seq + text.size());
    EXPECT_EQ(f.ack, c.server_nxt);
    EXPECT_LE(f.payload.size() + f.options.size(), mss);
    EXPECT_EQ(f.tags, c.o.tags);
    text += f.text();
  }
  return text;
}

// The error that the client gets about a segment that it sent.
void expect_told(ProxyHarness& p, const Session& c, const Bytes& sent, std::uint32_t mtu) {
  const Bytes f = p.take_raw(Role::kClient);
  const std::size_t ip = ip_at(c);
  const std::size_t icmp = ip + (c.o.ipv6 ? 40 : 20);
  ASSERT_GT(f.size(), icmp + 8);
  EXPECT_TRUE(std::equal(f.begin(), f.begin() + 6, sent.begin() + 6));
  EXPECT_TRUE(std::equal(f.begin() + 6, f.begin() + 12, sent.begin()));
  EXPECT_TRUE(std::equal(f.begin() + 12, f.begin() + static_cast<long>(ip), sent.begin() + 12));
  const std::size_t from = ip + (c.o.ipv6 ? 8 : 12);
  const std::size_t size = c.o.ipv6 ? 16 : 4;
  const auto at = [&](const Bytes& b, std::size_t i) { return b.begin() + static_cast<long>(i); };
  EXPECT_TRUE(std::equal(at(f, from), at(f, from + size), at(sent, from + size)));
  EXPECT_TRUE(std::equal(at(f, from + size), at(f, from + 2 * size), at(sent, from)));
  EXPECT_EQ(f[icmp], c.o.ipv6 ? 2 : 3);
  EXPECT_EQ(f[icmp + 1], c.o.ipv6 ? 0 : 4);
  EXPECT_EQ(u32(f, icmp + 4), mtu);
  // Quoted as it was sent, in the client's own numbers, as far as a small packet takes it.
  EXPECT_LE(f.size() - ip, c.o.ipv6 ? 1280U : 576U);
  EXPECT_GE(f.size() - icmp, 500U);
  EXPECT_TRUE(std::equal(at(f, icmp + 8), f.end(), at(sent, ip)));
  NaiveSum sum;
  const std::span part = std::span(f).subspan(icmp);
  if (c.o.ipv6) {
    sum = naive_pseudo_header(std::span(f).subspan(icmp - 32, 32), 58, part.size());
  } else {
    NaiveSum header;
    EXPECT_EQ(header.add(std::span(f).subspan(ip, 20)).sum(), 0xffff);
  }
  EXPECT_EQ(sum.add(part).sum(), 0xffff);
}

TEST(TooLong, TheFirstUploadArrivesAndTheClientIsTold) {
  for (const bool ipv6 : {false, true}) {
    for (const bool timestamps : {false, true}) {
      for (const std::size_t tags : {0U, 1U, 2U}) {
        SCOPED_TRACE(std::to_string(tags) + (ipv6 ? " IPv6" : " IPv4") + (timestamps ? " ts" : ""));
        ProxyHarness p(learning());
        std::vector<VlanTag> stack(tags, VlanTag{5});
        const auto server_mss = static_cast<std::uint16_t>(ipv6 ? 1300 : kServerMss);
        Session c(
            p, {.ipv6 = ipv6, .tags = stack, .timestamps = timestamps, .server_mss = server_mss});
        c.open();
        const std::string text = upload(1440);
        const Bytes sent = c.client(kAck | kPsh).payload(text).build();
        EXPECT_EQ(p.from_client(sent), Verdict::kForward);
        EXPECT_EQ(arrived(p, c, c.client_nxt, server_mss), text);
        expect_told(p, c, sent, server_mss + static_cast<std::uint32_t>(headers(c)));
        // The client hears, and sends again what was cut, and the rest.
        EXPECT_EQ(p.from_client(c.client().payload(text.substr(0, 900)).build()),
                  Verdict::kForward);
        EXPECT_EQ(arrived(p, c, c.client_nxt, server_mss), text.substr(0, 900));
        p.expect_quiet();
        EXPECT_EQ(p.count(Reason::segment_cut), 1U);
        EXPECT_EQ(p.count(Reason::piece_to_server), 1U);
        EXPECT_EQ(p.count(Reason::icmp_too_long), 1U);
      }
    }
  }
}

TEST(TooLong, HeldDataIsCutWhenItIsReleased) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness p(learning());
    Session c(p, {.ipv6 = ipv6, .server_mss = 536});
    c.syn();
    c.ack();
    std::string text;
    std::vector<Bytes> sent;
    for (int i = 0; i < 4; ++i) {
      const std::string part = upload(static_cast<std::size_t>(1400 + i));
      PacketBuilder b;
      b.ip(c.o.client, c.o.server)
          .ports(c.o.client_port, 80)
          .flags(kAck)
          .timestamps(5'000, c.our_tsval);
      b.seq(c.client_nxt + static_cast<std::uint32_t>(text.size())).ack(c.cookie + 1).payload(part);
      sent.push_back(b.build());
      EXPECT_EQ(p.from_client(sent.back()), Verdict::kDrop);
      text += part;
    }
    EXPECT_EQ(p.from_server(c.syn_ack_frame()), Verdict::kReply);
    EXPECT_EQ(p.take_server().flags, kAck);
    EXPECT_EQ(arrived(p, c, c.client_nxt, 536), text);
    expect_told(p, c, sent.front(),
                std::max<std::uint32_t>(ipv6 ? 1280 : 0, 536U + (ipv6 ? 60 : 40)));
    p.expect_quiet();
  }
}

TEST(TooLong, TheFirstAnswerTeaches) {
  ProxyHarness p(learning());
  Session first(p, {.server_mss = kServerMss});
  EXPECT_EQ(first.syn().mss, 1460);
  first.ack();
  first.syn_ack();
  Session next(p, {.client_port = 40001, .server_mss = kServerMss});
  EXPECT_EQ(next.syn().mss, kServerMss);
}

// A cookie may be older than what was learned; it carried the larger promise.
TEST(TooLong, WhoWasPromisedMoreBeforeIsCutToo) {
  ProxyHarness p(learning());
  Session early(p, {.client_port = 40001, .server_mss = kServerMss});
  early.syn();
  Session first(p, {.server_mss = kServerMss});
  first.open();
  early.ack();
  early.syn_ack();
  const std::string text = upload(1448);
  p.from_client(early.client().payload(text).build());
  EXPECT_EQ(arrived(p, early, early.client_nxt, kServerMss), text);
  p.to_client.clear();
}

TEST(TooLong, EachClientIsToldOnceASecond) {
  ProxyHarness p(learning());
  Session c(p, {.server_mss = kServerMss});
  c.open();
  for (int i = 0; i < 50; ++i) {
    p.from_client(c.client().payload(upload(1448)).build());
    p.to_server.clear();
    p.advance(100);
  }
  EXPECT_EQ(p.count(Reason::icmp_too_long), 5U);
  EXPECT_EQ(p.count(Reason::segment_cut), 50U);
  p.to_client.clear();
}

TEST(TooLong, AClientThatAllowsFragmentsIsCutWithoutAWord) {
  ProxyHarness p(learning());
  Session c(p, {.server_mss = kServerMss});
  c.open();
  const std::string text = upload(1448);
  p.from_client(c.client().fragment(0).payload(text).build());
  EXPECT_EQ(arrived(p, c, c.client_nxt, kServerMss), text);
  p.expect_quiet();
}

// A tiny stack. Nobody is promised less than 536, so every long segment is cut.
TEST(TooLong, AServerThatTakesLittleIsServed) {
  ProxyHarness p(learning());
  for (std::uint16_t port = 40'000; port < 40'003; ++port) {
    Session c(p, {.client_port = port, .server_mss = 100});
    EXPECT_EQ(c.syn().mss, port == 40'000 ? 1460 : 536);
    c.ack();
    c.syn_ack();
    const std::string text = upload(500);
    const Bytes sent = c.client().payload(text).build();
    p.from_client(sent);
    EXPECT_EQ(arrived(p, c, c.client_nxt, 100), text);
    expect_told(p, c, sent, 140);
  }
}

TEST(TooLong, FlagsGoToTheRightPiece) {
  ProxyHarness p(learning());
  Session c(p, {.server_mss = 500});
  c.open();
  const auto flags = static_cast<std::uint16_t>(kAck | kPsh | kFin | kUrg | kCwr | kEce);
  p.from_client(c.client(flags).urgent(700).payload(upload(1200)).build());
  p.to_client.clear();
  // 488 bytes each, beside the timestamps.
  const DecodedFrame one = p.take_server();
  EXPECT_EQ(one.flags, kAck | kUrg | kCwr | kEce);
  EXPECT_EQ(one.urgent, 700);
  const DecodedFrame two = p.take_server();
  EXPECT_EQ(two.flags, kAck | kUrg | kEce);
  EXPECT_EQ(two.urgent, 700 - 488);
  const DecodedFrame three = p.take_server();
  EXPECT_EQ(three.flags, kAck | kEce | kPsh | kFin);
  EXPECT_EQ(three.urgent, 0);
  EXPECT_EQ(three.payload.size(), 1200U - 2 * 488U);
  p.expect_quiet();
}

TEST(TooLong, DamageIsNotCuredByCutting) {
  ProxyHarness p(learning());
  Session c(p, {.server_mss = kServerMss});
  c.open();
  Bytes sent = c.client().payload(upload(1448)).build();
  sent.back() ^= 1;
  EXPECT_EQ(p.from_client(sent), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::bad_checksum), 1U);
  p.expect_quiet();
}

TEST(TooLong, TheNextConnectionOfTheRecordIsNotTakenForIt) {
  HarnessOptions h = learning();
  h.engine.shape.max_flows = 1;
  ProxyHarness p(h);
  Session first(p, {.server_mss = kServerMss});
  first.open();
  first.close();
  p.advance(61'000);
  ASSERT_EQ(p.flows(), 0U);
  Session next(p, {.client_port = 40001, .server_mss = 1460});
  next.open();
  EXPECT_EQ(next.client_sends(upload(1448)).payload.size(), 1448U);
  p.expect_quiet();
}

// Whoever was promised no more than the server takes is left alone.
TEST(TooLong, AKeptPromiseCostsNothing) {
  HarnessOptions h;
  h.engine.tuning.offer.mss = kServerMss;
  ProxyHarness p(h);
  Session c(p, {.server_mss = kServerMss});
  c.open();
  EXPECT_EQ(c.client_sends(upload(1448)).payload.size(), 1448U);
  p.expect_quiet();
}

TEST(TooLong, AnEarlierFlagBindsWhileItsCookiesLive) {
  HarnessOptions h;
  h.engine.tuning.offer.mss = 1460;
  ProxyHarness p(h);
  Session c(p, {.server_mss = kServerMss});
  c.syn();
  EngineTuning lower = h.engine.tuning;
  lower.offer.mss = kServerMss;
  p.retune(lower);
  c.ack();
  c.syn_ack();
  const std::string text = upload(1448);
  p.from_client(c.client().payload(text).build());
  EXPECT_EQ(arrived(p, c, c.client_nxt, kServerMss), text);
  p.to_client.clear();
}

}  // namespace
}  // namespace synproxy
