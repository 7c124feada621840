// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/super_frame.h"

#include <rte_ip.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "dataplane/complete_checksum.h"
#include "synproxy/wire/bytes.h"
#include "synproxy/wire/checksum.h"
#include "synproxy/wire/headers.h"

namespace synproxy::dataplane {
namespace {

constexpr std::uint8_t kProtocolUdp = 17;
constexpr std::size_t kUdpHeader = 8;
constexpr std::size_t kUdpLength = 4;           // offset of its length field
constexpr std::size_t kIpv4Identification = 4;  // offset
constexpr std::size_t kMostTags = 4;

struct Network {
  std::size_t offset = 0;  // of the IP header
  bool ipv6 = false;
};

std::optional<Network> find_network(std::span<const std::uint8_t> frame) {
  std::size_t at = ether_at::kType;
  for (std::size_t tags = 0; tags <= kMostTags; ++tags, at += kVlanTag) {
    if (frame.size() < at + 2 + kIpv4Header) return std::nullopt;
    const auto type = load_be<std::uint16_t>(&frame[at]);
    if (type == kEtherTypeVlan || type == kEtherTypeQinQ) continue;
    if (type == kEtherTypeIpv4) return Network{at + 2, false};
    if (type == kEtherTypeIpv6) return Network{at + 2, true};
    return std::nullopt;
  }
  return std::nullopt;
}

// Where the IP header says that the transport header of `protocol` begins; for IPv6, where it may
// begin at the earliest. 0: the lengths do not fit the frame.
std::size_t transport_at(std::span<const std::uint8_t> frame, Network net, std::uint8_t protocol) {
  const std::uint8_t* ip = &frame[net.offset];
  const std::size_t packet = frame.size() - net.offset;
  if (net.ipv6) {
    if (packet < kIpv6Header) return 0;
    const std::size_t payload = load_be<std::uint16_t>(ip + ipv6_at::kPayloadLength);
    return payload + kIpv6Header == packet ? net.offset + kIpv6Header : 0;
  }
  const std::size_t header = (ip[ipv4_at::kVersionAndLength] & 15U) * std::size_t{4};
  const bool fits = header >= kIpv4Header && header <= packet &&
                    load_be<std::uint16_t>(ip + ipv4_at::kTotalLength) == packet &&
                    (load_be<std::uint16_t>(ip + ipv4_at::kFragment) & kFragmented) == 0 &&
                    ip[ipv4_at::kProtocol] == protocol;
  return fits ? net.offset + header : 0;
}

// A field of a ones' complement sum, after one of the summed words has changed.
std::uint16_t replace_word(std::uint16_t sum, std::size_t before, std::size_t after) {
  std::uint32_t s =
      std::uint32_t{sum} + static_cast<std::uint16_t>(~before) + static_cast<std::uint16_t>(after);
  s = (s & 0xffff) + (s >> 16);
  return static_cast<std::uint16_t>((s & 0xffff) + (s >> 16));
}

}  // namespace

bool sound_header(OffloadHeader& header, std::span<const std::uint8_t> frame) {
  const unsigned type = header.gso_type & ~unsigned{kGsoEcn};
  const bool tcp = type == kGsoTcpv4 || type == kGsoTcpv6;
  if ((!tcp && type != kGsoUdp) || (header.flags & kNeedsChecksum) == 0 ||
      header.gso_size < kLeastSegment) {
    return false;
  }
  const auto net = find_network(frame);
  if (!net || (tcp && net->ipv6 != (type == kGsoTcpv6))) return false;
  const std::size_t earliest = transport_at(frame, *net, tcp ? kProtocolTcp : kProtocolUdp);
  const std::size_t at = header.checksum_start;
  if (earliest == 0 || at < earliest || (!net->ipv6 && at != earliest)) return false;
  std::size_t transport = kUdpHeader;
  if (tcp) {
    if (at + kTcpHeader > frame.size()) return false;
    transport = tcp_header_size(load_be<std::uint16_t>(&frame[at + tcp_at::kOffsetAndFlags]));
    if (transport < kTcpHeader) return false;
  }
  if (header.checksum_offset != (tcp ? tcp_at::kChecksum : kUdpChecksumOffset) ||
      at + transport >= frame.size()) {
    return false;
  }
  header.header_length = static_cast<std::uint16_t>(at + transport);
  return true;
}

std::uint32_t longest_packet(std::span<const std::uint8_t> frame, const OffloadHeader& header) {
  const auto net = find_network(frame);
  const std::size_t before = net ? net->offset : 0;
  return static_cast<std::uint32_t>(
      std::min<std::size_t>(header.header_length + std::size_t{header.gso_size}, frame.size()) -
      before);
}

FrameCutter::FrameCutter(std::span<const std::uint8_t> frame, const OffloadHeader& header,
                         std::uint32_t segments)
    : frame_(frame),
      header_(header),
      payload_(header.gso_size * segments),
      network_(static_cast<std::uint32_t>(find_network(frame).value_or(Network{}).offset)),
      ipv6_(find_network(frame).value_or(Network{}).ipv6),
      at_(header.header_length) {}

std::uint32_t FrameCutter::next_size() const {
  return static_cast<std::uint32_t>(header_.header_length +
                                    std::min<std::size_t>(payload_, frame_.size() - at_));
}

std::uint32_t FrameCutter::write(std::uint8_t* to) {
  const std::uint32_t size = next_size();
  const std::size_t head = header_.header_length;
  const std::size_t passed = at_ - head;  // payload before this frame
  std::memcpy(to, frame_.data(), head);
  std::memcpy(to + head, &frame_[at_], size - head);
  at_ += size - head;

  std::uint8_t* ip = to + network_;
  const std::size_t packet = size - network_;
  if (ipv6_) {
    store_be(ip + ipv6_at::kPayloadLength, static_cast<std::uint16_t>(packet - kIpv6Header));
  } else {
    store_be(ip + ipv4_at::kTotalLength, static_cast<std::uint16_t>(packet));
    const auto id = load_be<std::uint16_t>(ip + kIpv4Identification);
    store_be(ip + kIpv4Identification, static_cast<std::uint16_t>(id + passed / header_.gso_size));
    store_ipv4_checksum(ip, (ip[ipv4_at::kVersionAndLength] & 15U) * std::size_t{4});
  }

  const std::size_t transport = header_.checksum_start;
  std::uint8_t* l4 = to + transport;
  std::uint8_t* field = l4 + header_.checksum_offset;
  store_be(field, replace_word(load_be<std::uint16_t>(field), frame_.size() - transport,
                               size - transport));
  if (header_.checksum_offset == kUdpChecksumOffset) {
    store_be(l4 + kUdpLength, static_cast<std::uint16_t>(size - transport));
    return size;
  }
  store_be(l4 + tcp_at::kSeq,
           static_cast<std::uint32_t>(load_be<std::uint32_t>(l4 + tcp_at::kSeq) + passed));
  // What ends the data stands at their end. RFC 3168 section 6.1.2: CWR is said once.
  if (!done()) l4[tcp_at::kFlags] &= static_cast<std::uint8_t>(~(kFin | kPsh));
  if (passed != 0) l4[tcp_at::kFlags] &= static_cast<std::uint8_t>(~kCwr);
  return size;
}

void FrameCutter::write_segment(std::uint8_t* to) {
  const std::uint32_t size = write(to);
  complete_checksum(to, size, header_.checksum_start, header_.checksum_offset);
}

void FrameCutter::write_super_frame(std::uint8_t* to, OffloadHeader& header) {
  header = header_;
  if (at_ != header_.header_length) header.gso_type &= static_cast<std::uint8_t>(~kGsoEcn);
  write(to);
}

}  // namespace synproxy::dataplane
