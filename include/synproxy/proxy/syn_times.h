// SPDX-License-Identifier: BSD-3-Clause
// When SYNs were answered, so that a valid ACK tells how long its client has waited.
//
// A cookie has no room for a time, so the times stand here: of all SYNs while these are few, else
// of a sample. The MAC of the cookie chooses the sample: it is random, nobody can choose it, and a
// SYN that is sent again has the same one. So in a flood of random addresses the same share of
// genuine clients is followed as of forged SYNs, and of such a client all SYNs are. The ACK finds
// the time by the same MAC. Only a client that has proven itself is looked up, and only if its MAC
// was of the sample lately.
//
// The share of the sample follows the rate, by halves: about 16 SYNs in a millisecond at most, and
// 128 if they are always the same. In each place of 64 bytes the newest eight stay, which is four
// seconds then.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace synproxy {

class SynTimes {
 public:
  static constexpr std::uint32_t kWindowMs = 16;
  static constexpr std::uint32_t kMostInWindow = 256;  // different SYNs
  // Few enough to cost nothing, and so many that a SYN in a loop does not crowd out others.
  static constexpr std::uint32_t kMostLooks = 8 * kMostInWindow;
  static constexpr unsigned kMostHalvings = 16;
  // What is older answers nothing any more.
  static constexpr std::uint32_t kMemoryMs = 64'000;
  // No client sends its SYN again sooner; a copy that comes earlier was made on the path.
  static constexpr std::uint32_t kSoonestRepeatMs = 200;

  struct Wait {
    std::uint32_t ms = 0;       // since the first SYN-ACK
    std::uint32_t repeats = 0;  // SYNs that came again meanwhile
  };

  // Throws std::bad_alloc.
  SynTimes() : places_(new Place[kPlaces]) {}

  // Whether the SYN with this MAC is one of the sample: none of these bits is set.
  [[nodiscard]] std::uint64_t left_out() const { return left_out_; }
  [[nodiscard]] bool follows(std::uint64_t mac) const { return (mac & left_out_) == 0; }

  // A SYN that it follows is answered. True: it had come before. `now_ms`: of the worker's clock
  // modulo 2^32, everywhere.
  bool answered(std::uint64_t mac, std::uint32_t now_ms) {
    if (++looks_ > kMostLooks) leave_out_half();
    Place& place = place_of(mac);
    if (Entry* e = find(place, mac, now_ms); e != nullptr) {
      if (age(*e, now_ms) < kSoonestRepeatMs) return false;
      if (*e < kMostRepeats) *e += kOneRepeat;
      return true;
    }
    if (++in_window_ > kMostInWindow) leave_out_half();
    *oldest(place, now_ms) = std::uint64_t{now_ms & kTimeMask} << kTimeShift | tag_of(mac);
    return false;
  }

  // Whether the SYN of a cookie with this MAC may have been followed.
  [[nodiscard]] bool may_have_followed(std::uint64_t mac) const { return (mac & unasked_) == 0; }
  void prefetch(std::uint64_t mac) const {
    if (may_have_followed(mac)) __builtin_prefetch(&place_of(mac), 1);
  }
  // A client has proven itself by the cookie with this MAC. nullopt: its SYN was not followed.
  [[nodiscard]] std::optional<Wait> proven(std::uint64_t mac, std::uint32_t now_ms) {
    Entry* e = may_have_followed(mac) ? find(place_of(mac), mac, now_ms) : nullptr;
    if (e == nullptr) return std::nullopt;
    const Wait wait{.ms = age(*e, now_ms), .repeats = static_cast<std::uint32_t>(*e >> 56)};
    *e = 0;
    return wait;
  }

  // Call about every millisecond.
  void tick(std::uint32_t now_ms) {
    if (now_ms - window_began_ms_ < kWindowMs) return;
    window_began_ms_ = now_ms;
    if (!grew_ && in_window_ < kMostInWindow / 4 && looks_ < kMostLooks / 4) left_out_ <<= 1;
    in_window_ = 0;
    looks_ = 0;
    grew_ = false;
    ask_less();
  }

 private:
  // Tag in the lower half, of which bit 0 is set; 24 bits of milliseconds; 8 of repeats. 0: free.
  using Entry = std::uint64_t;
  struct alignas(64) Place {
    std::array<Entry, 8> entries{};
  };
  static constexpr std::size_t kPlaces = 1U << 13;
  static constexpr std::uint32_t kWindowsToAskLess = 16;  // a quarter of a second
  static constexpr unsigned kTimeShift = 32;
  static constexpr std::uint32_t kTimeMask = 0x00ffffff;
  static constexpr Entry kOneRepeat = Entry{1} << 56;
  static constexpr Entry kMostRepeats = Entry{255} << 56;
  static constexpr std::uint64_t kFirstHalving = 1ULL << 63;
  static constexpr std::uint64_t kLastHalving = 1ULL << (64 - kMostHalvings);

  void leave_out_half() {
    in_window_ = 0;
    looks_ = 0;
    grew_ = true;
    if ((left_out_ & kLastHalving) == 0) left_out_ = left_out_ >> 1 | kFirstHalving;
  }
  // Follows left_out_: at once where that has become less, otherwise by halves, each later than
  // most clients take to answer.
  void ask_less() {
    unasked_ &= left_out_;
    if (unasked_ == left_out_ || ++windows_ < kWindowsToAskLess) return;
    windows_ = 0;
    unasked_ = unasked_ >> 1 | kFirstHalving;
  }
  // Below the bits that choose the sample.
  [[nodiscard]] Place& place_of(std::uint64_t mac) const { return places_[(mac >> 32) % kPlaces]; }
  [[nodiscard]] static std::uint32_t tag_of(std::uint64_t mac) {
    return static_cast<std::uint32_t>(mac) | 1U;
  }
  [[nodiscard]] static std::uint32_t age(Entry e, std::uint32_t now_ms) {
    return (now_ms - static_cast<std::uint32_t>(e >> kTimeShift)) & kTimeMask;
  }
  [[nodiscard]] static Entry* find(Place& place, std::uint64_t mac, std::uint32_t now_ms) {
    for (Entry& e : place.entries) {
      if (static_cast<std::uint32_t>(e) == tag_of(mac)) {
        return age(e, now_ms) < kMemoryMs ? &e : nullptr;
      }
    }
    return nullptr;
  }
  [[nodiscard]] static Entry* oldest(Place& place, std::uint32_t now_ms) {
    Entry* found = place.entries.data();
    for (Entry& e : place.entries) {
      if (e == 0) return &e;
      if (age(e, now_ms) > age(*found, now_ms)) found = &e;
    }
    return found;
  }

  std::uint64_t left_out_ = 0;
  std::uint64_t unasked_ = 0;    // likewise, of ACKs
  std::uint32_t windows_ = 0;    // since that was last halved
  std::uint32_t in_window_ = 0;  // different SYNs
  std::uint32_t looks_ = 0;      // all of them
  std::uint32_t window_began_ms_ = 0;
  bool grew_ = false;
  std::unique_ptr<Place[]> places_;
};

}  // namespace synproxy
