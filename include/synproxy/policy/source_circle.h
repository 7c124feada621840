// SPDX-License-Identifier: BSD-3-Clause
// The places of source addresses on a circle, by a keyed hash, and the turn of the window that lets
// some of them through (shed.h).
//
// The hash is keyed because an attacker who knew the places could aim a flood at the window. An
// attacker with many real addresses can watch which of them are answered when, so the key changes
// every 65 s and the hash is not linear in the address.
#pragma once

#include <array>
#include <cstdint>

#include "synproxy/base/wide_product.h"
#include "synproxy/wire/bytes.h"

namespace synproxy {

using SourceWords = std::array<std::uint64_t, 2>;  // an address; IPv4: the first word alone
[[nodiscard]] inline SourceWords source_words(const std::uint8_t* address, bool ipv6) {
  if (!ipv6) return {load_raw<std::uint32_t>(address), 0};
  return {load_raw<std::uint64_t>(address), load_raw<std::uint64_t>(address + 8)};
}

class SourceCircle {
 public:
  using Key = std::array<std::uint64_t, 4>;
  // What the window has turned in a millisecond: 3/16 of 2^32 in a second.
  static constexpr std::uint64_t kTurnPerMs = (std::uint64_t{1} << 32) * 3 / 16 / 1000;

  explicit SourceCircle(const Key& key) : key_(key), epoch_key_(key[0]) {}

  void set_time(std::uint64_t now_ms) {
    constexpr unsigned kKeyShift = 16;  // 65,536 ms of one key
    turned_ = static_cast<std::uint32_t>(now_ms * kTurnPerMs);
    epoch_key_ = key_[0] + folded_product(now_ms >> kKeyShift, key_[1] | 1U);
  }
  // The upper half is the place. The first round is a product of two keyed words, as in
  // index_hash.h. With IPv4 one of them never changes, so a second round follows.
  [[nodiscard]] std::uint64_t hash_of(const SourceWords& source) const {
    const std::uint64_t first = folded_product(source[0] + epoch_key_, source[1] + key_[1]);
    return folded_product(first ^ key_[2], key_[3] | 1U);
  }
  [[nodiscard]] static std::uint32_t place_of(std::uint64_t hash) {
    return static_cast<std::uint32_t>(hash >> 32);
  }
  // How far the place lies behind the edge of the window.
  [[nodiscard]] std::uint32_t behind_edge(std::uint32_t place) const { return place - turned_; }

 private:
  const Key key_;
  std::uint32_t turned_ = 0;
  std::uint64_t epoch_key_;
};

}  // namespace synproxy
