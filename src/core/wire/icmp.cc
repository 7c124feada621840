// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/icmp.h"

#include "synproxy/wire/checksum.h"

namespace synproxy {
namespace {

constexpr std::size_t kIcmpHeader = 8;
constexpr std::size_t kQuotedTcpMinimum = 8;

bool is_error(const Segment& icmp) {
  const std::uint8_t type = icmp.l4()[icmp_at::kType];
  if (icmp.ipv6) return type >= 1 && type <= 4;               // RFC 4443 section 2.1
  return type == 3 || type == 4 || type == 11 || type == 12;  // RFC 792
}

enum class Severity : std::uint8_t { kNone, kSoft, kHard };

// RFC 1122 section 4.2.3.9 calls codes 0, 1 and 5 soft, and 2 to 4 hard; RFC 1191 has made 4 the
// path MTU. What it leaves open, and the codes of RFC 1812 section 5.2.7.1, are taken nearly as
// Linux takes them: networks and hosts that do not exist and what a filter forbids are hard. A
// wrong type of service or precedence is soft.
Severity unreachable_ipv4(std::uint8_t code) {
  switch (code) {
    case 4:  // fragmentation needed
      return Severity::kNone;
    case 2:   // protocol
    case 3:   // port
    case 6:   // network unknown
    case 7:   // host unknown
    case 8:   // source isolated
    case 9:   // network prohibited
    case 10:  // host prohibited
    case 13:  // communication prohibited
      return Severity::kHard;
    default:  // network, host, source route, type of service, precedence
      return Severity::kSoft;
  }
}

// RFC 4443 section 3.1. RFC 9293 section 3.9.2.2 names 0 and 3 as soft.
Severity unreachable_ipv6(std::uint8_t code) {
  switch (code) {
    case 1:  // prohibited
    case 4:  // port
    case 5:  // source address failed policy
    case 6:  // reject route
      return Severity::kHard;
    default:  // no route, beyond scope, address
      return Severity::kSoft;
  }
}

// Time exceeded and parameter problem are soft in both families (RFC 9293 section 3.9.2.2).
Severity severity_of(const Segment& icmp) {
  const std::uint8_t type = icmp.l4()[icmp_at::kType];
  const std::uint8_t code = icmp.l4()[icmp_at::kCode];
  if (icmp.ipv6) {
    if (type == 1) return unreachable_ipv6(code);
    return type == 2 ? Severity::kNone : Severity::kSoft;  // packet too big
  }
  if (type == 3) return unreachable_ipv4(code);
  return type == 4 ? Severity::kNone : Severity::kSoft;  // source quench, ignored by RFC 6633
}

// Offset of the TCP header in the quoted IPv6 packet, behind its extension headers. 0: it has none,
// or it is not quoted.
std::size_t tcp_in_ipv6(const std::uint8_t* ip, std::size_t available) {
  std::uint8_t next = ip[ipv6_at::kNextHeader];
  std::size_t at = kIpv6Header;
  for (int headers = 0; headers < kMaxExtensionHeaders && is_extension(next); ++headers) {
    if (available - at < kSmallestExtension) return 0;
    std::size_t length = kSmallestExtension;
    if (next == kFragmentHeader) {
      const auto offset = load_be<std::uint16_t>(ip + at + extension_at::kFragmentOffset);
      if ((offset & 0xfff8U) != 0) return 0;  // not the first
    } else {
      length = extension_size(ip[at + extension_at::kLength]);
    }
    if (available - at < length || at + length > kIpv6Header + kMaxExtensionBytes) return 0;
    next = ip[at + extension_at::kNextHeader];
    at += length;
  }
  return next == kProtocolTcp ? at : 0;
}

}  // namespace

QuotedSegment parse_quoted(const Segment& icmp) {
  QuotedSegment out;
  if (icmp.l4_length < kIcmpHeader || !is_error(icmp)) return out;
  const std::uint8_t* quoted = icmp.l4() + kIcmpHeader;
  const std::size_t available = icmp.l4_length - kIcmpHeader;
  std::size_t header = 0;
  if (icmp.ipv6) {
    if (available < kIpv6Header || quoted[ipv6_at::kVersion] >> 4 != 6) return out;
    header = tcp_in_ipv6(quoted, available);
  } else {
    if (available < kIpv4Header || quoted[ipv4_at::kVersionAndLength] >> 4 != 4) return out;
    header = (quoted[ipv4_at::kVersionAndLength] & std::size_t{0xf}) * 4;
    if (header < kIpv4Header ||
        (load_be<std::uint16_t>(quoted + ipv4_at::kFragment) & kFragmentOffset) != 0)
      return out;
    if (quoted[ipv4_at::kProtocol] != kProtocolTcp) return out;
  }
  if (header == 0 || available < header + kQuotedTcpMinimum) return out;
  const std::uint8_t* tcp = quoted + header;
  out.valid = true;
  const Severity severity = severity_of(icmp);
  out.refusal = severity == Severity::kHard;
  out.soft = severity == Severity::kSoft;
  out.ip_offset = static_cast<std::uint16_t>(icmp.l4_offset + kIcmpHeader);
  out.tcp_offset = static_cast<std::uint16_t>(out.ip_offset + header);
  out.tcp_bytes = static_cast<std::uint16_t>(available - header);
  out.source_port = load_be<std::uint16_t>(tcp + tcp_at::kSourcePort);
  out.destination_port = load_be<std::uint16_t>(tcp + tcp_at::kDestinationPort);
  out.seq = SeqNum(load_be<std::uint32_t>(tcp + tcp_at::kSeq));
  return out;
}

bool icmp_checksum_good(const Segment& icmp) {
  const std::uint64_t pseudo =
      icmp.ipv6 ? pseudo_header_sum(icmp.source(), true, kProtocolIcmpv6, icmp.l4_length) : 0;
  return fold_sum(add_to_sum(pseudo, icmp.l4(), icmp.l4_length)) == 0xffff;
}

}  // namespace synproxy
