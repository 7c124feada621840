// SPDX-License-Identifier: BSD-3-Clause
#include "support/session.h"

#include <gtest/gtest.h>

namespace synproxy::test {

Session::Session(ProxyHarness& p, SessionOptions options)
    : proxy(p),
      o(std::move(options)),
      server_first_ts(o.server_ts),
      client_nxt(o.client_isn + 1),
      server_nxt(o.server_isn + 1),
      client_ts(o.client_ts),
      server_ts(o.server_ts) {
  if (o.client.empty()) o.client = o.ipv6 ? "2001:db8:1::7" : "198.51.100.7";
  if (o.server.empty()) o.server = o.ipv6 ? "2001:db8::10" : "203.0.113.10";
}

namespace {
PacketBuilder on(const SidePath& path) {
  PacketBuilder b;
  b.macs(path.source, path.destination).ttl(path.ttl);
  b.traffic_class(path.traffic_class).flow_label(path.flow_label);
  return b;
}
}  // namespace

PacketBuilder Session::from_client() const {
  PacketBuilder b = on(o.client_path);
  b.vlans(o.tags).ip(o.client, o.server).ports(o.client_port, o.server_port);
  return b;
}
PacketBuilder Session::from_server() const {
  PacketBuilder b = on(o.server_path);
  b.vlans(o.server_tags.value_or(o.tags));
  b.ip(o.server, o.client).ports(o.server_port, o.client_port);
  return b;
}

PacketBuilder Session::client(std::uint16_t flags) const {
  PacketBuilder b = from_client();
  b.seq(client_nxt).ack(seen_by_client(server_nxt)).flags(flags).window(o.client_window);
  if (o.timestamps) b.timestamps(client_ts, server_ts - ts_delta());
  return b;
}

PacketBuilder Session::server(std::uint16_t flags) const {
  PacketBuilder b = from_server();
  b.seq(server_nxt).ack(client_nxt).flags(flags).window(o.server_window);
  if (o.timestamps && o.server_timestamps) b.timestamps(server_ts, client_ts);
  return b;
}

Bytes Session::syn_frame(std::string_view data) const {
  PacketBuilder b = from_client();
  b.seq(o.client_isn);
  b.flags(static_cast<std::uint16_t>(kSyn | (o.ecn ? kEce | kCwr : 0))).window(o.client_window);
  if (o.mss != 0) b.mss(o.mss);
  if (o.sack) b.sack_permitted();
  if (o.timestamps) b.timestamps(o.client_ts, 0);
  if (o.client_scale) b.window_scale(*o.client_scale);
  return b.payload(data).build();
}

Bytes Session::ack_frame() const {
  PacketBuilder b = from_client();
  b.seq(o.client_isn + 1).ack(cookie + 1).window(o.client_window);
  if (o.timestamps) b.timestamps(client_ts, our_tsval);
  return b.build();
}

Bytes Session::syn_ack_frame() const {
  PacketBuilder b = from_server();
  b.seq(o.server_isn).ack(o.client_isn + 1).window(o.server_window);
  b.flags(static_cast<std::uint16_t>(kSyn | kAck | (o.ecn && o.server_ecn ? kEce : 0)));
  b.mss(o.server_mss);
  if (o.sack && o.server_sack) b.sack_permitted();
  if (o.timestamps && o.server_timestamps) b.timestamps(server_first_ts, client_ts);
  if (o.client_scale && o.server_scale) b.window_scale(*o.server_scale);
  return b.build();
}

DecodedFrame Session::syn() {
  // If the service is in doubt, the server is asked first.
  if (const Verdict v = proxy.from_client(syn_frame()); v != Verdict::kReply) {
    EXPECT_EQ(v, Verdict::kForward);
    EXPECT_EQ(proxy.take_server().raw, syn_frame());
    if (proxy.from_server(syn_ack_frame()) == Verdict::kReply) {
      EXPECT_EQ(proxy.take_server().flags, kRst) << "it agrees to more than was promised";
    }
  }
  DecodedFrame f = proxy.take_client();
  EXPECT_EQ(f.flags & (kSyn | kAck | kRst | kFin), kSyn | kAck) << f.to_string();
  EXPECT_EQ(f.ack, o.client_isn + 1);
  EXPECT_EQ(f.timestamps.size(), o.timestamps ? 1U : 0U);
  cookie = f.seq;
  if (!f.timestamps.empty()) {
    our_tsval = f.tsval();
    EXPECT_EQ(f.tsecr(), o.client_ts);
  }
  return f;
}

DecodedFrame Session::ack() {
  EXPECT_EQ(proxy.from_client(ack_frame()), Verdict::kDrop);
  DecodedFrame f = proxy.take_server();
  EXPECT_EQ(f.flags & (kSyn | kAck | kRst | kFin), kSyn) << f.to_string();
  EXPECT_EQ(f.seq, o.client_isn);
  return f;
}

DecodedFrame Session::syn_ack() {
  EXPECT_EQ(proxy.from_server(syn_ack_frame()), Verdict::kReply);
  DecodedFrame f = proxy.take_server();
  EXPECT_EQ(f.flags, kAck) << f.to_string();
  EXPECT_EQ(f.seq, o.client_isn + 1);
  EXPECT_EQ(f.ack, o.server_isn + 1);
  return f;
}

void Session::open() {
  syn();
  ack();
  syn_ack();
  proxy.expect_quiet();
}

DecodedFrame Session::client_sends(std::string_view text, std::uint16_t flags) {
  EXPECT_EQ(proxy.from_client(client(flags).payload(text).build()), Verdict::kForward);
  DecodedFrame f = proxy.take_server();
  EXPECT_EQ(f.seq, client_nxt);
  EXPECT_EQ(f.ack, server_nxt);
  EXPECT_EQ(f.text(), text);
  client_nxt += f.seq_length();
  return f;
}

DecodedFrame Session::server_sends(std::string_view text, std::uint16_t flags) {
  EXPECT_EQ(proxy.from_server(server(flags).payload(text).build()), Verdict::kForward);
  DecodedFrame f = proxy.take_client();
  EXPECT_EQ(f.seq, seen_by_client(server_nxt));
  EXPECT_EQ(f.ack, client_nxt);
  EXPECT_EQ(f.text(), text);
  server_nxt += f.seq_length();
  return f;
}

void Session::close(bool server_first) {
  if (server_first) {
    server_sends("", kFin | kAck);
    client_sends("", kFin | kAck);
    server_sends("", kAck);
  } else {
    client_sends("", kFin | kAck);
    server_sends("", kFin | kAck);
    client_sends("", kAck);
  }
}

void revive_service(ProxyHarness& proxy, SessionOptions like) {
  like.client_port = 61000;
  Session(proxy, std::move(like)).syn();
}

}  // namespace synproxy::test
