// SPDX-License-Identifier: BSD-3-Clause
// Holds frames that must not be lost on our side: they wait, in order, until the link takes them.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <vector>

#include "link.h"
#include "segment.h"

namespace synproxy::generator {

class Outbox {
 public:
  Outbox(Link& link, rte_mempool* pool) : link_(link), pool_(pool) { waiting_.reserve(4096); }
  ~Outbox() { rte_pktmbuf_free_bulk(waiting_.data() + first_, count()); }
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  void add(const Outgoing& segment) {
    rte_mbuf* m = rte_pktmbuf_alloc(pool_);
    if (m == nullptr) throw std::runtime_error("the generator has no packet buffers left");
    m->data_len = write_segment(rte_pktmbuf_mtod(m, std::uint8_t*), segment);
    m->pkt_len = m->data_len;
    waiting_.push_back(m);
  }
  [[nodiscard]] unsigned count() const { return static_cast<unsigned>(waiting_.size() - first_); }

  // Gives the oldest to the caller.
  [[nodiscard]] rte_mbuf* take() {
    rte_mbuf* m = waiting_[first_++];
    tidy();
    return m;
  }
  void send() {
    while (count() != 0) {
      const auto n = static_cast<std::uint16_t>(count() < kBurst ? count() : kBurst);
      const std::uint16_t accepted = link_.send(waiting_.data() + first_, n);
      first_ += accepted;
      if (accepted < n) break;
    }
    tidy();
  }

 private:
  void tidy() {
    if (first_ != waiting_.size()) return;
    waiting_.clear();
    first_ = 0;
  }

  Link& link_;
  rte_mempool* pool_;
  std::vector<rte_mbuf*> waiting_;
  std::size_t first_ = 0;
};

}  // namespace synproxy::generator
