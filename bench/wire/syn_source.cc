// SPDX-License-Identifier: BSD-3-Clause
#include "syn_source.h"

#include <algorithm>
#include <random>
#include <stdexcept>

namespace synproxy::generator {
namespace {

// A few buffers, so that they stay in the nearest cache: the link copies a frame and gives its
// buffer back.
constexpr unsigned kBuffers = 1023;
constexpr std::uint16_t kRoom = RTE_PKTMBUF_HEADROOM + 128;

}  // namespace

SynSource::SynSource(const Step& step, bool timed)
    : ipv6_(step.ipv6),
      timed_(timed),
      interval_(step.rate > 0 ? static_cast<double>(rte_get_tsc_hz()) / step.rate : 0.0),
      stamp_(step.ipv6, offer_of(step)),
      pool_("syn", kBuffers, kRoom, stamp_.blank()),
      random_(std::random_device()()) {}

SynSource::~SynSource() { rte_pktmbuf_free_bulk(burst_.data(), ready_); }

std::uint16_t SynSource::room_by_plan(std::uint64_t at) const {
  const auto room = static_cast<std::uint16_t>(kBurst - ready_);
  if (interval_ == 0.0) return room;
  const double late = static_cast<double>(at) - due_;
  if (late < 0) return 0;
  return static_cast<std::uint16_t>(std::min<double>(room, late / interval_ + 1));
}

void SynSource::make(std::uint64_t at) {
  const std::uint16_t n = room_by_plan(at);
  if (n == 0) return;
  if (rte_pktmbuf_alloc_bulk(pool_.get(), burst_.data() + ready_, n) != 0) {
    throw std::runtime_error("the generator has no buffers left for SYNs");
  }
  const auto length = static_cast<std::uint16_t>(stamp_.blank().size());
  for (std::uint16_t i = 0; i < n; ++i) {
    rte_mbuf* m = burst_[ready_++];
    const std::uint64_t random = random_.next();
    const Tuple client{address_of(random, ipv6_, false),
                       static_cast<std::uint16_t>((random >> 32) | kFirstPort)};
    Numbers numbers = numbers_of(client);
    if (timed_) numbers.tsval = static_cast<std::uint32_t>(static_cast<std::uint64_t>(due_));
    due_ += interval_;
    stamp_.stamp(rte_pktmbuf_mtod(m, std::uint8_t*), client, numbers);
    m->data_len = length;
    m->pkt_len = length;
  }
}

void SynSource::taken(std::uint16_t n) {
  std::copy(burst_.begin() + n, burst_.begin() + ready_, burst_.begin());
  ready_ = static_cast<std::uint16_t>(ready_ - n);
}

}  // namespace synproxy::generator
