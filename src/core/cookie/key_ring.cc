// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/cookie/key_ring.h"

#include <stdexcept>

namespace synproxy {

namespace {

constexpr std::uint64_t kEmpty = ~0ULL;  // no clock gives an epoch that large
constexpr unsigned kTightBits = 1;

[[nodiscard]] bool usable(const LayoutKey& key) {
  return (key.k0 | key.k1) != 0 && (key.multiplier & 1U) != 0;
}

}  // namespace

// Words are stored with release and loaded with acquire. So a reader that sees any word of a newer
// epoch also sees an empty or newer slot when it looks at `epoch` for the second time. If the epoch
// is the same before and after, the words belong to it, because an epoch is only ever published
// with one set of keys. On x86 these are plain moves.
void KeyRing::publish(const EpochKeys& keys) {
  if (!usable(keys.timestamps) || !usable(keys.plain) || keys.epoch == kEmpty) {
    throw std::invalid_argument("unusable epoch keys");
  }
  Slot& slot = slots_[keys.epoch % slots_.size()];
  slot.epoch.store(kEmpty, std::memory_order_relaxed);
  const KeyWords words = words_of(keys);
  for (std::size_t i = 0; i < slot.words.size(); ++i) {
    slot.words[i].store(words[i], std::memory_order_release);
  }
  slot.epoch.store(keys.epoch, std::memory_order_release);
}

bool KeyRing::read(std::uint64_t epoch, EpochKeys& out) const {
  const Slot& slot = slots_[epoch % slots_.size()];
  if (epoch == kEmpty || slot.epoch.load(std::memory_order_acquire) != epoch) {
    return false;
  }
  KeyWords words{};
  for (std::size_t i = 0; i < slot.words.size(); ++i) {
    words[i] = slot.words[i].load(std::memory_order_acquire);
  }
  if (slot.epoch.load(std::memory_order_relaxed) != epoch) {
    return false;
  }
  out = epoch_keys(epoch, words);
  return true;
}

bool KeyRing::settle_tight(std::uint64_t epoch, bool wish) const {
  std::atomic<std::uint64_t>& settled = slots_[epoch % slots_.size()].settled;
  std::uint64_t seen = settled.load(std::memory_order_relaxed);
  while (seen >> kTightBits != epoch) {
    if (seen != kEmpty && seen >> kTightBits > epoch) return false;  // the slot is a newer epoch's
    const std::uint64_t now = epoch << kTightBits | (wish ? 1U : 0U);
    // Nothing else is published with the word, so it needs no order.
    if (settled.compare_exchange_weak(seen, now, std::memory_order_relaxed)) return wish;
  }
  return (seen & 1U) != 0;
}

bool KeyRing::is_tight(std::uint64_t epoch) const {
  const Slot& slot = slots_[epoch % slots_.size()];
  return slot.settled.load(std::memory_order_relaxed) == (epoch << kTightBits | 1U);
}

void KeyRing::clear() {
  for (Slot& slot : slots_) {
    slot.epoch.store(kEmpty, std::memory_order_relaxed);
    for (std::atomic<std::uint64_t>& word : slot.words) {
      word.store(0, std::memory_order_release);
    }
  }
}

}  // namespace synproxy
