// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/fragment.h"

#include <algorithm>
#include <cstring>

#include "synproxy/wire/checksum.h"

namespace synproxy {
namespace {

constexpr std::uint8_t kCe = 3;  // RFC 3168 section 5
constexpr std::uint16_t kIpv6Ce = kCe << 4;
constexpr std::size_t kLeastIpv4 = 576;   // RFC 791 section 3.1
constexpr std::size_t kLeastIpv6 = 1280;  // RFC 8200 section 5

constexpr std::uint8_t kIpOptionEnd = 0;
constexpr std::uint8_t kIpOptionNop = 1;
constexpr std::uint8_t kOptionCopied = 0x80;

// The offset of the byte that names what follows the headers that a fragment repeats.
std::size_t last_next_header(const std::uint8_t* ip, std::size_t header_size) {
  std::size_t named = ipv6_at::kNextHeader;
  std::size_t at = kIpv6Header;
  while (at + kSmallestExtension <= header_size) {
    named = at + extension_at::kNextHeader;
    at += extension_size(ip[at + extension_at::kLength]);
  }
  return named;
}

// RFC 791 section 3.1: options without the copied flag stand in the first fragment only. NOPs in
// their place keep the header's length.
void blank_uncopied(std::uint8_t* ip, std::size_t header) {
  std::size_t at = kIpv4Header;
  while (at < header && ip[at] != kIpOptionEnd) {
    std::size_t size = 1;
    if (ip[at] != kIpOptionNop) {
      if (at + 1 == header || ip[at + 1] < 2 || at + ip[at + 1] > header) return;
      size = ip[at + 1];
      if ((ip[at] & kOptionCopied) == 0) std::memset(ip + at, kIpOptionNop, size);
    }
    at += size;
  }
}

}  // namespace

FragmentView read_fragment(const Segment& s) {
  // parse_frame() has walked all that is read here.
  const std::uint8_t* ip = s.l3();
  FragmentView f;
  std::size_t data_at = 0;
  if (!s.ipv6) {
    const auto field = load_be<std::uint16_t>(ip + ipv4_at::kFragment);
    f.id = load_be<std::uint16_t>(ip + ipv4_at::kId);
    f.offset = (field & kFragmentOffset) * 8U;
    f.more = (field & kMoreFragments) != 0;
    f.ecn = ip[ipv4_at::kTrafficClass] & kCe;
    f.header_size = static_cast<std::uint16_t>((ip[ipv4_at::kVersionAndLength] & 0xfU) * 4U);
    f.ip_size = load_be<std::uint16_t>(ip + ipv4_at::kTotalLength);
    data_at = f.header_size;
  } else {
    std::uint8_t next = ip[ipv6_at::kNextHeader];
    std::size_t at = kIpv6Header;
    while (next != kFragmentHeader) {
      next = ip[at + extension_at::kNextHeader];
      at += extension_size(ip[at + extension_at::kLength]);
    }
    const auto field = load_be<std::uint16_t>(ip + at + extension_at::kFragmentOffset);
    f.id = load_be<std::uint32_t>(ip + at + extension_at::kFragmentId);
    f.offset = field & kIpv6FragmentOffset;
    f.more = (field & kIpv6MoreFragments) != 0;
    f.next = ip[at + extension_at::kNextHeader];
    f.ecn = load_be<std::uint16_t>(ip + ipv6_at::kVersion) >> 4 & kCe;
    f.header_size = static_cast<std::uint16_t>(at);
    const auto payload = load_be<std::uint16_t>(ip + ipv6_at::kPayloadLength);
    // A frame has no more than 65,535 bytes, so the sum fits.
    f.ip_size = static_cast<std::uint16_t>(kIpv6Header + payload);
    data_at = at + kSmallestExtension;
  }
  f.data = ip + data_at;
  f.size = static_cast<std::uint16_t>(f.ip_size - data_at);
  return f;
}

bool fragment_checksum_good(const Segment& s, const FragmentView& f) {
  return s.ipv6 || fold_sum(add_to_sum(0, s.l3(), f.header_size)) == 0xffff;
}

void make_whole(std::uint8_t* ip, bool ipv6, std::size_t header_size, std::uint8_t next,
                std::size_t size, bool congested) {
  if (ipv6) {
    ip[last_next_header(ip, header_size)] = next;
    store_be<std::uint16_t>(ip + ipv6_at::kPayloadLength,
                            static_cast<std::uint16_t>(header_size - kIpv6Header + size));
    const auto first = load_be<std::uint16_t>(ip + ipv6_at::kVersion);
    if (congested) {
      store_be<std::uint16_t>(ip + ipv6_at::kVersion, static_cast<std::uint16_t>(first | kIpv6Ce));
    }
    return;
  }
  store_be<std::uint16_t>(ip + ipv4_at::kTotalLength,
                          static_cast<std::uint16_t>(header_size + size));
  const auto field = load_be<std::uint16_t>(ip + ipv4_at::kFragment);
  store_be<std::uint16_t>(ip + ipv4_at::kFragment,
                          static_cast<std::uint16_t>(field & kDontFragment));
  if (congested) ip[ipv4_at::kTrafficClass] |= kCe;
  store_ipv4_checksum(ip, header_size);
}

FragmentCutter::FragmentCutter(std::span<const std::uint8_t> frame, std::size_t l3_offset,
                               bool ipv6, const CameInFragments& came)
    : frame_(frame), l3_(l3_offset), ipv6_(ipv6), came_(came) {
  const std::uint8_t* ip = frame.data() + l3_;
  const std::size_t ip_size =
      ipv6 ? kIpv6Header + load_be<std::uint16_t>(ip + ipv6_at::kPayloadLength)
           : load_be<std::uint16_t>(ip + ipv4_at::kTotalLength);
  data_ = l3_ + came.header_size;
  end_ = std::min(frame.size(), l3_ + ip_size);
  const std::size_t longest = std::max<std::size_t>(came.largest, ipv6 ? kLeastIpv6 : kLeastIpv4);
  const std::size_t headers = came.header_size + (ipv6 ? kSmallestExtension : 0);
  fits_ = ip_size <= longest || headers + 8 > longest || data_ > end_;
  if (!fits_) each_ = (longest - headers) / 8 * 8;
}

std::size_t FragmentCutter::next(std::span<std::uint8_t> out) {
  if (fits_ || data_ + at_ >= end_) return 0;
  const std::size_t size = std::min(each_, end_ - data_ - at_);
  const bool more = data_ + at_ + size < end_;
  const std::size_t head = data_ + (ipv6_ ? kSmallestExtension : 0);
  if (out.size() < head + size) return 0;
  std::memcpy(out.data(), frame_.data(), data_);
  std::memcpy(out.data() + head, frame_.data() + data_ + at_, size);
  std::uint8_t* ip = out.data() + l3_;
  if (ipv6_) {
    std::uint8_t* named = ip + last_next_header(ip, came_.header_size);
    std::uint8_t* header = out.data() + data_;
    header[0] = *named;
    header[1] = 0;
    store_be<std::uint16_t>(header + extension_at::kFragmentOffset,
                            static_cast<std::uint16_t>(at_ | (more ? kIpv6MoreFragments : 0U)));
    store_be<std::uint32_t>(header + extension_at::kFragmentId, came_.id);
    *named = kFragmentHeader;
    store_be<std::uint16_t>(ip + ipv6_at::kPayloadLength,
                            static_cast<std::uint16_t>(head - l3_ - kIpv6Header + size));
  } else {
    store_be<std::uint16_t>(ip + ipv4_at::kTotalLength,
                            static_cast<std::uint16_t>(came_.header_size + size));
    const unsigned kept = load_be<std::uint16_t>(ip + ipv4_at::kFragment) & kDontFragment;
    store_be<std::uint16_t>(
        ip + ipv4_at::kFragment,
        static_cast<std::uint16_t>(kept | at_ / 8 | (more ? kMoreFragments : 0U)));
    if (at_ != 0) blank_uncopied(ip, came_.header_size);
    store_ipv4_checksum(ip, came_.header_size);
  }
  at_ += size;
  return head + size;
}

}  // namespace synproxy
