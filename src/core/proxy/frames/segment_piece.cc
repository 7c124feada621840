// SPDX-License-Identifier: BSD-3-Clause
#include "frames/segment_piece.h"

#include <cstring>

#include "frames/tcp_writer.h"
#include "synproxy/wire/bytes.h"
#include "synproxy/wire/checksum.h"
#include "synproxy/wire/headers.h"

namespace synproxy {

void make_piece(std::uint8_t* frame, const Segment& g, std::uint32_t at, std::uint32_t size,
                std::uint32_t nth) {
  std::uint8_t* ip = frame + g.l3_offset;
  std::uint8_t* tcp = frame + g.l4_offset;
  const std::uint32_t ip_header = std::uint32_t{g.l4_offset} - g.l3_offset;
  const std::uint32_t length = g.header_length + size;
  if (g.ipv6) {
    store_be<std::uint16_t>(ip + ipv6_at::kPayloadLength,
                            static_cast<std::uint16_t>(ip_header - kIpv6Header + length));
  } else {
    store_be<std::uint16_t>(ip + ipv4_at::kTotalLength,
                            static_cast<std::uint16_t>(ip_header + length));
    const auto id = load_be<std::uint16_t>(ip + ipv4_at::kId);
    store_be<std::uint16_t>(ip + ipv4_at::kId, static_cast<std::uint16_t>(id + nth));
    store_ipv4_checksum(ip, ip_header);
  }
  store_be<std::uint32_t>(tcp + tcp_at::kSeq, (g.seq + at).value());
  unsigned flags = g.flags;
  if (at + size != g.payload_length) flags &= ~unsigned{kFin | kPsh};
  if (nth != 0) flags &= ~unsigned{kCwr};  // it reports one reduction (RFC 3168 section 6.1.2)
  const auto urgent = load_be<std::uint16_t>(tcp + tcp_at::kUrgentPointer);
  if (g.has(kUrg) && urgent > at) {
    store_be<std::uint16_t>(tcp + tcp_at::kUrgentPointer, static_cast<std::uint16_t>(urgent - at));
  } else {
    flags &= ~unsigned{kUrg};
    store_be<std::uint16_t>(tcp + tcp_at::kUrgentPointer, 0);
  }
  store_be<std::uint16_t>(tcp + tcp_at::kOffsetAndFlags,
                          tcp_offset_and_flags(g.header_length, flags));
  store_be<std::uint16_t>(tcp + tcp_at::kChecksum, 0);
  const std::uint64_t pseudo =
      pseudo_header_sum(ip + ip_source_at(g.ipv6), g.ipv6, kProtocolTcp, length);
  const std::uint16_t sum = finish_sum(add_to_sum(pseudo, tcp, length));
  std::memcpy(tcp + tcp_at::kChecksum, &sum, sizeof sum);
}

}  // namespace synproxy
