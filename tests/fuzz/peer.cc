// SPDX-License-Identifier: BSD-3-Clause
#include "fuzz/peer.h"

#include <algorithm>

namespace synproxy::fuzz {
namespace {

using Block = std::pair<std::uint32_t, std::uint32_t>;

// Cheap bytes without meaning, chosen by two inputs.
Bytes noise(std::uint8_t a, std::uint8_t b, std::size_t size) {
  Bytes out(size);
  std::uint32_t x = 1U + a * 256U + b;
  for (std::uint8_t& byte : out) {
    x = x * 1664525U + 1013904223U;
    byte = static_cast<std::uint8_t>(x >> 24);
  }
  return out;
}

std::uint16_t tcp_flags(std::uint8_t flags) {
  return static_cast<std::uint16_t>((flags & 0x3fU) | ((flags & 0x40) != 0 ? kEce : 0U) |
                                    ((flags & 0x80) != 0 ? kCwr : 0U));
}

void add_handshake_options(PacketBuilder& b, std::uint8_t which, std::uint8_t more,
                           std::uint32_t tsval, std::uint32_t tsecr) {
  constexpr std::array<std::uint16_t, 8> kMss{1460, 0, 1, 535, 536, 1220, 8960, 65535};
  constexpr std::array<std::uint8_t, 4> kScale{7, 0, 14, 255};
  b.mss(kMss[more & 7U]);
  if ((which & 3) == 0) {  // both in one word, as most clients write them
    b.option({4, 2, 8, 10});
    for (const std::uint32_t v : {tsval, tsecr}) {
      b.option({static_cast<std::uint8_t>(v >> 24), static_cast<std::uint8_t>(v >> 16),
                static_cast<std::uint8_t>(v >> 8), static_cast<std::uint8_t>(v)});
    }
  }
  if ((which & 3) == 2) b.sack_permitted();
  if ((which & 3) == 1) b.timestamps(tsval, tsecr);
  if ((which & 4) == 0) b.window_scale(kScale[(more >> 3) & 3U]);
  if ((which & 8) != 0) b.option({34, 10, 1, 2, 3, 4, 5, 6, 7, 8}).nop(2);  // TFO cookie
  if ((which & 16) != 0) {
    b.option({30, 4, 0, 1});  // MPTCP
  } else if ((which & 32) != 0) {
    b.option({2, 4, 1, 0});  // MSS again
  }
}

}  // namespace

std::size_t payload_of(const Command& c) {
  constexpr std::array<std::uint16_t, 16> kSizes{0,    0,    1,    1,    2,    10,   100,   536,
                                                 1000, 1220, 1448, 1460, 4000, 8960, 14600, 3};
  return kSizes[c.shape & 15U];
}

Peer::Peer(unsigned n) : port_(static_cast<std::uint16_t>(1000 + n)) {
  const bool ipv6 = n % 2 != 0;
  client_address_ = ipv6 ? "2001:db8:1::7" : "198.51.100.7";
  server_address_ = ipv6 ? "2001:db8::10" : "203.0.113.10";
  if (n % 3 == 1) tags_ = {{5, kEtherTypeQinQ}, {6, kEtherTypeVlan}};
  // The last two have the ports of the first two, but another tag.
  if (n + 2 >= kPeers) {
    port_ = static_cast<std::uint16_t>(1000 + n + 2 - kPeers);
    tags_ = {{7, kEtherTypeVlan}};
  }
  client = {0xffffff00U + n * 0x01000000U, 0, 5000U - n * 1000U, {}};
  server = {0x7fffff00U - n * 0x02000000U, 0, 0xffffff00U + n * 7U, {}};
  client.nxt = client.isn + 1;
  server.nxt = server.isn + 1;
}

bool Peer::owns(const DecodedFrame& f, bool to_client) const {
  return f.tags == tags_ && (to_client ? f.destination_port : f.source_port) == port_ &&
         f.ipv6 == (server_address_.find(':') != std::string::npos);
}

namespace {
void read(Seen& seen, const DecodedFrame& f, std::size_t l2) {
  if (f.has(kSyn)) {
    seen.isn = f.seq;
    seen.nxt = f.seq + f.seq_length();
    seen.timestamps = !f.timestamps.empty();
    seen.sack = f.sack_permitted;
  }
  if (static_cast<std::int32_t>(f.seq + f.seq_length() - seen.nxt) > 0) {
    seen.nxt = f.seq + f.seq_length();
  }
  if (f.has(kAck)) seen.ack = f.ack;
  if (!f.timestamps.empty()) seen.tsval = f.tsval();
  seen.window = f.window;
  seen.packet.assign(f.raw.begin() + static_cast<long>(l2), f.raw.end());
}
}  // namespace

void Peer::at_client(const DecodedFrame& f) { read(client.seen, f, 14 + 4 * tags_.size()); }
void Peer::at_server(const DecodedFrame& f) { read(server.seen, f, 14 + 4 * tags_.size()); }

void Peer::reuse(const Command& c) {
  client.isn += offset_of(c.seq) + c.a;
  server.isn += offset_of(c.ack) + c.b;
  client.nxt = client.isn + 1;
  server.nxt = server.isn + 1;
}

PacketBuilder Peer::headers(bool from_client) const {
  PacketBuilder b;
  b.vlans(tags_);
  if (from_client) {
    b.ip(client_address_, server_address_).ports(port_, 80);
  } else {
    b.macs(test::kServerMac, test::kClientMac);
    b.ip(server_address_, client_address_).ports(80, port_);
  }
  return b;
}

void Peer::shape(PacketBuilder& b, const Command& c) const {
  const bool ipv6 = server_address_.find(':') != std::string::npos;
  switch (c.shape >> 4) {
    case 1:
      b.break_l4_checksum();
      break;
    case 2:
      b.traffic_class(static_cast<std::uint8_t>(c.a & 3U));  // ECN
      break;
    case 3:
      ipv6 ? b.extension(0).extension(60, noise(c.a, c.b, c.a % 40U))
           : b.ip_options(noise(c.a, c.b, c.a % 41U));
      break;
    case 4:
      b.urgent(static_cast<std::uint16_t>(c.a << 8 | c.b));
      break;
    case 5:
      b.pad_to(64U + c.a);
      break;
    case 6:
      b.window(static_cast<std::uint16_t>(c.a << 8 | c.b));
      break;
    case 7:
      b.window(0);
      break;
    case 8:
      // IPv6 keeps the offset in the upper bits, and two bits reserved.
      b.fragment(static_cast<std::uint16_t>(ipv6 ? (unsigned{c.a} << 8 | (c.b & 0xf9U))
                                                 : ((c.a & 0x3fU) << 8 | c.b)));
      break;
    case 9:
      b.ttl(c.a).ip_id(0);
      if (!ipv6) b.fragment(0);  // no DF
      break;
    default:
      break;
  }
  b.payload(Bytes(payload_of(c), 'x'));
}

void Peer::add_options(PacketBuilder& b, const End& end, const Command& c,
                       std::uint64_t now) const {
  const std::uint32_t tsval = end.ts_base + static_cast<std::uint32_t>(now);
  const std::uint32_t tsecr = end.seen.tsval;
  const bool ts = end.seen.timestamps;
  const std::uint32_t edge = end.seen.nxt + offset_of(c.b);
  switch (c.a % 12) {
    case 0:
    case 1:
    case 2:
    case 3:
      if (ts) b.timestamps(tsval, tsecr);
      break;
    case 4:
      if (ts) b.timestamps(tsval, tsecr).sack({Block{edge, edge + 100}});
      break;
    case 5:
      b.sack({Block{edge, edge + 1}, Block{edge - 5, edge}, Block{edge + 9, edge}});
      break;
    case 6:
      b.timestamps(tsval, tsecr).timestamps(tsval + c.b, tsecr);
      break;
    case 7:
      b.nop(1U + (c.b & 2U)).timestamps(tsval, tsecr);
      break;
    case 8:
      b.timestamps(tsval, 0);
      break;
    case 9:
      b.timestamps(tsval + offset_of(c.b), tsecr + (c.b & 15U));
      break;
    case 10:
      b.option(noise(c.a, c.b, c.b % 41U));
      break;
    default:
      break;  // none, promised or not
  }
}

Bytes Peer::segment(bool from_client, const Command& c, std::uint64_t now) {
  End& end = from_client ? client : server;
  const std::array<std::uint32_t, 8> seqs{end.nxt,      end.nxt, end.seen.ack, end.seen.ack - 1,
                                          end.nxt - 1U, end.isn, end.isn + 1U, end.seen.ack + 1U};
  const std::array<std::uint32_t, 8> acks{
      end.seen.nxt,     end.seen.nxt,     end.seen.isn + 1,  end.seen.isn,
      end.seen.nxt - 1, end.seen.nxt + 1, end.seen.isn + 2U, 0};
  PacketBuilder b = headers(from_client);
  b.seq(seqs[c.seq & 7U] + offset_of(c.seq)).ack(acks[c.ack & 7U] + offset_of(c.ack));
  // Most segments of a connection have ACK.
  const std::uint16_t flags = tcp_flags(c.flags);
  b.flags(static_cast<std::uint16_t>((c.who & 0x80) != 0 ? flags : flags | kAck));
  add_options(b, end, c, now);
  shape(b, c);
  if ((c.seq & 0xf7U) == 0) {
    end.nxt += static_cast<std::uint32_t>(payload_of(c)) + ((flags & kFin) != 0 ? 1U : 0U);
  }
  return b.build();
}

Bytes Peer::client_segment(const Command& c, std::uint64_t now) { return segment(true, c, now); }
Bytes Peer::server_segment(const Command& c, std::uint64_t now) { return segment(false, c, now); }

Bytes Peer::plain(bool from_client, std::uint16_t flags, std::size_t length, std::uint64_t now) {
  End& end = from_client ? client : server;
  PacketBuilder b = headers(from_client);
  b.seq(end.nxt).ack(end.seen.nxt).flags(flags);
  if (end.seen.timestamps) {
    b.timestamps(end.ts_base + static_cast<std::uint32_t>(now), end.seen.tsval);
  }
  end.nxt += static_cast<std::uint32_t>(length) + ((flags & kFin) != 0 ? 1U : 0U);
  return b.payload(Bytes(length, 'p')).build();
}

Bytes Peer::syn(const Command& c, std::uint64_t now) {
  client.isn += offset_of(c.seq);
  client.nxt = client.isn + 1;
  PacketBuilder b = headers(true);
  b.seq(client.isn).flags(static_cast<std::uint16_t>(tcp_flags(c.flags & 0xc0) | kSyn));
  if ((c.a & 64) != 0) {
    b.option(noise(c.a, c.b, c.b % 41U));
  } else {
    add_handshake_options(b, c.a, c.b, client.ts_base + static_cast<std::uint32_t>(now), 0);
  }
  shape(b, c);
  return b.build();
}

Bytes Peer::handshake_ack(const Command& c, std::uint64_t now) {
  PacketBuilder b = headers(true);
  b.seq(client.isn + 1U + offset_of(c.seq)).ack(client.seen.isn + 1U + offset_of(c.ack));
  b.flags(static_cast<std::uint16_t>(kAck | (tcp_flags(c.flags) & (kFin | kPsh))));
  if (client.seen.timestamps) {
    b.timestamps(client.ts_base + static_cast<std::uint32_t>(now), client.seen.tsval);
  }
  shape(b, c);
  if (c.seq == 0) client.nxt = client.isn + 1 + static_cast<std::uint32_t>(payload_of(c));
  return b.build();
}

Bytes Peer::syn_ack(const Command& c, std::uint64_t now) {
  server.nxt = server.isn + 1;
  PacketBuilder b = headers(false);
  b.seq(server.isn + offset_of(c.seq)).ack(server.seen.isn + 1U + offset_of(c.ack));
  b.flags(static_cast<std::uint16_t>(kSyn | kAck | (tcp_flags(c.flags) & (kEce | kCwr))));
  if ((c.a & 64) != 0) {
    b.option(noise(c.a, c.b, c.b % 41U));
  } else {
    add_handshake_options(b, c.a & 7U, c.b, server.ts_base + static_cast<std::uint32_t>(now),
                          server.seen.tsval);
  }
  Command bare = c;
  bare.shape &= 0xf0U;
  shape(b, bare);
  return b.build();
}

Bytes Peer::server_syn(const Command& c, std::uint64_t now) {
  server.isn += offset_of(c.seq);
  server.nxt = server.isn + 1;
  PacketBuilder b = headers(false);
  b.seq(server.isn).flags(kSyn);
  add_handshake_options(b, c.a & 7U, c.b, server.ts_base + static_cast<std::uint32_t>(now), 0);
  return b.build();
}

Bytes Peer::client_syn_ack(const Command& c, std::uint64_t now) {
  client.nxt = client.isn + 1;
  PacketBuilder b = headers(true);
  b.seq(client.isn).ack(client.seen.isn + 1U + offset_of(c.ack)).flags(kSyn | kAck);
  add_handshake_options(b, c.a & 7U, c.b, client.ts_base + static_cast<std::uint32_t>(now),
                        client.seen.tsval);
  return b.build();
}

Bytes Peer::icmp(const Command& c) const {
  const bool ipv6 = server_address_.find(':') != std::string::npos;
  const bool from_client_side = (c.flags & 1) != 0;
  // The network on that side has the frames that were sent towards it. The input may choose the
  // others, which is never right.
  const Seen& lost = from_client_side == ((c.flags & 2) == 0) ? client.seen : server.seen;
  Bytes quoted = lost.packet;
  const std::size_t limit = (c.flags & 4) != 0 ? (ipv6 ? 48U : 28U) : 20U + c.b;
  if (quoted.size() > limit) quoted.resize(limit);
  // A number near the sequence number of the quoted header.
  const std::size_t at = (ipv6 ? 40U : 20U) + 4U;
  if ((c.flags & 8) != 0 && quoted.size() >= at + 4) {
    const std::uint32_t by = offset_of(c.seq);
    store_be<std::uint32_t>(&quoted[at], load_be<std::uint32_t>(&quoted[at]) + by);
  }
  PacketBuilder b;
  b.vlans(tags_);
  b.ip(ipv6 ? "2001:db8:2::1" : "192.0.2.1", from_client_side ? server_address_ : client_address_);
  b.icmp_error(c.a & 0x0fU, c.a >> 4, 1280, quoted);
  return b.build();
}

}  // namespace synproxy::fuzz
