// SPDX-License-Identifier: BSD-3-Clause
// Completes checksums that a sender left to a network card and no card has made.
#pragma once

#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_net.h>

#include <cstdint>
#include <cstring>

namespace synproxy::dataplane {

inline constexpr std::uint32_t kUdpChecksumOffset = 6;
inline constexpr std::uint32_t kTcpChecksumOffset = 16;

// The sum covers the frame from `start` to its end. The field is `offset` bytes behind `start`, and
// holds the sum of the pseudo header. False, and nothing is written, if the field is not in the
// frame.
inline bool complete_checksum(std::uint8_t* frame, std::uint32_t length, std::uint32_t start,
                              std::uint32_t offset) {
  if (start + offset + 2 > length) return false;
  auto sum = static_cast<std::uint16_t>(~rte_raw_cksum(frame + start, length - start));
  // RFC 768: zero means that there is no checksum.
  if (sum == 0 && offset == kUdpChecksumOffset) sum = 0xffff;
  std::memcpy(frame + start + offset, &sum, sizeof sum);
  return true;
}

// For a frame in one segment whose L4 checksum is still to be made and whose data are sound, as the
// device says (RTE_MBUF_F_RX_L4_CKSUM_NONE): virtio brings such frames from a sender on the same
// host. The frame is then marked like one that the device has verified.
inline void complete_checksum(rte_mbuf& m) {
  rte_net_hdr_lens lengths{};
  const std::uint32_t type =
      rte_net_get_ptype(&m, &lengths, RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK | RTE_PTYPE_L4_MASK);
  const std::uint32_t l4 = type & RTE_PTYPE_L4_MASK;
  if (l4 != RTE_PTYPE_L4_TCP && l4 != RTE_PTYPE_L4_UDP) return;
  const std::uint32_t start = std::uint32_t{lengths.l2_len} + lengths.l3_len;
  if (!complete_checksum(rte_pktmbuf_mtod(&m, std::uint8_t*), m.data_len, start,
                         l4 == RTE_PTYPE_L4_TCP ? kTcpChecksumOffset : kUdpChecksumOffset)) {
    return;
  }
  m.ol_flags = (m.ol_flags & ~RTE_MBUF_F_RX_L4_CKSUM_MASK) | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
}

}  // namespace synproxy::dataplane
