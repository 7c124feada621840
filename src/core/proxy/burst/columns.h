// SPDX-License-Identifier: BSD-3-Clause
// Eight frames of one shape side by side. Holds what the kernels compute for all eight at once
// (columns_avx512.h) and what is looked up for each.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>

#include "synproxy/base/packet.h"
#include "synproxy/proxy/offers.h"
#include "synproxy/wire/bytes.h"
#include "synproxy/wire/option_list.h"
#include "synproxy/wire/usual_frame.h"

namespace synproxy {

// The arrays are columns. Element i belongs to lane i, the i-th frame.
struct Columns {
  static constexpr std::size_t kLanes = 8;
  // So many bytes of each frame are read and written, whatever its shape. With more options,
  // reading goes on to their end.
  static constexpr std::uint32_t kTouched = 74;

  template <typename T>
  using Column = std::array<T, kLanes>;

  Column<std::uint8_t*> frames;  // an unused lane repeats another one
  Column<std::uint8_t> places;   // index in the burst
  // Filled by the kernel that verifies the shape:
  alignas(64) Column<std::uint64_t> addresses;  // FlowIdentity::addresses
  alignas(64) Column<std::uint64_t> ports;      // FlowIdentity::ports_and_vlan
  alignas(64) Column<ServiceName> service;
};

// A frame is read in two halves of kHalf bytes. The first starts at kFirstHalf; the second ends at
// the end of the options, and not before kTouched.
namespace columns {
inline constexpr std::size_t kHalf = 32;
inline constexpr std::size_t kFirstHalf = kEthernetHeader;
[[nodiscard]] constexpr std::size_t second_half(std::size_t option_bytes) {
  return std::max<std::size_t>(Columns::kTouched, usual_at::kOptions + option_bytes) - kHalf;
}
// With more options there would be a gap between the halves.
inline constexpr std::size_t kMostOptionBytes = kFirstHalf + 2 * kHalf - usual_at::kOptions;
static_assert(second_half(kMostOptionBytes) == kFirstHalf + kHalf);
}  // namespace columns

// The bits that all frames of one shape have in common.
using FramePattern = BytePattern<usual_at::kOptions + columns::kMostOptionBytes>;

// The pattern of a usual frame with these options. Only the flags in `flag_bits` are compared.
[[nodiscard]] constexpr FramePattern usual_frame_with(const OptionList& options,
                                                      std::uint16_t flags,
                                                      std::uint16_t flag_bits) {
  FramePattern p;
  p.fix_all(kUsualFrame);
  p.fix(usual_at::kOffsetAndFlags, tcp_offset_and_flags(kTcpHeader + options.bytes(), flags),
        static_cast<std::uint16_t>(kTcpOffsetBits | flag_bits));
  for (std::size_t i = 0; i < options.count; ++i) {
    const WordForm form = form_of(options.words[i]);
    p.fix(usual_at::kOptions + 4 * i, form.fixed, form.mask);
  }
  return p;
}

// Checks what the kernels do not check themselves: the frame is untagged IPv4, unicast, long enough
// for a TCP header, and its buffer has room for kTouched bytes.
[[nodiscard]] inline bool fits_columns(const Packet& p) {
  constexpr auto kType = kUsualFrame.word<std::uint16_t>(ether_at::kType);
  return has_usual_length(p.length) && p.room >= Columns::kTouched &&
         kType.difference(load_raw<std::uint16_t>(p.data + ether_at::kType)) == 0 &&
         is_unicast(p.data);
}

// For fewer frames, columns are slower than one frame at a time.
inline constexpr unsigned kFewestLanes = 4;
[[nodiscard]] inline bool has_fewest_lanes(std::uint32_t places) {
  for (unsigned i = 1; i < kFewestLanes; ++i) places &= places - 1;  // not every CPU counts bits
  return places != 0;
}

template <std::size_t kShapes>
[[nodiscard]] bool has_fewest_lanes_of_any(const std::array<std::uint32_t, kShapes>& by_shape) {
  bool any = false;
  for (const std::uint32_t places : by_shape) any = any || has_fewest_lanes(places);
  return any;
}

// Moves the first packets of `places` into the lanes, as many as fit. Bit i of the result: lane i
// is used.
[[nodiscard]] inline std::uint32_t take_lanes(Columns& c, std::span<const Packet> burst,
                                              std::uint32_t& places) {
  std::uint32_t used = 0;
  for (std::size_t lane = 0; lane < Columns::kLanes; ++lane) {
    c.places[lane] = c.places[0];
    if (places != 0) {
      c.places[lane] = static_cast<std::uint8_t>(std::countr_zero(places));
      places &= places - 1;
      used |= 1U << lane;
    }
    c.frames[lane] = burst[c.places[lane]].data;
  }
  return used;
}

template <typename Function>
inline void for_each_lane(std::uint32_t lanes, Function&& function) {
  for (; lanes != 0; lanes &= lanes - 1) {
    function(static_cast<std::size_t>(std::countr_zero(lanes)));
  }
}

}  // namespace synproxy
