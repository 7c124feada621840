// SPDX-License-Identifier: BSD-3-Clause
// --fragments reassemble: TCP in fragments is served like any other.
#include <gtest/gtest.h>

#include "support/fragments.h"
#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

HarnessOptions reassembling() {
  HarnessOptions h;
  h.engine.tuning.fragments = Fragments::kReassemble;
  return h;
}

std::string text(std::size_t size) {
  std::string s(size, ' ');
  for (std::size_t i = 0; i < size; ++i) s[i] = static_cast<char>('a' + i * 7 % 26 + i / 1000);
  return s;
}

Bytes without_df(PacketBuilder b, bool ipv6) {
  if (!ipv6) b.fragment(0).ip_id(77);
  return b.build();
}

std::vector<Bytes> all(std::deque<Bytes>& queue) {
  std::vector<Bytes> out(queue.begin(), queue.end());
  queue.clear();
  return out;
}

// What left in fragments, put together and taken apart.
DecodedFrame joined(std::deque<Bytes>& queue, std::size_t pieces) {
  const std::vector<Bytes> fragments = all(queue);
  EXPECT_EQ(fragments.size(), pieces);
  const auto whole = fragments.size() == 1 ? fragments[0] : join(fragments).value_or(Bytes{});
  const auto f = decode(whole);
  EXPECT_TRUE(f.has_value());
  if (!f) return {};
  EXPECT_TRUE(f->checksums_good);
  return *f;
}

struct Row {
  bool ipv6;
  bool timestamps;
  std::vector<VlanTag> tags;
};

std::vector<Row> rows() {
  return {{false, true, {}}, {true, true, {}}, {false, false, {{100}}}, {true, false, {{7}, {8}}}};
}

SessionOptions options(const Row& row) {
  SessionOptions o;
  o.ipv6 = row.ipv6;
  o.timestamps = row.timestamps;
  o.tags = row.tags;
  return o;
}

TEST(Fragments, OfBothSidesAreTranslatedAndLeaveAsTheyCame) {
  for (const Row& row : rows()) {
    ProxyHarness p(reassembling());
    p.checksums_must_be_good = false;  // fragments have no checksum to look at
    Session c(p, options(row));
    c.open();
    const std::string data = text(1400);
    for (int n = 0; n < 3; ++n) {
      const Bytes up = without_df(c.client(kAck | kPsh).payload(data), row.ipv6);
      const auto fragments = cut(up, 1232);
      ASSERT_EQ(fragments.size(), 2U);
      // In order, then the other way round, then in one burst.
      if (n == 2) {
        p.feed_burst(Role::kClient, fragments);
      } else {
        EXPECT_EQ(p.from_client(fragments[n == 0 ? 0 : 1]), Verdict::kDrop);
        EXPECT_TRUE(p.to_server.empty());
        EXPECT_EQ(p.from_client(fragments[n == 0 ? 1 : 0]), Verdict::kDrop);
      }
      for (const Bytes& f : p.to_server) EXPECT_LE(f.size(), fragments[0].size());
      const DecodedFrame got = joined(p.to_server, 2);
      EXPECT_EQ(got.text(), data);
      EXPECT_EQ(got.seq, c.client_nxt);
      EXPECT_EQ(got.ack, c.server_nxt);
      EXPECT_EQ(got.tags, row.tags);
      EXPECT_EQ(got.timestamps.size(), row.timestamps ? 1U : 0U);
      c.client_nxt += static_cast<std::uint32_t>(data.size());

      const Bytes down = without_df(c.server(kAck | kPsh).payload(data), row.ipv6);
      for (const Bytes& f : cut(down, 800)) EXPECT_EQ(p.from_server(f), Verdict::kDrop);
      const DecodedFrame seen = joined(p.to_client, 2);
      EXPECT_EQ(seen.text(), data);
      EXPECT_EQ(seen.seq, c.seen_by_client(c.server_nxt));
      EXPECT_EQ(seen.ack, c.client_nxt);
      c.server_nxt += static_cast<std::uint32_t>(data.size());
    }
    EXPECT_EQ(p.count(Reason::fragment_held), 12U);
    EXPECT_EQ(p.count(Reason::fragments_joined), 6U);
    EXPECT_EQ(p.count(Reason::translated), 6U);
    EXPECT_EQ(p.count(Reason::fragments_lost), 0U);
    c.close();
  }
}

// A client that sends the whole connection in fragments, as behind a link with an MTU of 68.
TEST(Fragments, AWholeConnectionInFragmentsIsServed) {
  for (const bool ipv6 : {false, true}) {
    HarnessOptions h = reassembling();
    ProxyHarness p(h);
    p.checksums_must_be_good = false;
    Session c(p, {.ipv6 = ipv6});
    for (const Bytes& f : cut(c.syn_frame(), 24, 1)) EXPECT_EQ(p.from_client(f), Verdict::kDrop);
    const DecodedFrame syn_ack = p.take_client();
    EXPECT_EQ(syn_ack.flags, kSyn | kAck);
    EXPECT_TRUE(syn_ack.checksums_good);
    c.cookie = syn_ack.seq;
    c.our_tsval = syn_ack.tsval();
    c.client_nxt = c.o.client_isn + 1;
    // The first request comes with the ACK, in three fragments.
    const Bytes early =
        without_df(PacketBuilder(c.client(kAck | kPsh)).ack(c.cookie + 1).payload(text(60)), ipv6);
    for (const Bytes& f : cut(early, 48, 2)) EXPECT_EQ(p.from_client(f), Verdict::kDrop);
    EXPECT_EQ(p.count(Reason::early_held) + p.count(Reason::consumed), 1U);
    EXPECT_EQ(p.take_server().flags & kSyn, kSyn);
    EXPECT_EQ(p.flows(), 1U);
  }
}

