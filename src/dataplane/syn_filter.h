// SPDX-License-Identifier: BSD-3-Clause
// Socket filters (classic BPF) that part the SYNs of an interface from everything else.
//
// Theory of operation. A Linux interface has one queue for all, so a flood fills it and segments of
// connections are lost with the SYNs; and to read a SYN only to shed it is most of the cost of
// answering it. Two packet sockets with these filters are two queues: one gets SYNs to what is
// protected, the other all else. The filter of the first also sheds: a keyed hash of the source is
// its place on a circle, and only SYNs in a window of the circle are taken (shed.h says why a
// window, and why it turns). What is shed costs the reader nothing.
//
// Every frame is taken by exactly one of the two filters, or is shed. A frame that is not plainly a
// SYN (fragments, extension headers, more than one tag, a cut header) counts as anything else: a
// filter decides where a frame waits, never what becomes of it.
#pragma once

#include <linux/filter.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "synproxy/policy/protect.h"

namespace synproxy::dataplane {

using SocketFilter = std::vector<sock_filter>;

// Sources whose place lies in the `share` (of 2^32; all ones: everybody) behind `edge`.
struct SourceWindow {
  static constexpr std::uint32_t kWhole = 0xffffffffU;
  std::array<std::uint32_t, 3> key{};  // random, so that nobody can aim at the window
  std::uint32_t edge = 0;
  std::uint32_t share = kWhole;
};

// The kernel looks at one rule after the other.
inline constexpr std::size_t kMostFilterRules = 64;
// Both throw std::length_error if there are more rules.
[[nodiscard]] SocketFilter syn_filter(std::span<const ProtectRule> protect,
                                      const SourceWindow& window);
[[nodiscard]] SocketFilter all_but_syns_filter(std::span<const ProtectRule> protect);

}  // namespace synproxy::dataplane
