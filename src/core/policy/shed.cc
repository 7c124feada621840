// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/shed.h"

namespace synproxy {
namespace {

// 3/16 of 2^32 in 1,000 ms.
constexpr std::uint64_t kTurnPerMs = (std::uint64_t{1} << 32) * 3 / 16 / 1000;
constexpr unsigned kKeyShift = 16;  // 65,536 ms of one key

std::uint64_t folded_product(std::uint64_t a, std::uint64_t b) {
  __extension__ using Uint128 = unsigned __int128;
  const auto product = static_cast<Uint128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

}  // namespace

SynShedder::SynShedder(const Key& key, std::size_t memory_lines)
    : key_(key), memory_(memory_lines), epoch_key_(key[0]) {}

void SynShedder::tick(std::uint64_t now_ms, const News& news) {
  control_.step(now_ms, news.refused, news.ran_empty);
  memory_.set_time(now_ms, news.behind);
  turned_ = static_cast<std::uint32_t>(now_ms * kTurnPerMs);
  epoch_key_ = key_[0] + folded_product(now_ms >> kKeyShift, key_[1] | 1U);
}

// The first round is a product of two keyed words, as in index_hash.h. With IPv4 one of them never
// changes, so a second round follows.
SynShedder::Hash SynShedder::hash_of(const SynIdentity& syn) const {
  const std::uint64_t source = folded_product(syn.source[0] + epoch_key_, syn.source[1] + key_[1]);
  const std::uint64_t place = folded_product(source ^ key_[2], key_[3] | 1U);
  return {static_cast<std::uint32_t>(place >> 32),
          folded_product(place ^ key_[3], syn.start ^ key_[2])};
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
    const bool inside = h.place - turned_ <= share;
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
