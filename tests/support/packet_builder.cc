// SPDX-License-Identifier: BSD-3-Clause
#include "support/packet_builder.h"

#include <arpa/inet.h>

#include <stdexcept>
#include <string>

#include "support/naive_checksum.h"

namespace synproxy::test {
namespace {

// Enough for most frames: under the sanitizers each allocation is dear.
constexpr std::size_t kUsual = 128;

void put8(Bytes& b, unsigned v) { b.push_back(static_cast<std::uint8_t>(v)); }
void put16(Bytes& b, unsigned v) {
  const std::uint8_t bytes[] = {static_cast<std::uint8_t>(v >> 8), static_cast<std::uint8_t>(v)};
  b.insert(b.end(), std::begin(bytes), std::end(bytes));
}
void put32(Bytes& b, std::uint32_t v) {
  const std::uint8_t bytes[] = {static_cast<std::uint8_t>(v >> 24),
                                static_cast<std::uint8_t>(v >> 16),
                                static_cast<std::uint8_t>(v >> 8), static_cast<std::uint8_t>(v)};
  b.insert(b.end(), std::begin(bytes), std::end(bytes));
}
void put(Bytes& b, std::span<const std::uint8_t> v) { b.insert(b.end(), v.begin(), v.end()); }
void set16(Bytes& b, std::size_t at, unsigned v) {
  b[at] = static_cast<std::uint8_t>(v >> 8);
  b[at + 1] = static_cast<std::uint8_t>(v);
}

}  // namespace

Bytes to_bytes(std::string_view text) { return {text.begin(), text.end()}; }

Bytes parse_address(std::string_view text) {
  const std::string copy(text);
  Bytes out(16);
  if (inet_pton(AF_INET6, copy.c_str(), out.data()) == 1) return out;
  out.resize(4);
  if (inet_pton(AF_INET, copy.c_str(), out.data()) == 1) return out;
  throw std::invalid_argument("not an address: " + copy);
}

PacketBuilder& PacketBuilder::macs(const Mac& source, const Mac& destination) {
  source_mac_ = source;
  destination_mac_ = destination;
  return *this;
}
PacketBuilder& PacketBuilder::vlan(std::uint16_t tci, std::uint16_t tpid) {
  tags_.push_back({tci, tpid});
  return *this;
}
PacketBuilder& PacketBuilder::vlans(std::span<const VlanTag> tags) {
  tags_.assign(tags.begin(), tags.end());
  return *this;
}
PacketBuilder& PacketBuilder::ether_type(std::uint16_t type) {
  ether_type_ = type;
  return *this;
}
PacketBuilder& PacketBuilder::ipv4(std::string_view source, std::string_view destination) {
  return ip(source, destination);
}
PacketBuilder& PacketBuilder::ipv6(std::string_view source, std::string_view destination) {
  return ip(source, destination);
}
PacketBuilder& PacketBuilder::ip(std::string_view source, std::string_view destination) {
  return ip_raw(parse_address(source), parse_address(destination));
}
PacketBuilder& PacketBuilder::ip_raw(std::span<const std::uint8_t> source,
                                     std::span<const std::uint8_t> destination) {
  if (source.size() != destination.size()) throw std::invalid_argument("two families");
  source_.assign(source.begin(), source.end());
  destination_.assign(destination.begin(), destination.end());
  return *this;
}
PacketBuilder& PacketBuilder::ttl(std::uint8_t v) {
  ttl_ = v;
  return *this;
}
PacketBuilder& PacketBuilder::traffic_class(std::uint8_t v) {
  traffic_class_ = v;
  return *this;
}
PacketBuilder& PacketBuilder::flow_label(std::uint32_t v) {
  flow_label_ = v;
  return *this;
}
PacketBuilder& PacketBuilder::ip_id(std::uint16_t v) {
  ip_id_ = v;
  return *this;
}
PacketBuilder& PacketBuilder::fragment(std::uint16_t flags_and_offset) {
  fragment_ = flags_and_offset;
  return *this;
}
PacketBuilder& PacketBuilder::ip_options(Bytes options) {
  ip_options_ = std::move(options);
  ip_options_.resize((ip_options_.size() + 3) / 4 * 4);
  return *this;
}
PacketBuilder& PacketBuilder::extension(std::uint8_t type, Bytes body) {
  extensions_.emplace_back(type, std::move(body));
  return *this;
}
PacketBuilder& PacketBuilder::protocol(std::uint8_t v) {
  protocol_ = v;
  return *this;
}
PacketBuilder& PacketBuilder::raw_l4(Bytes bytes) {
  l4_ = L4::kRaw;
  raw_l4_ = std::move(bytes);
  return *this;
}
PacketBuilder& PacketBuilder::ports(std::uint16_t source, std::uint16_t destination) {
  source_port_ = source;
  destination_port_ = destination;
  return *this;
}
PacketBuilder& PacketBuilder::seq(std::uint32_t v) {
  seq_ = v;
  return *this;
}
PacketBuilder& PacketBuilder::ack(std::uint32_t v) {
  ack_ = v;
  flags_ |= kAck;
  return *this;
}
PacketBuilder& PacketBuilder::flags(std::uint16_t v) {
  flags_ = v;
  return *this;
}
PacketBuilder& PacketBuilder::window(std::uint16_t v) {
  window_ = v;
  return *this;
}
PacketBuilder& PacketBuilder::urgent(std::uint16_t v) {
  urgent_ = v;
  return *this;
}
PacketBuilder& PacketBuilder::mss(std::uint16_t v) {
  put16(options_, 0x0204);
  put16(options_, v);
  return *this;
}
PacketBuilder& PacketBuilder::window_scale(std::uint8_t v) {
  put32(options_, 0x01030300U | v);
  return *this;
}
PacketBuilder& PacketBuilder::sack_permitted() {
  put32(options_, 0x01010402U);
  return *this;
}
PacketBuilder& PacketBuilder::timestamps(std::uint32_t tsval, std::uint32_t tsecr) {
  put32(options_, 0x0101080aU);
  put32(options_, tsval);
  put32(options_, tsecr);
  return *this;
}
PacketBuilder& PacketBuilder::sack(
    std::initializer_list<std::pair<std::uint32_t, std::uint32_t>> blocks) {
  return sack(std::span(blocks.begin(), blocks.size()));
}
PacketBuilder& PacketBuilder::sack(
    std::span<const std::pair<std::uint32_t, std::uint32_t>> blocks) {
  put8(options_, 5);
  put8(options_, static_cast<unsigned>(2 + 8 * blocks.size()));
  for (const auto& [left, right] : blocks) {
    put32(options_, left);
    put32(options_, right);
  }
  return *this;
}
PacketBuilder& PacketBuilder::nop(unsigned n) {
  options_.insert(options_.end(), n, std::uint8_t{1});
  return *this;
}
PacketBuilder& PacketBuilder::option(Bytes raw) {
  put(options_, raw);
  return *this;
}
PacketBuilder& PacketBuilder::payload(Bytes bytes) {
  payload_ = std::move(bytes);
  return *this;
}
PacketBuilder& PacketBuilder::payload(std::string_view text) { return payload(to_bytes(text)); }
PacketBuilder& PacketBuilder::icmp_error(std::uint8_t type, std::uint8_t code, std::uint32_t rest,
                                         Bytes quoted) {
  l4_ = L4::kIcmp;
  raw_l4_.clear();
  put8(raw_l4_, type);
  put8(raw_l4_, code);
  put16(raw_l4_, 0);
  put32(raw_l4_, rest);
  put(raw_l4_, quoted);
  return *this;
}
PacketBuilder& PacketBuilder::pad_to(std::size_t frame_length) {
  pad_to_ = frame_length;
  return *this;
}
PacketBuilder& PacketBuilder::break_ip_checksum() {
  break_ip_checksum_ = true;
  return *this;
}
PacketBuilder& PacketBuilder::break_l4_checksum() {
  break_l4_checksum_ = true;
  return *this;
}

Bytes PacketBuilder::build_l4() const {
  if (l4_ == L4::kRaw) return raw_l4_;
  const bool v6 = source_.size() == 16;
  Bytes out;
  std::size_t checksum_at = 2;
  if (l4_ == L4::kIcmp) {
    out = raw_l4_;
  } else {
    checksum_at = 16;
    Bytes options = options_;
    options.resize((options.size() + 3) / 4 * 4);  // padded with END
    if (options.size() > 40) throw std::invalid_argument("over 40 bytes of options");
    out.reserve(kUsual + payload_.size());
    put16(out, source_port_);
    put16(out, destination_port_);
    put32(out, seq_);
    put32(out, ack_);
    put16(out, static_cast<unsigned>((20 + options.size()) / 4) << 12 | flags_);
    put16(out, window_);
    put16(out, 0);
    put16(out, urgent_);
    put(out, options);
    put(out, payload_);
  }
  NaiveSum sum;
  if (l4_ == L4::kTcp || v6) {
    Bytes addresses = source_;
    put(addresses, destination_);
    sum = naive_pseudo_header(addresses, l4_ == L4::kTcp ? kProtocolTcp : kProtocolIcmpv6,
                              out.size());
  }
  const unsigned checksum = sum.add(out).checksum();
  set16(out, checksum_at, break_l4_checksum_ ? checksum ^ 0x0100U : checksum);
  return out;
}

Bytes PacketBuilder::build_ip() const {
  const Bytes l4 = build_l4();
  unsigned protocol = kProtocolTcp;
  if (l4_ == L4::kIcmp) protocol = source_.size() == 16 ? kProtocolIcmpv6 : kProtocolIcmp;
  if (protocol_ >= 0) protocol = static_cast<unsigned>(protocol_);
  Bytes out;
  out.reserve(kUsual + l4.size());
  if (source_.size() == 4) {
    const std::size_t header = 20 + ip_options_.size();
    put8(out, static_cast<unsigned>(0x40 | header / 4));
    put8(out, traffic_class_);
    put16(out, static_cast<unsigned>(header + l4.size()));
    put16(out, ip_id_);
    put16(out, fragment_ >= 0 ? static_cast<unsigned>(fragment_) : 0x4000U);
    put8(out, ttl_);
    put8(out, protocol);
    put16(out, 0);
    put(out, source_);
    put(out, destination_);
    put(out, ip_options_);
    const unsigned checksum = NaiveSum().add(out).checksum();
    set16(out, 10, break_ip_checksum_ ? checksum ^ 0x0001U : checksum);
    put(out, l4);
    return out;
  }
  auto chain = extensions_;
  if (fragment_ >= 0) {
    Bytes body{static_cast<std::uint8_t>(fragment_ >> 8),
               static_cast<std::uint8_t>(fragment_),
               0,
               0,
               0,
               9};
    chain.emplace_back(std::uint8_t{44}, std::move(body));
  }
  Bytes middle;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const unsigned next = i + 1 < chain.size() ? chain[i + 1].first : protocol;
    Bytes body = chain[i].second;
    const std::size_t whole = (2 + body.size() + 7) / 8 * 8;
    body.resize(whole - 2);
    put8(middle, next);
    put8(middle, chain[i].first == 44 ? 0 : static_cast<unsigned>(whole / 8 - 1));
    put(middle, body);
  }
  put32(out, 6U << 28 | std::uint32_t{traffic_class_} << 20 | flow_label_);
  put16(out, static_cast<unsigned>(middle.size() + l4.size()));
  put8(out, chain.empty() ? protocol : chain.front().first);
  put8(out, ttl_);
  put(out, source_);
  put(out, destination_);
  put(out, middle);
  put(out, l4);
  return out;
}

Bytes PacketBuilder::build_packet(std::size_t limit) const {
  Bytes out = build_ip();
  if (out.size() > limit) out.resize(limit);
  return out;
}

Bytes PacketBuilder::build() const {
  const Bytes packet = build_ip();
  Bytes out;
  out.reserve(kUsual + packet.size());
  put(out, destination_mac_);
  put(out, source_mac_);
  for (const VlanTag& tag : tags_) {
    put16(out, tag.tpid);
    put16(out, tag.tci);
  }
  const bool v6 = source_.size() == 16;
  put16(out, ether_type_ >= 0 ? static_cast<unsigned>(ether_type_)
                              : (v6 ? kEtherTypeIpv6 : kEtherTypeIpv4));
  put(out, packet);
  if (out.size() < pad_to_) out.resize(pad_to_, 0xee);
  return out;
}

}  // namespace synproxy::test
