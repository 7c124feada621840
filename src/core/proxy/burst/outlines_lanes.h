// SPDX-License-Identifier: BSD-3-Clause
// The first look at a burst, eight frames at a time: tags, family, lengths, and the words of the
// TCP header that tell kinds and shapes apart. Nothing branches on the content of a frame, so a
// burst that mixes families, tags and kinds costs no more than another. sort_syns_lanes.h and
// sort_acks_lanes.h judge what is found here.
//
// Bounds: the first kHead bytes are read of frames that have at least kUsualHeaders. kTcpRead bytes
// of the TCP header are read of those that fits_columns() would take. In place of all other frames
// zeros are read, which fit nothing.
//
// Behind ../lanes/avx2.h or ../lanes/avx512.h.
#pragma once

#include <algorithm>
#include <bit>

#include "burst/candidates.h"
#include "burst/columns_lanes.h"
#include "synproxy/base/packet.h"

#if defined(__x86_64__)
namespace synproxy::SYNPROXY_ISA {

struct Outlines {
  Mask fit;  // fits_columns(); in other lanes nothing else means anything
  Mask ipv6;
  Mask tagged;
  Mask bad_sum;      // ChecksumHint::kBad
  U64x8 length;      // bytes of the frame
  U64x8 frames;      // Columns::frames
  U64x8 ip_end;      // offset of the end of the IP packet, as its header says
  U64x8 tcp;         // offset of the TCP header, if nothing stands between it and the IP header
  U64x8 tcp_header;  // bytes, as its header says
  U64x8 flags;       // the TCP header from byte kOffsetAndFlags on, raw
  U64x8 options;     // ... from byte kOptions on
  alignas(64) Columns::Column<const std::uint8_t*> tcp_rows;  // where it is read
};

constexpr std::size_t kHead = 32;
constexpr std::size_t kTcpRead = tcp_at::kOffsetAndFlags + 16;
static_assert(kHead <= kUsualHeaders && usual_at::kTcp + kTcpRead <= columns::kMostRead);

// A Packet is four words: where it is, its length and room, what is known of it, and its Arrival.
static_assert(sizeof(Packet) == 32 && offsetof(Packet, data) == 0 &&
              offsetof(Packet, length) == 8 && offsetof(Packet, room) == 12 &&
              offsetof(Packet, checksum) / 8 == 2);
struct PacketRows {
  const Packet* first;
  SYNPROXY_LANES const std::uint8_t* operator[](std::size_t i) const {
    return reinterpret_cast<const std::uint8_t*>(first + i);
  }
};

alignas(64) inline constexpr std::array<std::uint8_t, std::max(kHead, kTcpRead)> kZeros{};

// Where the heads are.
struct HeadRows {
  const Packet* first;
  SYNPROXY_LANES const std::uint8_t* operator[](std::size_t i) const {
    // The compiler would branch on the length.
    const std::uintptr_t chosen = std::uintptr_t{0} - (first[i].length >= kUsualHeaders ? 1U : 0U);
    const auto data = reinterpret_cast<std::uintptr_t>(first[i].data);
    const auto zeros = reinterpret_cast<std::uintptr_t>(kZeros.data());
    return std::bit_cast<const std::uint8_t*>((data & chosen) | (zeros & ~chosen));
  }
};

SYNPROXY_LANES Mask is_type(U64x8 raw_types, std::uint16_t type) {
  return equal(both(raw_types, all(0xffff)), all(be16(type).raw()));
}

// Of the packets first[0] to first[7]: all but what is read of the TCP header.
SYNPROXY_LANES void begin_outlines(const Packet* first, Outlines& o) {
  U64x8 p[4];
  load_columns(PacketRows{first}, 0, p);
  const U64x8 data = p[0];
  const U64x8 length = low(p[1]);
  constexpr std::uint64_t kHintShift = 8 * (offsetof(Packet, checksum) % 8);
  o.bad_sum = equal(both(p[2], all(0xffULL << kHintShift)),
                    all(static_cast<std::uint64_t>(ChecksumHint::kBad) << kHintShift));

  U64x8 head[kHead / 8];
  const Mask sized = at_most(at_least(length, kUsualHeaders), length, kMaxFrame);
  load_columns(HeadRows{first}, 0, head);
  constexpr std::uint64_t kGroup = std::uint64_t{kGroupAddress} << 8 * ether_at::kDestination |
                                   std::uint64_t{kGroupAddress} << 8 * ether_at::kSource;
  const Mask unicast = no_bit(head[0], all(kGroup));
  // Behind no tag, one and two.
  static_assert(ether_at::kType == 12 && kVlanTag == 4);
  const U64x8 first_type = high(head[1]);
  const Mask one = is_type(first_type, kEtherTypeVlan) | is_type(first_type, kEtherTypeQinQ);
  const Mask two = one & (is_type(head[2], kEtherTypeVlan) | is_type(head[2], kEtherTypeQinQ));
  const U64x8 third_type = high(head[2]);
  const U64x8 type = choose(two, choose(one, first_type, head[2]), third_type);
  const Mask ipv4 = is_type(type, kEtherTypeIpv4);
  o.ipv6 = is_type(type, kEtherTypeIpv6);
  o.tagged = one;
  const U64x8 tags = add(one_if(one, kVlanTag), one_if(two, kVlanTag));

  const U64x8 shift = add(tags, one_if(o.ipv6, kIpv6Shift));
  const auto shifted = [&](std::size_t bytes)
                           SYNPROXY_LANES_LAMBDA { return add(shift, all(bytes)); };
  const Mask whole = at_least(sized, length, shifted(kUsualHeaders));
  const Mask roomy = at_least(whole, high(p[1]), shifted(columns::kMostRead));
  o.fit = roomy & unicast & (ipv4 | o.ipv6);
  o.frames = add(data, tags);
  o.length = length;
  // IPv4 has the length of all in the first half of the word behind the type, IPv6 that of what
  // follows the header in the second.
  static_assert(ipv4_at::kTotalLength == 2 && ipv6_at::kPayloadLength == 4);
  const U64x8 lengths = choose(two, choose(one, head[2], third_type), head[3]);
  const U64x8 raw_length = both(choose(o.ipv6, lengths, down_by<16>(lengths)), all(0xffff));
  const U64x8 header = choose(o.ipv6, kEthernetHeader, kEthernetHeader + kIpv6Header);
  o.ip_end = add(add(tags, header), down_by<16>(swap_words(raw_length)));
  o.tcp = shifted(usual_at::kTcp);

  const auto zeros = reinterpret_cast<std::uintptr_t>(kZeros.data());
  store(reinterpret_cast<std::uint64_t*>(o.tcp_rows.data()),
        choose(o.fit, all(zeros), add(data, o.tcp)));
}
SYNPROXY_LANES void end_outlines(Outlines& o) {
  U64x8 t[2];
  load_two_columns(o.tcp_rows, tcp_at::kOffsetAndFlags, t);
  assign(o.flags, t[0]);
  assign(o.options, t[1]);
  assign(o.tcp_header, up_by<2>(both(down_by<4>(t[0]), all(15))));
}

SYNPROXY_LANES void put_frames(std::array<std::uint8_t*, kMaxBurst>& to, std::size_t place,
                               U64x8 frames) {
  store(reinterpret_cast<std::uint64_t*>(to.data()) + place, frames);
}

// Sorts a burst by family and shape, up to kMaxBurst packets. judge(outlines, note) returns which
// of eight frames are candidates, and calls note(shape, lanes) for those that have the shape.
// Behind the end of the burst there are packets without a byte.
//
// Where the TCP header begins is known only when the first bytes have come. So all heads are read
// before the first of them.
template <std::size_t kShapes, typename Judge>
SYNPROXY_LANES void sort_outlines(std::span<const Packet> burst, Candidates<kShapes>& found,
                                  Judge&& judge) {
  constexpr std::size_t kMost = kMaxBurst / kLanes;
  std::array<Outlines, kMost> all_outlines;
  const std::size_t full = burst.size() / kLanes;
  for (std::size_t i = 0; i < full; ++i) {
    begin_outlines(burst.data() + i * kLanes, all_outlines[i]);
  }
  std::size_t count = full;
  if (full * kLanes != burst.size()) {
    std::array<Packet, kLanes> rest{};
    std::copy(burst.begin() + static_cast<std::ptrdiff_t>(full * kLanes), burst.end(),
              rest.begin());
    begin_outlines(rest.data(), all_outlines[count++]);
  }
  std::array<std::uint32_t, kShapes> of_shape{};
  std::uint32_t candidates = 0;
  std::uint32_t ipv6 = 0;
  for (std::size_t i = 0; i < count; ++i) {
    Outlines& o = all_outlines[i];
    const std::size_t place = i * kLanes;
    end_outlines(o);
    put_frames(found.frames, place, o.frames);
    const Mask some = judge(o, [&](std::size_t shape, Mask lanes) SYNPROXY_LANES_LAMBDA {
      of_shape[shape] |= bits(lanes) << place;
    });
    candidates |= bits(some) << place;
    ipv6 |= bits(o.ipv6) << place;
    found.tagged |= bits(some & o.tagged) << place;
  }
  found.set(of_shape, candidates, ipv6);
}

}  // namespace synproxy::SYNPROXY_ISA
#endif
