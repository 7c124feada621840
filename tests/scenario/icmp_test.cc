// SPDX-License-Identifier: BSD-3-Clause
// ICMP errors about spliced connections, in both directions.
#include <gtest/gtest.h>

#include "support/naive_checksum.h"
#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

struct Error {
  std::uint8_t type, code;
};
Error too_big(bool ipv6) { return ipv6 ? Error{2, 0} : Error{3, 4}; }

// An error from a router on the client's side, about a segment of the server as that side saw it.
Bytes error_to_server(const Session& c, Error e, const PacketBuilder& quoted, std::size_t limit) {
  PacketBuilder b;
  b.vlans(c.o.tags).ip(c.o.ipv6 ? "2001:db8:2::1" : "192.0.2.1", c.o.server);
  return b.icmp_error(e.type, e.code, 1280, quoted.build_packet(limit)).build();
}
Bytes error_to_client(const Session& c, Error e, const PacketBuilder& quoted, std::size_t limit) {
  PacketBuilder b;
  b.macs(kServerMac, kClientMac).vlans(c.o.tags);
  b.ip(c.o.ipv6 ? "2001:db8:3::1" : "192.0.2.33", c.o.client);
  return b.icmp_error(e.type, e.code, 1280, quoted.build_packet(limit)).build();
}

std::size_t icmp_at(const Session& c) { return 14 + 4 * c.o.tags.size() + (c.o.ipv6 ? 40U : 20U); }

// The ICMP part's checksum, by the naive implementation.
void expect_good_checksum(const Session& c, const Bytes& frame) {
  const std::size_t at = icmp_at(c);
  const std::span part = std::span(frame).subspan(at);
  NaiveSum sum;
  if (c.o.ipv6) {
    sum = naive_pseudo_header(std::span(frame).subspan(at - 32, 32), 58, part.size());
  }
  EXPECT_EQ(sum.add(part).sum(), 0xffff);
}

std::uint32_t u32(const Bytes& b, std::size_t at) {
  return std::uint32_t{b[at]} << 24 | std::uint32_t{b[at + 1]} << 16 |
         std::uint32_t{b[at + 2]} << 8 | b[at + 3];
}

// The quoted packet as a frame, for decode().
std::optional<DecodedFrame> quoted_of(const Session& c, const Bytes& frame) {
  Bytes inner(frame.begin(), frame.begin() + 12);
  inner.push_back(c.o.ipv6 ? 0x86 : 0x08);
  inner.push_back(c.o.ipv6 ? 0xdd : 0x00);
  inner.insert(inner.end(), frame.begin() + static_cast<long>(icmp_at(c) + 8), frame.end());
  return decode(inner);
}

TEST(Icmp, PathMtuErrorReachesTheServerInItsOwnNumbers) {
  for (const bool ipv6 : {false, true}) {
    for (const std::size_t tcp_bytes : {8U, 16U, 18U, 20U, 24U, 31U, 32U, 600U}) {
      SCOPED_TRACE(std::to_string(tcp_bytes) + (ipv6 ? " IPv6" : " IPv4"));
      ProxyHarness p;
      Session c(p, {.ipv6 = ipv6, .tags = {{5, 0x8100}}});
      c.open();
      const std::string data(500, 'd');
      const std::uint32_t lost_seq = c.server_nxt;
      c.server_sends(data);
      // As it travelled on the client's side.
      PacketBuilder lost;
      lost.ip(c.o.server, c.o.client).ports(80, c.o.client_port);
      lost.seq(c.seen_by_client(lost_seq)).ack(c.client_nxt).flags(kAck | kPsh);
      lost.timestamps(c.our_tsval, c.client_ts).payload(data);
      const Bytes in = error_to_server(c, too_big(ipv6), lost, (ipv6 ? 40U : 20U) + tcp_bytes);
      EXPECT_EQ(p.from_client(in), Verdict::kForward);
      const Bytes out = p.take_raw(Role::kServer);
      ASSERT_EQ(out.size(), in.size());
      const std::size_t tcp = icmp_at(c) + 8 + (ipv6 ? 40 : 20);
      EXPECT_EQ(u32(out, tcp + 4), lost_seq);
      expect_good_checksum(c, out);
      if (tcp_bytes >= 600) {
        const auto quoted = quoted_of(c, out);
        ASSERT_TRUE(quoted.has_value());
        EXPECT_TRUE(quoted->checksums_good) << "the quoted checksum follows its header";
        EXPECT_EQ(quoted->tsval(), c.server_first_ts);
        EXPECT_EQ(quoted->tsecr(), c.client_ts) << "the client's own number stays";
        EXPECT_EQ(quoted->ack, c.client_nxt);
      }
      EXPECT_EQ(p.count(Reason::icmp_translated), 1U);
    }
  }
}

