// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/syn_look.h"

namespace synproxy {

bool SynLook::to_protected_ipv6(const std::uint8_t* ip, const std::uint8_t* tcp,
                                SynIdentity& out) const {
  if (!protect_.matches(ip + 24, true, load_be<std::uint16_t>(tcp + 2))) return false;
  out.source = {load_raw<std::uint64_t>(ip + 8), load_raw<std::uint64_t>(ip + 16)};
  out.start = load_raw<std::uint64_t>(tcp);
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
  auto type = load_be<std::uint16_t>(frame + 12);
  while ((type == kEtherTypeVlan || type == kEtherTypeQinQ) && l3 < kMaxL2Header) {
    if (length < l3 + kVlanTag + kIpv4Header + kTcpHeader) return false;
    type = load_be<std::uint16_t>(frame + l3 + 2);
    l3 += kVlanTag;
  }
  const std::uint8_t* ip = frame + l3;
  std::size_t header = kIpv4Header;
  std::size_t total = 0;
  if (type == kEtherTypeIpv4) {
    if (ip[0] != 0x45) return look_closely(frame, length, out);
    // RFC 791: more fragments, or an offset.
    if (ip[9] != kProtocolTcp || (load_be<std::uint16_t>(ip + 6) & 0x3fffU) != 0) return false;
    total = load_be<std::uint16_t>(ip + 2);
  } else if (type == kEtherTypeIpv6) {
    if (length < l3 + kIpv6Header + kTcpHeader) return false;
    if (ip[6] != kProtocolTcp || ip[0] >> 4 != 6) return look_closely(frame, length, out);
    header = kIpv6Header;
    total = kIpv6Header + load_be<std::uint16_t>(ip + 4);
  } else {
    return false;  // three tags or no IP: the engine answers none of it
  }
  const std::uint8_t* tcp = ip + header;
  if ((tcp[13] & detail::kSynOrNot) != kSyn) return false;
  const unsigned tcp_header = (tcp[12] >> 4) * 4U;
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
