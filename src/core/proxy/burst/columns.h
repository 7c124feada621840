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

// The tags that columns see. Of a frame with more tags than a connection may have they see no IP
// header, and leave it alone.
namespace detail {
[[nodiscard]] inline unsigned is_tag(std::uint16_t raw_type) {
  return static_cast<unsigned>(raw_type == be16(kEtherTypeVlan).raw()) |
         static_cast<unsigned>(raw_type == be16(kEtherTypeQinQ).raw());
}
}  // namespace detail
// The bytes that the tags take, 0, 4 or 8. For a frame of at least kUsualHeaders bytes. Nothing
// branches on its content.
[[nodiscard]] inline unsigned tag_bytes(const std::uint8_t* frame) {
  static_assert(sizeof(std::uint64_t) == kMaxVlanTags * kVlanTag);
  const auto tags = load_raw<std::uint64_t>(frame + ether_at::kType);
  const unsigned one = detail::is_tag(static_cast<std::uint16_t>(tags));
  const unsigned two = detail::is_tag(static_cast<std::uint16_t>(tags >> 8 * kVlanTag)) & one;
  return static_cast<unsigned>(kVlanTag) * (one + two);
}

// Whether IPv6 follows tags of so many bytes, in a frame of at least kUsualHeaders bytes.
[[nodiscard]] inline bool is_ipv6_behind(const Packet& p, unsigned tags) {
  constexpr std::uint16_t kType = be16(kEtherTypeIpv6).raw();
  return load_raw<std::uint16_t>(p.data + tags + ether_at::kType) == kType;
}
// Checks what the kernels do not check themselves: the frame has tags of so many bytes and is of
// that family, unicast, long enough for a TCP header, and its buffer has room for the bytes that
// are touched.
[[nodiscard]] inline bool fits_columns(const Packet& p, bool ipv6, unsigned tags) {
  constexpr std::uint16_t kIpv4 = be16(kEtherTypeIpv4).raw();
  constexpr std::uint16_t kIpv6 = be16(kEtherTypeIpv6).raw();
  const std::size_t shift = shift_of(ipv6) + tags;
  return p.length >= kUsualHeaders + shift && p.length <= kMaxFrame &&
         p.room >= columns::kMostRead + shift &&
         load_raw<std::uint16_t>(p.data + tags + ether_at::kType) == (ipv6 ? kIpv6 : kIpv4) &&
         is_unicast(p.data);
}

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

// For each row the packets of a burst that may have its shape. A row is a shape and a family: the
// shapes of IPv4, and a row for any of them; then the same of IPv6.
template <std::size_t kShapes>
struct Candidates {
  static constexpr std::size_t kOfFamily = kShapes + 1;
  static constexpr std::size_t kRows = 2 * kOfFamily;
  std::array<std::uint32_t, kRows> places{};
  std::uint32_t tagged = 0;  // of all these

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

// Moves the first packets of `places` into the lanes, as many as fit. Bit i of the result: lane i
// is used. `tagged`: those that have tags.
[[nodiscard]] inline std::uint32_t take_lanes(Columns& c, std::span<const Packet> burst,
                                              std::uint32_t& places, std::uint32_t tagged) {
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
      c.frames[lane] += tag_bytes(c.frames[lane]);
    }
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
