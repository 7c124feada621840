// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/shed.h"

namespace synproxy {

SynShedder::SynShedder(const Key& key, std::size_t memory_lines)
    : key_(key), circle_(key), memory_(memory_lines) {}

void SynShedder::tick(std::uint64_t now_ms, const News& news) {
  control_.step(now_ms, news.refused, news.ran_empty);
  memory_.set_time(now_ms, news.behind);
  circle_.set_time(now_ms);
}

SynShedder::Hash SynShedder::hash_of(const SynIdentity& syn) const {
  const std::uint64_t source = circle_.hash_of(syn.source);
  return {SourceCircle::place_of(source), folded_product(source ^ key_[3], syn.start ^ key_[2])};
}

std::uint32_t SynShedder::let_through(std::span<const SynIdentity> syns) {
  struct Question {
    Hash hash;
    std::uint32_t bit;
  };
  std::array<Question, kMaxBurst + 1> questions;
  std::size_t asked = 0;
  std::uint32_t through = 0;
  const std::uint32_t share = control_.share();
  const std::size_t n = syns.size() < kMaxBurst ? syns.size() : kMaxBurst;
  for (std::size_t i = 0; i < n; ++i) {
    const Hash h = hash_of(syns[i]);
    const bool inside = circle_.behind_edge(h.place) <= share;
    through |= std::uint32_t{inside} << i;
    // Always stored, but kept only if there is something to ask: no branch to mispredict.
    questions[asked] = {h, std::uint32_t{1} << i};
    asked += !inside && memory_.concerns(h.place) ? 1 : 0;
  }
  for (std::size_t i = 0; i < asked; ++i) memory_.prefetch(questions[i].hash.mark);
  for (std::size_t i = 0; i < asked; ++i) {
    const Question& q = questions[i];
    through |= memory_.asked_again(q.hash.place, q.hash.mark) ? q.bit : 0;
  }
  return through;
}

}  // namespace synproxy