TEST(Icmp, QuotedExtensionHeadersAreWalked) {
  for (const bool from_client : {true, false}) {
    ProxyHarness p;
    Session c(p, {.ipv6 = true});
    c.open();
    const std::string data(500, 'e');
    const std::uint32_t seq = from_client ? c.server_nxt : c.client_nxt;
    from_client ? c.server_sends(data) : c.client_sends(data);
    PacketBuilder lost;
    if (from_client) {
      lost.ip(c.o.server, c.o.client).ports(80, c.o.client_port).seq(c.seen_by_client(seq));
    } else {
      lost.ip(c.o.client, c.o.server).ports(c.o.client_port, 80).seq(seq).ack(c.server_nxt);
    }
    lost.flags(kAck).extension(0).extension(60, Bytes(22)).payload(data);
    const Bytes in = from_client ? error_to_server(c, too_big(true), lost, 600)
                                 : error_to_client(c, too_big(true), lost, 600);
    EXPECT_EQ(p.feed(from_client ? Role::kClient : Role::kServer, in), Verdict::kForward);
    const Bytes out = p.take_raw(from_client ? Role::kServer : Role::kClient);
    const auto quoted = quoted_of(c, out);
    ASSERT_TRUE(quoted.has_value());
    EXPECT_EQ(quoted->seq, seq);
    EXPECT_TRUE(quoted->checksums_good);
    if (!from_client) {
      EXPECT_EQ(quoted->ack, c.seen_by_client(c.server_nxt));
    }
    expect_good_checksum(c, out);
    EXPECT_EQ(p.count(Reason::icmp_translated), 1U);
  }
}

TEST(Icmp, ErrorAboutTheClientsSegmentReachesTheClientInItsOwnNumbers) {
  for (const bool ipv6 : {false, true}) {
    for (const std::size_t tcp_bytes : {8U, 12U, 20U, 32U, 600U}) {
      SCOPED_TRACE(std::to_string(tcp_bytes) + (ipv6 ? " IPv6" : " IPv4"));
      ProxyHarness p;
      Session c(p, {.ipv6 = ipv6});
      c.open();
      const std::string data(500, 'u');
      const std::uint32_t lost_seq = c.client_nxt;
      const DecodedFrame at_server = c.client_sends(data);
      PacketBuilder lost;
      lost.ip(c.o.client, c.o.server).ports(c.o.client_port, 80);
      lost.seq(lost_seq).ack(c.server_nxt).flags(kAck | kPsh);
      lost.timestamps(c.client_ts, at_server.tsecr()).payload(data);
      const Bytes in = error_to_client(c, too_big(ipv6), lost, (ipv6 ? 40U : 20U) + tcp_bytes);
      EXPECT_EQ(p.from_server(in), Verdict::kForward);
      const Bytes out = p.take_raw(Role::kClient);
      const std::size_t tcp = icmp_at(c) + 8 + (ipv6 ? 40 : 20);
      EXPECT_EQ(u32(out, tcp + 4), lost_seq);
      if (tcp_bytes >= 12) {
        EXPECT_EQ(u32(out, tcp + 8), c.seen_by_client(c.server_nxt));
      }
      expect_good_checksum(c, out);
      if (tcp_bytes >= 600) {
        const auto quoted = quoted_of(c, out);
        ASSERT_TRUE(quoted.has_value());
        EXPECT_TRUE(quoted->checksums_good);
        EXPECT_EQ(quoted->tsecr(), c.our_tsval);
        EXPECT_EQ(quoted->tsval(), c.client_ts);
      }
    }
  }
}

