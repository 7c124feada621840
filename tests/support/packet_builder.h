// SPDX-License-Identifier: BSD-3-Clause
// Frames for tests, built step by step: addresses, tags, IP, TCP or ICMP, options, payload.
//
//   const Bytes syn = PacketBuilder().ipv4("198.51.100.7", "203.0.113.10").ports(40000, 80)
//                         .seq(1000).flags(kSyn).mss(1460).sack_permitted().build();
//
// Lengths and checksums are right unless a mutator changes them. They are not computed with code of
// src/core/.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "synproxy/wire/segment.h"

namespace synproxy::test {

using Bytes = std::vector<std::uint8_t>;
using Mac = std::array<std::uint8_t, 6>;

inline constexpr Mac kClientMac{0x02, 0xc1, 0, 0, 0, 1};
inline constexpr Mac kServerMac{0x02, 0x5e, 0, 0, 0, 2};

struct VlanTag {
  std::uint16_t tci = 0;
  std::uint16_t tpid = kEtherTypeVlan;
  friend bool operator==(const VlanTag&, const VlanTag&) = default;
};

[[nodiscard]] Bytes to_bytes(std::string_view text);
// 4 or 16 bytes; throws std::invalid_argument.
[[nodiscard]] Bytes parse_address(std::string_view text);

class PacketBuilder {
 public:
  PacketBuilder& macs(const Mac& source, const Mac& destination);
  PacketBuilder& vlan(std::uint16_t tci, std::uint16_t tpid = kEtherTypeVlan);  // outermost first
  PacketBuilder& vlans(std::span<const VlanTag> tags);
  PacketBuilder& ether_type(std::uint16_t type);  // instead of the one that fits

  PacketBuilder& ipv4(std::string_view source, std::string_view destination);
  PacketBuilder& ipv6(std::string_view source, std::string_view destination);
  // IPv4 or IPv6, by the form of the addresses.
  PacketBuilder& ip(std::string_view source, std::string_view destination);
  PacketBuilder& ip_raw(std::span<const std::uint8_t> source,
                        std::span<const std::uint8_t> destination);
  PacketBuilder& ttl(std::uint8_t v);
  PacketBuilder& traffic_class(std::uint8_t v);
  PacketBuilder& flow_label(std::uint32_t v);
  PacketBuilder& ip_id(std::uint16_t v);
  // IPv4: sets the field; IPv6: adds a fragment header.
  PacketBuilder& fragment(std::uint16_t flags_and_offset);
  PacketBuilder& ip_options(Bytes options);  // IPv4, padded to words
  // IPv6; `body` follows the two bytes of next header and length, padded to 8 n.
  PacketBuilder& extension(std::uint8_t type, Bytes body = {});
  PacketBuilder& protocol(std::uint8_t v);  // instead of the one that fits
  PacketBuilder& raw_l4(Bytes bytes);       // instead of TCP; taken as it is

  PacketBuilder& ports(std::uint16_t source, std::uint16_t destination);
  PacketBuilder& seq(std::uint32_t v);
  PacketBuilder& ack(std::uint32_t v);  // sets the flag too
  PacketBuilder& flags(std::uint16_t v);
  PacketBuilder& window(std::uint16_t v);
  PacketBuilder& urgent(std::uint16_t v);
  PacketBuilder& mss(std::uint16_t v);
  PacketBuilder& window_scale(std::uint8_t v);
  PacketBuilder& sack_permitted();
  PacketBuilder& timestamps(std::uint32_t tsval, std::uint32_t tsecr);  // preceded by two NOPs
  PacketBuilder& sack(std::initializer_list<std::pair<std::uint32_t, std::uint32_t>> blocks);
  PacketBuilder& sack(std::span<const std::pair<std::uint32_t, std::uint32_t>> blocks);
  PacketBuilder& nop(unsigned n = 1);
  PacketBuilder& option(Bytes raw);  // as it is
  PacketBuilder& payload(Bytes bytes);
  PacketBuilder& payload(std::string_view text);

  // An ICMP error that quotes an IP packet; the addresses decide the family.
  PacketBuilder& icmp_error(std::uint8_t type, std::uint8_t code, std::uint32_t rest, Bytes quoted);

  PacketBuilder& pad_to(std::size_t frame_length);  // Ethernet padding after the packet
  PacketBuilder& break_ip_checksum();
  PacketBuilder& break_l4_checksum();

  [[nodiscard]] Bytes build() const;
  // The first `limit` bytes of the IP packet, as an ICMP error quotes them.
  [[nodiscard]] Bytes build_packet(std::size_t limit = 0xffff) const;

 private:
  [[nodiscard]] Bytes build_l4() const;
  [[nodiscard]] Bytes build_ip() const;

  Mac source_mac_ = kClientMac;
  Mac destination_mac_ = kServerMac;
  std::vector<VlanTag> tags_;
  int ether_type_ = -1;
  Bytes source_{198, 51, 100, 7};
  Bytes destination_{203, 0, 113, 10};
  std::uint8_t ttl_ = 57;
  std::uint8_t traffic_class_ = 0;
  std::uint32_t flow_label_ = 0;
  std::uint16_t ip_id_ = 0x1234;
  int fragment_ = -1;
  Bytes ip_options_;
  std::vector<std::pair<std::uint8_t, Bytes>> extensions_;
  int protocol_ = -1;
  enum class L4 : std::uint8_t { kTcp, kIcmp, kRaw } l4_ = L4::kTcp;
  Bytes raw_l4_;
  std::uint16_t source_port_ = 40000;
  std::uint16_t destination_port_ = 80;
  std::uint32_t seq_ = 0;
  std::uint32_t ack_ = 0;
  std::uint16_t flags_ = 0;
  std::uint16_t window_ = 64240;
  std::uint16_t urgent_ = 0;
  Bytes options_;
  Bytes payload_;
  std::size_t pad_to_ = 0;
  bool break_ip_checksum_ = false;
  bool break_l4_checksum_ = false;
};

}  // namespace synproxy::test
