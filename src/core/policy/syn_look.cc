// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/syn_look.h"

namespace synproxy {

bool SynLook::to_protected_ipv6(const std::uint8_t* ip, const std::uint8_t* tcp,
                                SynIdentity& out) const {
  const auto port = load_be<std::uint16_t>(tcp + tcp_at::kDestinationPort);
  if (!protect_.matches(ip + ipv6_at::kDestination, true, port)) return false;
  const std::uint8_t* source = ip + ipv6_at::kSource;
  out.source = {load_raw<std::uint64_t>(source), load_raw<std::uint64_t>(source + 8)};
  out.start = ports_and_seq(tcp);
  return true;
}

bool SynLook::to_new_end(const std::uint8_t* address, std::uint16_t port) {
  if (!protect_.matches(address, false, port)) return false;
  last_address_ = load_raw<std::uint32_t>(address);
  last_port_ = port;
  last_known_ = true;
  return true;
}

bool SynLook::is_unusual_syn(const std::uint8_t* frame, std::size_t length, SynIdentity& out) {
  std::size_t l3 = kEthernetHeader;
  auto type = load_be<std::uint16_t>(frame + ether_at::kType);
  while ((type == kEtherTypeVlan || type == kEtherTypeQinQ) && l3 < kMaxL2Header) {
    if (length < l3 + kVlanTag + kIpv4Header + kTcpHeader) return false;
    type = load_be<std::uint16_t>(frame + l3 + vlan_at::kType);
    l3 += kVlanTag;
  }
  const std::uint8_t* ip = frame + l3;
  std::size_t header = kIpv4Header;
  std::size_t total = 0;
  if (type == kEtherTypeIpv4) {
    if (ip[ipv4_at::kVersionAndLength] != kIpv4WithoutOptions) {
      return look_closely(frame, length, out);
    }
    const auto fragment = load_be<std::uint16_t>(ip + ipv4_at::kFragment);
    if (ip[ipv4_at::kProtocol] != kProtocolTcp || (fragment & kFragmented) != 0) return false;
    total = load_be<std::uint16_t>(ip + ipv4_at::kTotalLength);
  } else if (type == kEtherTypeIpv6) {
    if (length < l3 + kIpv6Header + kTcpHeader) return false;
    if (ip[ipv6_at::kNextHeader] != kProtocolTcp || ip[ipv6_at::kVersion] >> 4 != 6) {
      return look_closely(frame, length, out);
    }
    header = kIpv6Header;
    total = kIpv6Header + load_be<std::uint16_t>(ip + ipv6_at::kPayloadLength);
  } else {
    return false;  // three tags or no IP: the engine answers none of it
  }
  const std::uint8_t* tcp = ip + header;
  const auto offset_and_flags = load_be<std::uint16_t>(tcp + tcp_at::kOffsetAndFlags);
  if ((offset_and_flags & detail::kSynOrNot) != kSyn) return false;
  const unsigned tcp_header = tcp_header_size(offset_and_flags);
  if (total > length - l3 || tcp_header < kTcpHeader || total < header + tcp_header) return false;
  return header == kIpv6Header ? to_protected_ipv6(ip, tcp, out) : to_protected_ipv4(ip, tcp, out);
}

bool SynLook::look_closely(const std::uint8_t* frame, std::size_t length, SynIdentity& out) {
  Segment s;
  // The parser keeps the pointer for those who rewrite; nothing is written here.
  parse_frame(const_cast<std::uint8_t*>(frame), length, s);
  if (s.result != ParseResult::kTcp || (s.flags & detail::kSynOrNot) != kSyn) {
    return false;
  }
  return s.ipv6 ? to_protected_ipv6(s.l3(), s.l4(), out) : to_protected_ipv4(s.l3(), s.l4(), out);
}

}  // namespace synproxy