// They go to ports of the same address that nothing is said about.
TEST(Fragments, OfUnprotectedPortsPassAsTheyCame) {
  ProxyHarness p(reassembling());
  p.checksums_must_be_good = false;
  const Bytes frame = PacketBuilder()
                          .ipv4("198.51.100.7", "203.0.113.10")
                          .ports(1, 9999)
                          .flags(kAck)
                          .fragment(0)
                          .ip_id(77)
                          .payload(text(1400))
                          .build();
  const auto fragments = cut(frame, 1232);
  for (const Bytes& f : fragments) EXPECT_EQ(p.from_client(f), Verdict::kDrop);
  EXPECT_EQ(all(p.to_server), fragments);
  EXPECT_EQ(p.count(Reason::forwarded), 1U);

  // Those of other addresses and of other protocols are not even held.
  const std::vector<Bytes> others{
      PacketBuilder().ipv4("198.51.100.7", "203.0.113.11").fragment(0x2000).payload("x").build(),
      PacketBuilder().ipv4("198.51.100.7", "203.0.113.10").fragment(0x2000).protocol(17).build(),
      PacketBuilder().ipv6("2001:db8:1::7", "2001:db8::11").fragment(1).build(),
  };
  for (const Bytes& f : others) {
    EXPECT_EQ(p.from_client(f), Verdict::kForward);
    EXPECT_EQ(p.take_raw(Role::kServer), f);
  }
}

// What is whole meets the same rules as any segment.
TEST(Fragments, HideNothing) {
  ProxyHarness p(reassembling());
  Session c(p);
  c.open();
  struct Hidden {
    Bytes frame;
    Reason fate;
  };
  const std::vector<Hidden> hidden{
      {c.client(kSyn | kFin).payload(text(100)).build(), Reason::syn_fin},
      {c.client(0x3f).payload(text(100)).build(), Reason::xmas_flags},
      {PacketBuilder(c.client(kAck)).ports(41000, 80).payload(text(100)).build(),
       Reason::cookie_invalid},
      {c.client(kAck).protocol(kProtocolTcp).raw_l4(Bytes(64, 0)).build(), Reason::bad_tcp_header},
  };
  std::uint32_t id = 100;
  for (const Hidden& row : hidden) {
    for (const Bytes& f : cut(row.frame, 32, ++id)) EXPECT_EQ(p.from_client(f), Verdict::kDrop);
    EXPECT_EQ(p.count(row.fate), 1U) << info(row.fate).name;
    p.expect_quiet();
  }
  // A fragment header inside a fragment.
  const Bytes inner = PacketBuilder()
                          .ipv6("2001:db8:1::7", "2001:db8::10")
                          .fragment(0)
                          .flags(kSyn)
                          .payload(text(100))
                          .build();
  for (const Bytes& f : cut(inner, 64)) EXPECT_EQ(p.from_client(f), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::fragment_bad), 1U);
  p.expect_quiet();
}

// RFC 6946.
TEST(Fragments, AtomicFragmentIsServedAsAWholePacket) {
  ProxyHarness p(reassembling());
  Session c(p, {.ipv6 = true});
  c.open();
  EXPECT_EQ(p.from_client(c.client().fragment(0).payload("atomic").build()), Verdict::kDrop);
  const DecodedFrame got = p.take_server();
  EXPECT_EQ(got.text(), "atomic");
  EXPECT_EQ(got.ip_header, 40U);
}

TEST(Fragments, OverlapReachesNobody) {
  ProxyHarness p(reassembling());
  Session c(p);
  c.open();
  const Bytes good = c.client().payload(text(200)).build();
  Bytes evil = good;
  evil[good.size() - 50] ^= 0x20;
  EXPECT_EQ(p.from_client(piece(good, 0, 120, true)), Verdict::kDrop);
  EXPECT_EQ(p.from_client(piece(evil, 112, 232, false)), Verdict::kDrop);
  EXPECT_EQ(p.from_client(piece(good, 120, 232, false)), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::fragment_overlap), 2U);
  EXPECT_EQ(p.count(Reason::fragments_lost), 1U);
  p.expect_quiet();
  c.client_sends("the connection goes on");
}

TEST(FragmentsMonitored, WhatWouldBeDroppedPassesAndIsCounted) {
  HarnessOptions h;
  h.engine.tuning.limits.monitored = kMonitorFragments;
  h.engine.tuning.fragments = Fragments::kDrop;
  ProxyHarness p(h);
  Session s(p, {});
  s.open();
  const std::vector<Bytes> tiny = cut(s.client(kAck | kPsh).payload(text(64)).build(), 16);
  ASSERT_GT(tiny.size(), 2U);
  for (const Bytes& f : tiny) {
    EXPECT_EQ(p.from_client(f), Verdict::kForward);
    EXPECT_EQ(p.take_raw(Role::kServer), f);
  }
  EXPECT_EQ(p.count(Reason::fragments_monitored), tiny.size());
  // Put together, those that are too small are like others.
  h.engine.tuning.fragments = Fragments::kReassemble;
  p.retune(h.engine.tuning);
  for (const Bytes& f : tiny) p.from_client(f);
  EXPECT_EQ(p.take_server().text(), text(64)) << "whole: no link is so narrow";
  EXPECT_EQ(p.count(Reason::fragment_tiny), 0U);
  EXPECT_EQ(p.count(Reason::fragments_monitored), 2 * tiny.size() - 1) << "all but the last";
}

}  // namespace
}  // namespace synproxy
