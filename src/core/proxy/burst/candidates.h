// SPDX-License-Identifier: BSD-3-Clause
// The frames of a burst that may become columns, sorted by family and shape.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "burst/columns.h"

namespace synproxy {

// For fewer frames, columns are slower than one frame at a time.
inline constexpr unsigned kFewestLanes = 4;
[[nodiscard]] inline bool has_fewest_lanes(std::uint32_t places) {
  for (unsigned i = 1; i < kFewestLanes; ++i) places &= places - 1;  // not every CPU counts bits
  return places != 0;
}

// Whether at least half of a burst is in `places`. Frames that no row knows are taken only then:
// where a burst mixes all kinds of packets, sorting them costs more than it saves.
[[nodiscard]] inline bool has_half(std::uint32_t places, std::size_t burst) {
  return 2 * static_cast<std::size_t>(std::popcount(places)) >= burst;
}

// What kinds of candidates there are. After a burst it says how the next one is to be sorted.
struct Kinds {
  bool ipv4 = false;
  bool ipv6 = false;
  bool tagged = false;

  // Which kind a frame is of cannot be predicted.
  [[nodiscard]] bool mixed() const { return tagged || (ipv4 && ipv6); }
};

// For each row the packets of a burst that may have its shape. A row is a shape and a family: the
// shapes of IPv4, and a row for any of them; then the same of IPv6.
template <std::size_t kShapes>
struct Candidates {
  static constexpr std::size_t kOfFamily = kShapes + 1;
  static constexpr std::size_t kRows = 2 * kOfFamily;
  std::array<std::uint32_t, kRows> places;
  std::uint32_t tagged = 0;  // of all these
  // Columns::frames of each place. Valid only if some are tagged.
  alignas(64) std::array<std::uint8_t*, kMaxBurst> frames;

  [[nodiscard]] static constexpr bool is_ipv6(std::size_t row) { return row >= kOfFamily; }
  [[nodiscard]] static constexpr std::size_t shape_of(std::size_t row) { return row % kOfFamily; }
  [[nodiscard]] static constexpr bool is_any(std::size_t row) { return shape_of(row) == kShapes; }
  [[nodiscard]] static constexpr std::size_t row_of(std::size_t shape, bool ipv6) {
    return shape + (ipv6 ? kOfFamily : 0);
  }
  [[nodiscard]] std::uint32_t of_family(bool ipv6) const {
    std::uint32_t any = 0;
    for (std::size_t shape = 0; shape < kOfFamily; ++shape) any |= places[row_of(shape, ipv6)];
    return any;
  }
  // `of_shape`: the packets of each shape, of both families; `all`: these and those of none.
  void set(const std::array<std::uint32_t, kShapes>& of_shape, std::uint32_t all,
           std::uint32_t ipv6) {
    std::uint32_t rest = all;
    for (std::size_t shape = 0; shape < kShapes; ++shape) {
      places[row_of(shape, false)] = of_shape[shape] & ~ipv6;
      places[row_of(shape, true)] = of_shape[shape] & ipv6;
      rest &= ~of_shape[shape];
    }
    places[row_of(kShapes, false)] = rest & ~ipv6;
    places[row_of(kShapes, true)] = rest & ipv6;
  }
  [[nodiscard]] Kinds kinds() const {
    return {.ipv4 = of_family(false) != 0, .ipv6 = of_family(true) != 0, .tagged = tagged != 0};
  }
  void leave_out(std::uint32_t some) {
    for (std::uint32_t& row : places) row &= ~some;
    tagged &= ~some;
  }
  // Where shapes are mixed, their groups would not be full, and how many there are would be
  // mispredicted. Then all go to the row for any shape. Its groups cost a little more than those of
  // a single shape. `always`: also where they are not mixed.
  void mix(bool always = false) {
    for (const bool ipv6 : {false, true}) {
      const std::uint32_t all = of_family(ipv6);
      if (all == 0) continue;
      std::uint32_t main = 0;
      for (std::size_t shape = 0; shape < kShapes; ++shape) {
        const std::uint32_t of_shape = places[row_of(shape, ipv6)];
        if (has_fewest_lanes(of_shape)) main = of_shape;
      }
      std::uint32_t& any = places[row_of(kShapes, ipv6)];
      if (!always && !has_fewest_lanes(all & ~main) && !has_fewest_lanes(any)) continue;
      for (std::size_t shape = 0; shape < kShapes; ++shape) places[row_of(shape, ipv6)] = 0;
      any = all;
    }
  }
  // Calls use(row) for each row that has enough for a group. Most bursts have one family, so the
  // other is left at once.
  template <typename Function>
  void for_each_group_row(Function&& use) const {
    for (const bool ipv6 : {false, true}) {
      if (of_family(ipv6) == 0) continue;
      for (std::size_t row = row_of(0, ipv6); row < row_of(kOfFamily, ipv6); ++row) {
        if (has_fewest_lanes(places[row])) use(row);
      }
    }
  }
  [[nodiscard]] bool has_group() const {
    bool any = false;
    for_each_group_row([&](std::size_t) { any = true; });
    return any;
  }

  // The same where what is left of both families may share a group: calls use(row, some) with as
  // many of a row as fill whole groups, and returns the rest of all rows. If there is one family,
  // use(row, some) gets all, and the rest is 0.
  template <typename Function>
  std::uint32_t for_each_full_row(Function&& use) const {
    const bool both = of_family(false) != 0 && of_family(true) != 0;
    std::uint32_t rest = 0;
    for (std::size_t row = 0; row < kRows; ++row) {
      const std::uint32_t some = both ? full_groups(places[row]) : places[row];
      if (has_fewest_lanes(some)) use(row, some);
      if (both) rest |= places[row] & ~some;
    }
    return rest;
  }
  // Whether it would call use(), or return enough for a group.
  [[nodiscard]] bool has_full_row_or_rest() const {
    bool any = false;
    const std::uint32_t rest = for_each_full_row([&](std::size_t, std::uint32_t) { any = true; });
    return any || has_fewest_lanes(rest);
  }

 private:
  [[nodiscard]] static std::uint32_t full_groups(std::uint32_t of) {
    const auto over = static_cast<unsigned>(std::popcount(of)) % Columns::kLanes;
    for (unsigned i = 0; i < over; ++i) of &= ~std::bit_floor(of);
    return of;
  }
};

// After a look for groups in vain, the next bursts are not looked at: in a flood of shapes made at
// random each look would mispredict, and all other traffic need not pay for it. A group that is
// missed goes through the stages for all packets.
class GroupWatch {
 public:
  // Whether to look at this burst. To be asked once per burst.
  [[nodiscard]] bool looks() {
    if (pause_ == 0) return true;
    --pause_;
    return false;
  }
  void note(bool found) { pause_ = found ? 0 : kPause; }

 private:
  static constexpr std::uint8_t kPause = 7;  // bursts
  std::uint8_t pause_ = 0;
};

}  // namespace synproxy