struct OutstandingRow {
  const char* sentence;
  std::int64_t offset;  // from the next sequence number
  bool passes;
};

TEST(Icmp, QuotedNumberMustBeOutstanding) {
  const OutstandingRow rows[] = {{"the last segment", -500, true},
                                 {"far ahead of what was sent", 0x100000, false},
                                 {"just ahead of what was sent", 1, false},
                                 {"long acknowledged", -0x20000000LL, false},
                                 {"half way round", 0x80000000LL, false}};
  for (const bool from_client : {true, false}) {
    for (const OutstandingRow& row : rows) {
      SCOPED_TRACE(row.sentence);
      ProxyHarness p;
      Session c(p);
      c.open();
      c.client_sends(std::string(500, 'x'));
      c.server_sends(std::string(500, 'x'));
      const auto offset = static_cast<std::uint32_t>(row.offset);
      PacketBuilder lost;
      Bytes frame;
      if (from_client) {
        lost.ip(c.o.server, c.o.client).ports(80, c.o.client_port).flags(kAck);
        lost.seq(c.seen_by_client(c.server_nxt) + offset);
        frame = error_to_server(c, too_big(false), lost, 28);
      } else {
        lost.ip(c.o.client, c.o.server).ports(c.o.client_port, 80).flags(kAck);
        lost.seq(c.client_nxt + offset);
        frame = error_to_client(c, too_big(false), lost, 28);
      }
      const Verdict v = from_client ? p.from_client(frame) : p.from_server(frame);
      EXPECT_EQ(v, row.passes ? Verdict::kForward : Verdict::kDrop);
      EXPECT_EQ(p.count(Reason::icmp_invalid), row.passes ? 0U : 1U);
      EXPECT_EQ(p.flows(), 1U);
      EXPECT_EQ(p.counters().flows_established.get(), 1U) << "an ICMP error ends nothing";
    }
  }
}

TEST(Icmp, WithoutAFlowIsDropped) {
  ProxyHarness p;
  Session c(p);
  PacketBuilder lost;
  lost.ip(c.o.server, c.o.client).ports(80, 40000).flags(kAck).seq(5);
  EXPECT_EQ(p.from_client(error_to_server(c, too_big(false), lost, 28)), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::icmp_invalid), 1U);
}

TEST(Icmp, AboutWhatIsNotProtectedPassesUntouched) {
  ProxyHarness p;
  Session c(p);
  PacketBuilder lost;
  lost.ip(c.o.server, c.o.client).ports(81, 40000).flags(kAck).seq(5);
  const Bytes frame = error_to_server(c, too_big(false), lost, 28);
  EXPECT_EQ(p.from_client(frame), Verdict::kForward);
  EXPECT_EQ(p.take_raw(Role::kServer), frame);
}

TEST(Icmp, UnreachableForGoodInHandshakeIsARefusal) {
  for (const auto& [ipv6, error] : std::vector<std::pair<bool, Error>>{{false, {3, 2}},
                                                                       {false, {3, 3}},
                                                                       {false, {3, 6}},
                                                                       {false, {3, 7}},
                                                                       {false, {3, 8}},
                                                                       {false, {3, 9}},
                                                                       {false, {3, 10}},
                                                                       {false, {3, 13}},
                                                                       {true, {1, 1}},
                                                                       {true, {1, 4}},
                                                                       {true, {1, 5}},
                                                                       {true, {1, 6}}}) {
    SCOPED_TRACE(int{error.code});
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6});
    c.syn();
    const DecodedFrame syn = c.ack();
    PacketBuilder quoted;
    quoted.ip(c.o.client, c.o.server).ports(c.o.client_port, 80).seq(syn.seq).flags(kSyn);
    EXPECT_EQ(p.from_server(error_to_client(c, error, quoted, 60)), Verdict::kDrop);
    EXPECT_EQ(p.count(Reason::conn_refused), 1U);
    const DecodedFrame rst = p.take_client();
    EXPECT_TRUE(rst.has(kRst));
    EXPECT_EQ(rst.seq, c.cookie + 1);
    p.expect_quiet();
  }
}

