// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/server_places.h"

#include "synproxy/base/wide_product.h"
#include "synproxy/wire/bytes.h"

namespace synproxy {
namespace {

using Debt = std::atomic<std::uint32_t>;
constexpr std::uint32_t kMostDebt = ServerPlaces::kLevels * ServerPlaces::kTurnMs;

// Milliseconds until the debt is paid. What is farther away was paid long ago. 0: there was none.
std::uint32_t owed(std::uint32_t paid_ms, std::uint32_t now_ms) {
  const std::uint32_t ahead = paid_ms - now_ms;
  return paid_ms == 0 || ahead > kMostDebt ? 0 : ahead;
}

std::uint64_t leading(std::uint64_t word, unsigned bits) {
  return bits == 0 ? 0 : word & ~std::uint64_t{0} << (64 - std::min(bits, 64U));
}

}  // namespace

ServerPlaces::ServerPlaces(const Key& key)
    : key_(key),
      entries_(kServices * sizeof(Entry), Mapping::Kind::kSparse),
      debts_(kPrefixes * sizeof(Debt), Mapping::Kind::kSparse) {
  static_assert(kMostBound < 1U << kBoundBits);
  static_assert(kTagShift + 18 == 64);
}

std::uint64_t ServerPlaces::service_of(const KeyView& key) const {
  const std::uint64_t where = key.identity.ports_and_vlan & ~std::uint64_t{0xffff};
  std::uint64_t high = key.identity.addresses >> 32;
  std::uint64_t low = 0;
  if (key.ipv6()) {
    high = load_raw<std::uint64_t>(key.server);
    low = load_raw<std::uint64_t>(key.server + 8);
  }
  const std::uint64_t first = folded_product(high + key_[0], where + key_[1]);
  return folded_product(first ^ key_[2], (low ^ first >> 32) + (key_[3] | 1U));
}

// Not used for 16 to 32 s: a worker with somebody waiting would have used it. The time of one
// worker may be behind that of another.
bool ServerPlaces::is_free(std::uint64_t word, std::uint64_t now_ms) {
  constexpr std::uint32_t kSkew = 4;
  if (word == 0) return true;
  const std::uint32_t age =
      (field(used_at(now_ms), kUsedShift, kUsedBits) - field(word, kUsedShift, kUsedBits)) &
      ((1U << kUsedBits) - 1);
  return taken_in(word) == 0 && age > 1 && age < (1U << kUsedBits) - kSkew;
}

void ServerPlaces::touch(std::uint32_t slot, std::uint64_t now_ms) {
  constexpr std::uint64_t kMask = ((std::uint64_t{1} << kUsedBits) - 1) << kUsedShift;
  const std::uint64_t used = used_at(now_ms);
  std::uint64_t seen = load(slot);
  while ((seen & kMask) != used && !entry(slot).word.compare_exchange_weak(
                                       seen, (seen & ~kMask) | used, std::memory_order_relaxed)) {
  }
}

// Racing workers may give one service two entries. The next search takes the first of them, so the
// other one is empty as soon as its connections are answered.
std::uint32_t ServerPlaces::find(std::uint64_t service, std::uint64_t now_ms) {
  const auto line = static_cast<std::uint32_t>(service & (kServices / kWays - 1));
  const std::uint64_t tag = (service >> kTagShift | 1U) << kTagShift;
  for (;;) {
    std::uint32_t free_slot = kServices;
    std::uint64_t free_word = 0;
    for (std::uint32_t slot = line * kWays; slot < (line + 1) * kWays; ++slot) {
      const std::uint64_t word = load(slot);
      if (word >> kTagShift == tag >> kTagShift) return slot;
      if (free_slot != kServices || !is_free(word, now_ms)) continue;
      free_slot = slot;
      free_word = word;
    }
    if (free_slot == kServices) return kServices;
    if (entry(free_slot).word.compare_exchange_strong(free_word, tag | used_at(now_ms),
                                                      std::memory_order_relaxed)) {
      entry(free_slot).halved_ms.store(0, std::memory_order_relaxed);
      return free_slot;
    }
  }
}

ServerPlaces::Answer ServerPlaces::look(std::uint64_t service, std::uint64_t now_ms,
                                        const ServerBacklog& bound) {
  Answer a;
  a.slot = find(service, now_ms);
  if (a.slot == kServices) return a;
  const std::uint64_t word = load(a.slot);
  const std::uint32_t most = bound_in(word, bound);
  a.full = taken_in(word) >= most;
  a.busy = (taken_in(word) + 1) * 2 >= most;
  return a;
}

bool ServerPlaces::take(std::uint32_t slot, std::uint64_t now_ms, const ServerBacklog& bound) {
  std::uint64_t seen = load(slot);
  do {
    if (taken_in(seen) >= bound_in(seen, bound)) return false;
  } while (!entry(slot).word.compare_exchange_weak(seen, seen + kOne, std::memory_order_relaxed));
  touch(slot, now_ms);
  return true;
}

// Another worker may have set it since; then it stays as that one has set it.
void ServerPlaces::set_learned(std::uint32_t slot, std::uint32_t from, std::uint32_t to) {
  constexpr std::uint64_t kMask = ((std::uint64_t{1} << kBoundBits) - 1) << kBoundShift;
  std::uint64_t seen = load(slot);
  while (learned_in(seen) == from &&
         !entry(slot).word.compare_exchange_weak(
             seen, (seen & ~kMask) | std::uint64_t{to} << kBoundShift, std::memory_order_relaxed)) {
  }
}

void ServerPlaces::raise(std::uint32_t slot) {
  const std::uint32_t bound = learned_in(load(slot));
  if (bound < kMostBound) set_learned(slot, bound, bound + 1);
}

bool ServerPlaces::silent(std::uint32_t slot, std::uint32_t asked_ms, std::uint32_t now_ms) {
  std::uint32_t halved = entry(slot).halved_ms.load(std::memory_order_relaxed);
  if (halved != 0 && static_cast<std::int32_t>(asked_ms - halved) < 0) return false;
  if (!entry(slot).halved_ms.compare_exchange_strong(halved, std::max(now_ms, 1U),
                                                     std::memory_order_relaxed)) {
    return false;
  }
  const std::uint32_t bound = learned_in(load(slot));
  if (bound <= kLeastBound) return false;
  set_learned(slot, bound, std::max(bound / 2, kLeastBound));
  return true;
}

std::uint32_t ServerPlaces::take_turn(std::uint64_t service, const std::uint8_t* source, bool ipv6,
                                      const SourceMask& mask, std::uint32_t now_ms) {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  if (ipv6) {
    high = leading(load_be<std::uint64_t>(source), mask.ipv6);
    low = mask.ipv6 > 64 ? leading(load_be<std::uint64_t>(source + 8), mask.ipv6 - 64U) : 0;
  } else {
    high = leading(std::uint64_t{load_be<std::uint32_t>(source)} << 32, mask.ipv4);
  }
  const std::uint64_t first = folded_product(high + key_[1], (low ^ service) + key_[2]);
  const std::uint64_t hash = folded_product(first ^ key_[0], (low + service) ^ (key_[3] | 1U));
  auto* const debts = static_cast<Debt*>(debts_.data());
  Debt& a = debts[hash % kPrefixes];
  Debt& b = debts[(hash >> 32) % kPrefixes];
  const std::uint32_t owed_a = owed(a.load(std::memory_order_relaxed), now_ms);
  const std::uint32_t owed_b = owed(b.load(std::memory_order_relaxed), now_ms);
  const std::uint32_t before = std::min(owed_a, owed_b);
  const std::uint32_t after = std::min(before + kTurnMs, kMostDebt);
  if (owed_a < after) a.store(std::max(now_ms + after, 1U), std::memory_order_relaxed);
  if (owed_b < after) b.store(std::max(now_ms + after, 1U), std::memory_order_relaxed);
  return std::min((before + kTurnMs - 1) / kTurnMs, kLevels - 1);
}

}  // namespace synproxy
