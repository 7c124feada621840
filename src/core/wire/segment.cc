// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/segment.h"

#include "synproxy/wire/checksum.h"

namespace synproxy {
namespace {

// Of each frame of a burst the caller has prefetched so many bytes.
constexpr std::size_t kPrefetched = 128;

void parse_tcp(Segment& out) {
  if (out.l4_length < kTcpHeader) {
    out.result = ParseResult::kBadTcp;
    return;
  }
  const std::uint8_t* tcp = out.l4();
  const auto offset_and_flags = load_be<std::uint16_t>(tcp + tcp_at::kOffsetAndFlags);
  const unsigned header_length = tcp_header_size(offset_and_flags);
  if (header_length < kTcpHeader || header_length > out.l4_length) {
    out.result = ParseResult::kBadTcp;
    return;
  }
  detail::read_tcp_header(tcp, offset_and_flags, out);
  out.result = ParseResult::kTcp;
}

void parse_ipv4(Segment& out, std::size_t available) {
  const std::uint8_t* ip = out.l3();
  if (available < kIpv4Header) return;  // without addresses it cannot be protected
  const auto first = ip[ipv4_at::kVersionAndLength];
  const unsigned header = (first & 0xfU) * 4U;
  const std::size_t total = load_be<std::uint16_t>(ip + ipv4_at::kTotalLength);
  const std::uint8_t protocol = ip[ipv4_at::kProtocol];
  if (first >> 4 != 4 || header < kIpv4Header || total < header || total > available) {
    out.result = ParseResult::kBadIp;
    return;
  }
  if (protocol != kProtocolTcp && protocol != kProtocolIcmp) return;
  if ((load_be<std::uint16_t>(ip + ipv4_at::kFragment) & kFragmented) != 0) {
    if (protocol == kProtocolTcp) out.result = ParseResult::kFragment;
    return;
  }
  out.l4_offset = static_cast<std::uint16_t>(out.l3_offset + header);
  out.l4_length = static_cast<std::uint16_t>(total - header);
  if (protocol == kProtocolIcmp) {
    out.result = ParseResult::kIcmp;
  } else {
    parse_tcp(out);
  }
}

void parse_ipv6(Segment& out, std::size_t available) {
  const std::uint8_t* ip = out.l3();
  if (available < kIpv6Header) return;
  const std::size_t total = kIpv6Header + load_be<std::uint16_t>(ip + ipv6_at::kPayloadLength);
  if (ip[ipv6_at::kVersion] >> 4 != 6 || total > available) {
    out.result = ParseResult::kBadIp;
    return;
  }
  std::uint8_t next = ip[ipv6_at::kNextHeader];
  std::size_t at = kIpv6Header;
  for (int headers = 0; is_extension(next) && next != kFragmentHeader; ++headers) {
    // RFC 8200 section 4.4: with segments left, the destination here is not the final one.
    if (headers == kMaxExtensionHeaders || total - at < kSmallestExtension ||
        total - at < extension_size(ip[at + extension_at::kLength]) ||
        at + extension_size(ip[at + extension_at::kLength]) > kIpv6Header + kMaxExtensionBytes ||
        (next == kRouting && ip[at + extension_at::kSegmentsLeft] != 0)) {
      out.result = ParseResult::kBadIp;
      return;
    }
    next = ip[at + extension_at::kNextHeader];
    at += extension_size(ip[at + extension_at::kLength]);
  }
  if (next == kFragmentHeader) {
    if (total - at < kSmallestExtension) {
      out.result = ParseResult::kBadIp;
      return;
    }
    const std::uint8_t hidden = ip[at + extension_at::kNextHeader];
    if (hidden == kProtocolTcp || is_extension(hidden)) {
      // Behind more headers there may be TCP. All other protocols are not protected. RFC 8200
      // section 4.5: the next header of the first fragment counts for all.
      out.result = ParseResult::kFragment;
    }
    return;
  }
  if (next != kProtocolTcp && next != kProtocolIcmpv6) return;
  out.l4_offset = static_cast<std::uint16_t>(out.l3_offset + at);
  out.l4_length = static_cast<std::uint16_t>(total - at);
  if (next == kProtocolIcmpv6) {
    out.result = ParseResult::kIcmp;
  } else {
    parse_tcp(out);
  }
}

}  // namespace

void detail::parse_any_frame(std::uint8_t* frame, std::size_t length, Segment& out) {
  out = Segment{};
  out.frame = frame;
  if (length < kEthernetHeader) return;
  if (length > kMaxFrame) length = kMaxFrame;
  // Headers of an unusual frame may reach into a third and a fourth line. They are read later.
  if (length > kPrefetched) {
    __builtin_prefetch(frame + kPrefetched, 1);
    __builtin_prefetch(frame + kPrefetched + 64, 1);
  }
  std::size_t at = kEthernetHeader;
  auto ether_type = load_be<std::uint16_t>(frame + ether_at::kType);
  std::uint32_t tags = 0;
  while (ether_type == kEtherTypeVlan || ether_type == kEtherTypeQinQ) {
    if (length - at < kVlanTag) return;
    if (++tags <= kMaxVlanTags) {
      out.vlan = out.vlan.pushed(ether_type, load_be<std::uint16_t>(frame + at + vlan_at::kTci));
    } else if (tags > kMostVlanTags) {
      out.result = ParseResult::kTagPile;
      return;
    }
    ether_type = load_be<std::uint16_t>(frame + at + vlan_at::kType);
    at += kVlanTag;
  }
  out.l3_offset = static_cast<std::uint16_t>(at);
  if (ether_type == kEtherTypeIpv4) {
    parse_ipv4(out, length - at);
  } else if (ether_type == kEtherTypeIpv6) {
    out.ipv6 = true;
    parse_ipv6(out, length - at);
  }
  // Under too many tags TCP is not passed as an unknown protocol: a host that strips priority tags
  // one by one would see it.
  if (tags > kMaxVlanTags && out.result != ParseResult::kOther) {
    out.result = out.result == ParseResult::kIcmp ? ParseResult::kOther : ParseResult::kTooDeep;
  }
}

bool ip_checksum_good(const Segment& s) {
  const auto header = static_cast<std::size_t>(s.l4_offset - s.l3_offset);
  return s.ipv6 || fold_sum(add_to_sum(0, s.l3(), header)) == 0xffff;
}

bool checksums_good(const Segment& s) {
  if (!ip_checksum_good(s)) return false;
  const std::uint64_t pseudo = pseudo_header_sum(s.source(), s.ipv6, kProtocolTcp, s.l4_length);
  return fold_sum(add_to_sum(pseudo, s.l4(), s.l4_length)) == 0xffff;
}

}  // namespace synproxy
