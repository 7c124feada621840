// SPDX-License-Identifier: BSD-3-Clause
// Eight frames of one shape side by side. Holds what the kernels compute for all eight at once
// (columns_lanes.h) and what is looked up for each.
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
#include "synproxy/wire/vlan.h"

namespace synproxy {

// The arrays are columns. Element i belongs to lane i, the i-th frame.
struct Columns {
  static constexpr std::size_t kLanes = 8;
  // So many bytes of each frame are read and written, whatever its shape. With more options,
  // reading goes on to their end. Of an IPv6 frame they are kIpv6Shift more.
  static constexpr std::uint32_t kTouched = 74;

  template <typename T>
  using Column = std::array<T, kLanes>;

  // Where a frame would begin if it had no tags: kEthernetHeader bytes before its IP header. An
  // unused lane repeats another one.
  Column<std::uint8_t*> frames;
  Column<std::uint8_t> places;  // index in the burst
  // Some lanes have tags: `vlan` gets filled, and the frames begin at `starts`. Like all members it
  // has no initial value: groups that a burst does not need stay out of the cache.
  bool tagged;
  Column<std::uint8_t*> starts;
  // Filled by the kernel that verifies the shape:
  bool one_service;  // all lanes, also those that do not fit, are for the same one
  alignas(64) Column<std::uint64_t> addresses;  // FlowIdentity::addresses
  alignas(64) Column<std::uint64_t> ports;      // FlowIdentity::ports_and_vlan
  alignas(64) Column<ServiceName> service;
  // IPv6 only, raw: both words of the client's address, then of the server's.
  alignas(64) std::array<Column<std::uint64_t>, 4> ipv6;
  alignas(64) Column<std::uint64_t> vlan;  // VlanStack::packed
};

// Columns whose lanes may be of both families.
struct ColumnsOfBoth : Columns {
  std::uint32_t ipv6_lanes;  // bit by lane, also of those that repeat another one
  // The frames, kIpv6Shift bytes further on in these lanes, so that TCP headers stand side by side.
  Column<std::uint8_t*> shifted;
};

// The TCP header of an IPv6 frame lies so many bytes further on. What is said here of bytes behind
// the IP header of an IPv4 frame holds for an IPv6 frame that many bytes further on.
inline constexpr std::size_t kIpv6Shift = kIpv6Header - kIpv4Header;
[[nodiscard]] constexpr std::size_t shift_of(bool ipv6) { return ipv6 ? kIpv6Shift : 0; }

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
// Of a frame, whatever its shape is.
inline constexpr std::size_t kMostRead = usual_at::kOptions + kMostOptionBytes;
}  // namespace columns

// The bits that all frames of one shape have in common.
using FramePattern = BytePattern<usual_at::kOptions + columns::kMostOptionBytes>;

// The pattern of a TCP header with these options. Only the flags in `flag_bits` are compared.
[[nodiscard]] constexpr FramePattern tcp_with(const OptionList& options, std::uint16_t flags,
                                              std::uint16_t flag_bits) {
  FramePattern p;
  p.fix(usual_at::kOffsetAndFlags, tcp_offset_and_flags(kTcpHeader + options.bytes(), flags),
        static_cast<std::uint16_t>(kTcpOffsetBits | flag_bits));
  for (std::size_t i = 0; i < options.count; ++i) {
    const WordForm form = form_of(options.words[i]);
    p.fix(usual_at::kOptions + 4 * i, form.fixed, form.mask);
  }
  return p;
}
// The same of a usual frame.
[[nodiscard]] constexpr FramePattern usual_frame_with(const OptionList& options,
                                                      std::uint16_t flags,
                                                      std::uint16_t flag_bits) {
  FramePattern p = tcp_with(options, flags, flag_bits);
  p.fix_all(kUsualFrame);
  return p;
}

// Whether IPv6 follows no tag, in a frame of at least kUsualHeaders bytes.
[[nodiscard]] inline bool is_ipv6(const Packet& p) {
  constexpr std::uint16_t kType = be16(kEtherTypeIpv6).raw();
  return load_raw<std::uint16_t>(p.data + ether_at::kType) == kType;
}
// Checks what the kernels do not check themselves, for frames without tags: the frame is of that
// family, unicast, long enough for a TCP header, and its buffer has room for the bytes that are
// touched. outlines_lanes.h does the same for frames with tags.
[[nodiscard]] inline bool fits_columns(const Packet& p, bool ipv6) {
  constexpr std::uint16_t kIpv4 = be16(kEtherTypeIpv4).raw();
  constexpr std::uint16_t kIpv6 = be16(kEtherTypeIpv6).raw();
  const std::size_t shift = shift_of(ipv6);
  return p.length >= kUsualHeaders + shift && p.length <= kMaxFrame &&
         p.room >= columns::kMostRead + shift &&
         load_raw<std::uint16_t>(p.data + ether_at::kType) == (ipv6 ? kIpv6 : kIpv4) &&
         is_unicast(p.data);
}

// Moves the first packets of `places` into the lanes, as many as fit. Bit i of the result: lane i
// is used. `tagged`: those that have tags, and where each of them would begin without.
[[nodiscard]] inline std::uint32_t take_lanes(Columns& c, std::span<const Packet> burst,
                                              std::uint32_t& places, std::uint32_t tagged,
                                              std::span<std::uint8_t* const> frames) {
  const std::uint32_t before = places;
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
  c.tagged = (before & ~places & tagged) != 0;
  if (c.tagged) {
    for (std::size_t lane = 0; lane < Columns::kLanes; ++lane) {
      c.starts[lane] = c.frames[lane];
      c.frames[lane] = frames[c.places[lane]];
    }
  }
  return used;
}

// The lanes whose packets are in these places, also of those that repeat another one.
[[nodiscard]] inline std::uint32_t lanes_of(const Columns& c, std::uint32_t places) {
  std::uint32_t lanes = 0;
  for (std::size_t lane = 0; lane < Columns::kLanes; ++lane) {
    lanes |= (places >> c.places[lane] & 1U) << lane;
  }
  return lanes;
}

template <typename Function>
inline void for_each_lane(std::uint32_t lanes, Function&& function) {
  for (; lanes != 0; lanes &= lanes - 1) {
    function(static_cast<std::size_t>(std::countr_zero(lanes)));
  }
}

}  // namespace synproxy
