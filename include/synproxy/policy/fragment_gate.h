// SPDX-License-Identifier: BSD-3-Clause
// Decides which fragments are put together when more come than should be.
//
// Theory of operation. To put a fragment together costs several times as much as to drop it, and
// every host of the Internet can send one. So each millisecond has a budget. Known sources
// (known_sources.h) have their own. For strangers, a window of their places on a circle is let
// through, as wide as the share that the budget affords, as SynShedder does for SYNs. A packet
// needs all of its fragments, so a draw for each fragment would let next to no packet through. So
// the window stands still for 64 ms, which all fragments of a packet share. Then it jumps by the
// golden ratio of the circle, so that a sender that repeats itself soon meets it. The first packet
// of a sender that reaches a connection makes the sender known.
//
// One source cannot use up the budget: sources that agree in a few bits of the hash have a limit of
// their own. What comes above that limit does not narrow the window either.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace synproxy {

class FragmentGate {
 public:
  // Fragments per millisecond. Strangers: 1.5 Gbit/s of full size, enough for the first packets of
  // many thousand new clients, for some percent of a CPU. Known ones: 12 Gbit/s.
  static constexpr std::uint32_t kStrangers = 128;
  static constexpr std::uint32_t kKnown = 1024;
  // Of one source.
  static constexpr std::uint32_t kOneStranger = kStrangers / 2;
  static constexpr std::uint32_t kOneKnown = kKnown / 4;

  // `source`: fragment_source().
  [[nodiscard]] bool admits(std::uint64_t source, bool known, std::uint64_t now_ms) {
    if (now_ms != ms_) turn(now_ms);
    if (++of_one_[source % kParts] > (known ? kOneKnown : kOneStranger)) return false;
    if (known) return known_++ < kKnown;
    ++arrived_;
    if (static_cast<std::uint32_t>(source >> 32) - window_ > share_) return false;
    return strangers_++ < kStrangers;
  }

 private:
  static constexpr std::size_t kParts = 64;
  static constexpr std::uint32_t kWhole = 0xffffffff;
  static constexpr unsigned kStandsLog = 6;                  // 64 ms
  static constexpr std::uint32_t kGoldenRatio = 0x9e3779b9;  // of the circle
  static constexpr unsigned kMean = 8;                       // milliseconds that the mean is over

  void turn(std::uint64_t now_ms) {
    // In the milliseconds between nothing came, or nobody looked.
    const auto passed =
        std::max<std::uint64_t>(1, std::min<std::uint64_t>(now_ms - ms_, std::uint64_t{8} * kMean));
    for (std::uint64_t i = 0; i < passed; ++i) mean_ += arrived_ / passed - mean_ / kMean;
    // The window aims below the limit: at the limit, chance would cut packets in two.
    constexpr std::uint64_t kAfforded = std::uint64_t{kStrangers} * 3 / 4 * kMean;
    share_ = mean_ <= kAfforded ? kWhole : static_cast<std::uint32_t>(kWhole * kAfforded / mean_);
    window_ = static_cast<std::uint32_t>(now_ms >> kStandsLog) * kGoldenRatio;
    ms_ = now_ms;
    arrived_ = strangers_ = known_ = 0;
    of_one_ = {};
  }

  std::uint64_t ms_ = 0;
  std::uint32_t arrived_ = 0;    // strangers' fragments, in this millisecond
  std::uint32_t strangers_ = 0;  // of those, let through
  std::uint32_t known_ = 0;
  std::uint64_t mean_ = 0;  // of `arrived_`, times kMean
  std::uint32_t share_ = kWhole;
  std::uint32_t window_ = 0;
  std::array<std::uint32_t, kParts> of_one_{};
};

}  // namespace synproxy
