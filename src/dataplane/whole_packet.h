// SPDX-License-Identifier: BSD-3-Clause
// A packet that was put together from fragments, on its way to the worker that owns its connection.
//
// It may be longer than a buffer. So it travels in a chain of buffers, of which the first says how
// it came in fragments. Every received frame has one segment: a chain is nothing else.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

#include "synproxy/base/packet.h"

namespace synproxy::dataplane {

[[nodiscard]] inline bool is_packed_whole(const rte_mbuf& m) { return m.nb_segs > 1; }

// nullptr: not enough buffers are free.
[[nodiscard]] inline rte_mbuf* pack_whole(std::span<const std::uint8_t> whole,
                                          const CameInFragments& came, rte_mempool* pool) {
  rte_mbuf* const head = rte_pktmbuf_alloc(pool);
  if (head == nullptr) return nullptr;
  std::memcpy(rte_pktmbuf_mtod(head, void*), &came, sizeof came);
  head->data_len = sizeof came;
  head->pkt_len = sizeof came;
  rte_mbuf* last = head;
  do {
    rte_mbuf* const m = rte_pktmbuf_alloc(pool);
    if (m == nullptr) {
      rte_pktmbuf_free(head);
      return nullptr;
    }
    const std::size_t size = std::min<std::size_t>(whole.size(), rte_pktmbuf_tailroom(m));
    std::memcpy(rte_pktmbuf_mtod(m, void*), whole.data(), size);
    m->data_len = static_cast<std::uint16_t>(size);
    whole = whole.subspan(size);
    last->next = m;
    last = m;
    ++head->nb_segs;
    head->pkt_len += m->data_len;
  } while (!whole.empty());
  return head;
}

// Copies the packet to `out`. Returns its length.
[[nodiscard]] inline std::uint32_t unpack_whole(const rte_mbuf& packed, CameInFragments& came,
                                                std::span<std::uint8_t> out) {
  std::memcpy(&came, rte_pktmbuf_mtod(&packed, const void*), sizeof came);
  std::size_t at = 0;
  for (const rte_mbuf* m = packed.next; m != nullptr; m = m->next) {
    const std::size_t size = std::min<std::size_t>(m->data_len, out.size() - at);
    std::memcpy(out.data() + at, rte_pktmbuf_mtod(m, const void*), size);
    at += size;
  }
  return static_cast<std::uint32_t>(at);
}

}  // namespace synproxy::dataplane