// RFC 1122 section 4.2.3.9, RFC 5461: a soft error kills nothing, but the wait is short.
TEST(Icmp, SoftErrorThatAnswersOurSynEndsTheWaitEarly) {
  for (const auto& [ipv6, error] : std::vector<std::pair<bool, Error>>{{false, {3, 0}},
                                                                       {false, {3, 1}},
                                                                       {false, {3, 5}},
                                                                       {false, {3, 11}},
                                                                       {false, {3, 12}},
                                                                       {false, {11, 0}},
                                                                       {false, {11, 1}},
                                                                       {false, {12, 0}},
                                                                       {true, {1, 0}},
                                                                       {true, {1, 2}},
                                                                       {true, {1, 3}},
                                                                       {true, {3, 0}},
                                                                       {true, {4, 0}},
                                                                       {true, {4, 1}}}) {
    for (const bool answers : {false, true}) {
      SCOPED_TRACE(std::to_string(error.type) + '/' + std::to_string(error.code));
      ProxyHarness p;
      Session c(p, {.ipv6 = ipv6});
      c.syn();
      const DecodedFrame syn = c.ack();
      PacketBuilder quoted;
      quoted.ip(c.o.client, c.o.server).ports(c.o.client_port, 80).seq(syn.seq).flags(kSyn);
      EXPECT_EQ(p.from_server(error_to_client(c, error, quoted, 60)), Verdict::kDrop);
      p.advance(2'900);
      EXPECT_TRUE(p.to_client.empty()) << "not at once";
      EXPECT_EQ(p.to_server.size(), 4U) << "our SYN is repeated as ever";
      p.to_server.clear();
      if (answers) {
        c.syn_ack();
        c.client_sends("it was only for a moment");
        continue;
      }
      p.advance(1'200);
      EXPECT_TRUE(p.take_client().has(kRst));
      EXPECT_EQ(p.count(Reason::conn_timed_out), 1U);
    }
  }
}

TEST(Icmp, PathMtuAndSourceQuenchSayNothingAboutTheServer) {
  for (const auto& [ipv6, error] :
       std::vector<std::pair<bool, Error>>{{false, {3, 4}}, {false, {4, 0}}, {true, {2, 0}}}) {
    ProxyHarness p;
    Session c(p, {.ipv6 = ipv6});
    c.syn();
    const DecodedFrame syn = c.ack();
    PacketBuilder quoted;
    quoted.ip(c.o.client, c.o.server).ports(c.o.client_port, 80).seq(syn.seq).flags(kSyn);
    EXPECT_EQ(p.from_server(error_to_client(c, error, quoted, 60)), Verdict::kDrop);
    p.advance(9'000);
    EXPECT_TRUE(p.to_client.empty());
    p.to_server.clear();
    c.syn_ack();
  }
}

TEST(Icmp, ForgedOrOtherErrorsInHandshakeEndNothing) {
  ProxyHarness p;
  Session c(p);
  c.syn();
  const DecodedFrame syn = c.ack();
  PacketBuilder quoted;
  quoted.ip(c.o.client, c.o.server).ports(c.o.client_port, 80).flags(kSyn);
  // A wrong sequence number, a corrupt checksum, an error that says less than "port unreachable".
  EXPECT_EQ(p.from_server(error_to_client(c, {3, 3}, PacketBuilder(quoted).seq(syn.seq + 1), 60)),
            Verdict::kDrop);
  PacketBuilder corrupt;
  corrupt.ip("192.0.2.33", c.o.client)
      .icmp_error(3, 3, 0, PacketBuilder(quoted).seq(syn.seq).build_packet(28))
      .break_l4_checksum();
  EXPECT_EQ(p.from_server(corrupt.build()), Verdict::kDrop);
  EXPECT_EQ(p.from_server(error_to_client(c, {3, 1}, PacketBuilder(quoted).seq(syn.seq), 60)),
            Verdict::kDrop);
  // Nobody on the client's side can know our SYN.
  PacketBuilder mirrored;
  mirrored.ip(c.o.server, c.o.client).ports(80, c.o.client_port).seq(c.cookie).flags(kSyn | kAck);
  EXPECT_EQ(p.from_client(error_to_server(c, {3, 3}, mirrored, 60)), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::conn_refused), 0U);
  p.expect_quiet();
  c.syn_ack();
}

}  // namespace
}  // namespace synproxy
