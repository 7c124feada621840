// SPDX-License-Identifier: BSD-3-Clause
// Puts back VLAN tags that a device has cut out of a frame. The proxy never asks for that, but a
// driver, or whoever set the device up before, may do it all the same. A tag is part of a
// connection's key, and the other end expects it.
#pragma once

#include <rte_ether.h>
#include <rte_mbuf.h>

#include <cstdint>
#include <cstring>

#include "synproxy/wire/bytes.h"

namespace synproxy::dataplane {

inline constexpr std::uint64_t kTagsStripped =
    RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_QINQ_STRIPPED;

namespace detail {
// Inserts the tag behind the addresses, before the tags already there. False: no room.
[[nodiscard]] inline bool push_tag(rte_mbuf& m, std::uint16_t tpid, std::uint16_t tci) {
  constexpr std::uint32_t kTag = 4;
  constexpr std::size_t kAddresses = std::size_t{2} * RTE_ETHER_ADDR_LEN;
  auto* frame = reinterpret_cast<std::uint8_t*>(rte_pktmbuf_prepend(&m, kTag));
  if (frame == nullptr) return false;
  std::memmove(frame, frame + kTag, kAddresses);
  store_be<std::uint16_t>(frame + kAddresses, tpid);
  store_be<std::uint16_t>(frame + kAddresses + 2, tci);
  return true;
}
}  // namespace detail

// Puts back what was stripped, by the flags of `m`. The mbuf keeps only the TCI, so the TPIDs are
// those that a device strips by default: 802.1Q, and 802.1ad for an outer tag. False: `m` has no
// room for them, or is too short for a frame.
[[nodiscard]] inline bool restore_tags(rte_mbuf& m) {
  if (m.data_len < 2 * RTE_ETHER_ADDR_LEN) return false;
  if ((m.ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0 &&
      !detail::push_tag(m, RTE_ETHER_TYPE_VLAN, m.vlan_tci)) {
    return false;
  }
  if ((m.ol_flags & RTE_MBUF_F_RX_QINQ_STRIPPED) != 0 &&
      !detail::push_tag(m, RTE_ETHER_TYPE_QINQ, m.vlan_tci_outer)) {
    return false;
  }
  m.ol_flags &= ~kTagsStripped;
  return true;
}

}  // namespace synproxy::dataplane
