// SPDX-License-Identifier: BSD-3-Clause
#include "ack/ack_burst.h"

#include <tuple>

#include "burst/lane_look_up.h"
#include "burst/rooms.h"

namespace synproxy {
namespace {

constexpr std::size_t kShapes = kAckShapes.size();
using Rows = Candidates<kShapes>;
static_assert(Rows::kRows == std::tuple_size_v<AckKernels>);
constexpr std::size_t kGroups = kMaxBurst / Columns::kLanes + Rows::kRows - 1;

// Whether the IP length of a frame for columns fits the frame and holds the TCP header.
bool lengths_fit(const Packet& p, bool ipv6, unsigned tags, std::size_t tcp_header) {
  const std::uint8_t* frame = p.data + tags;
  const std::size_t length = p.length - tags;
  if (!ipv6) {
    const std::size_t total = load_be<std::uint16_t>(frame + usual_at::kTotalLength);
    return usual_lengths_fit(total, tcp_header, length);
  }
  const std::size_t tcp = load_be<std::uint16_t>(frame + kEthernetHeader + ipv6_at::kPayloadLength);
  return tcp_header >= kTcpHeader && tcp >= tcp_header &&
         kIpv6Header + tcp <= length - kEthernetHeader;
}

template <std::size_t kShape>
bool has_shape(const std::uint8_t* options, unsigned tcp_header) {
  return (static_cast<unsigned>(tcp_header == kAckShapes[kShape].tcp_header) &
          static_cast<unsigned>(is_list<kAckShapes[kShape].options>(options))) != 0;
}
// The shape of a TCP header; kShapes: another. Of shorter headers more is read than there is.
template <std::size_t... kShape>
std::size_t shape_of(const std::uint8_t* options, unsigned tcp_header,
                     std::index_sequence<kShape...>) {
  std::size_t shape = kShapes;
  ((shape = has_shape<kShape>(options, tcp_header) ? kShape : shape), ...);
  return shape;
}

struct Sorted {
  Rows rows;
  std::uint32_t timestamps = 0;  // the places of those that have the shape with timestamps
  std::uint32_t any_shape = 0;   // ... that are of no shape
};

// Judges by a few bytes. `any_options`: takes ACKs of no row too.
template <bool kIpv6, bool kTags>
Sorted sort_by_shape(std::span<const Packet> burst, std::uint32_t decided, bool any_options) {
  static_assert(kAckShapes[0].timestamps && !kAckShapes[1].timestamps && kShapes == 2);
  Sorted found;
  const std::size_t most = any_options ? kShapes : kShapes - 1;
  for (std::size_t i = 0; i < burst.size(); ++i) {
    const Packet& p = burst[i];
    if ((decided >> i & 1U) != 0 || p.length < kUsualHeaders) continue;
    const unsigned tags = kTags ? tag_bytes(p.data) : 0;
    const bool ipv6 = kIpv6 && is_ipv6_behind(p, tags);
    if (!fits_columns(p, ipv6, tags)) continue;
    const std::uint8_t* tcp = p.data + tags + shift_of(ipv6) + usual_at::kTcp;
    const auto offset_and_flags = load_be<std::uint16_t>(tcp + tcp_at::kOffsetAndFlags);
    if ((offset_and_flags & (kSyn | kRst | kAck)) != kAck) continue;
    const unsigned header = tcp_header_size(offset_and_flags);
    if (!lengths_fit(p, ipv6, tags, header)) continue;
    const std::size_t shape =
        shape_of(tcp + tcp_at::kOptions, header, std::make_index_sequence<kShapes>());
    if (shape > most) continue;
    found.rows.places[Rows::row_of(shape, ipv6)] |= 1U << i;
    if (kTags) found.rows.tagged |= std::uint32_t{tags != 0} << i;
  }
  auto& places = found.rows.places;
  if (!has_half(found.rows.of_family(false) | found.rows.of_family(true), burst.size())) {
    places[Rows::row_of(kShapes, false)] = places[Rows::row_of(kShapes, true)] = 0;
  }
  found.timestamps = places[Rows::row_of(0, false)] | places[Rows::row_of(0, true)];
  found.any_shape = places[Rows::row_of(kShapes, false)] | places[Rows::row_of(kShapes, true)];
  found.rows.mix();
  return found;
}
Sorted sort(const Rooms& rooms, std::span<const Packet> burst, std::uint32_t decided) {
  // An ACK that is signed may be forwarded.
  const bool any_options = !rooms.now.tuning().forward_tcp_auth;
  if (rooms.tagged_acks) return sort_by_shape<true, true>(burst, decided, any_options);
  if (rooms.ipv6_acks) return sort_by_shape<true, false>(burst, decided, any_options);
  return sort_by_shape<false, false>(burst, decided, any_options);
}

struct Group {
  AckGroup columns;
  LaneLookUp::Hashes hashes;
  std::uint32_t lanes;
  std::uint32_t may_be_stripped;  // lanes whose service gives timestamps and that may have none
  ScaleSet scales;                // those that any of the lanes' services may have offered
  std::size_t row;
};

class AckBurst {
 public:
  AckBurst(Rooms& rooms, std::span<const Packet> burst)
      : rooms_(rooms),
        burst_(burst),
        look_up_(rooms, burst),
        keys_(rooms.now),
        spared_left_(rooms.answerer.stripped_tries().left(rooms.now.ms())) {}

  std::uint32_t run(const Sorted& found) {
    found.rows.for_each_group_row([&](std::size_t row) {
      Rows::is_ipv6(row) ? gather<true>(row, found) : gather<false>(row, found);
    });
    for (std::size_t i = 0; i < count_; ++i) refute(groups_[i]);
    return refuted_;
  }

 private:
  [[nodiscard]] const AckKernel& kernel(std::size_t row) const {
    return (*rooms_.ack_kernels)[row];
  }

  // noinline: one copy of the code for all rows of a family.
  template <bool kIpv6>
  [[gnu::noinline]] void gather(std::size_t row, const Sorted& found) {
    std::uint32_t places = found.rows.places[row];
    do {
      Group& g = groups_[count_++];
      g.row = row;
      g.scales = 0;
      g.may_be_stripped = 0;
      const bool plain = Rows::is_any(row) || !kAckShapes[Rows::shape_of(row)].timestamps;
      const std::uint32_t used = take_lanes(g.columns, burst_, places, found.rows.tagged);
      if (Rows::is_any(row)) {
        g.columns.timestamps_there = lanes_of(g.columns, used, found.timestamps);
        g.columns.unknown = lanes_of(g.columns, used, found.any_shape);
      }
      const std::uint32_t sound = kernel(row).verify(g.columns, used);
      const auto use = [&](std::size_t lane, const SynAckOffer& offer) {
        g.scales |= offer.scales;
        const bool gives = plain && offer.has(kOffersTimestamps);
        g.may_be_stripped |= std::uint32_t{gives} << lane;
        return true;
      };
      g.lanes = look_up_.begin<kIpv6>(g.columns, sound, g.hashes, use);
    } while (places != 0);
  }

  // The lanes of the packets in these places.
  [[nodiscard]] static std::uint32_t lanes_of(const Columns& c, std::uint32_t used,
                                              std::uint32_t places) {
    std::uint32_t lanes = 0;
    for (std::size_t lane = 0; lane < Columns::kLanes; ++lane) {
      lanes |= (places >> c.places[lane] & 1U) << lane;
    }
    return lanes & used;
  }

  void refute(const Group& g) {
    const std::uint32_t lanes = look_up_.without_flow(g.hashes, g.lanes);
    if (lanes == 0) return;
    if (keys_.plain[0] == nullptr && keys_.plain[1] == nullptr) {
      return for_each_lane(lanes,
                           [&](std::size_t lane) { refuted_ |= 1U << g.columns.places[lane]; });
    }
    for_each_lane(spare_some(g, kernel(g.row).refute(g.columns, lanes, keys_, g.scales)),
                  [&](std::size_t lane) { refuted_ |= 1U << g.columns.places[lane]; });
  }

  // Leaves some lanes to the stage that tries them as ACKs whose timestamps were taken away. It
  // spends the budget; here no more are left to it than that allows.
  [[nodiscard]] std::uint32_t spare_some(const Group& g, std::uint32_t refuted) {
    std::uint32_t maybe = refuted & g.may_be_stripped;
    if (maybe == 0 || spared_left_ == 0) return refuted;
    if (Rows::is_any(g.row)) {
      const std::uint32_t unknown = maybe & g.columns.unknown;
      maybe &= ~g.columns.timestamps_there;
      maybe &= ~kernel(g.row).may_have_timestamps(g.columns, unknown);
    }
    for (; maybe != 0 && spared_left_ != 0; --spared_left_, maybe &= maybe - 1) {
      refuted &= ~(maybe & (~maybe + 1));
    }
    return refuted;
  }

  Rooms& rooms_;
  const std::span<const Packet> burst_;
  LaneLookUp look_up_;
  const AckKeys keys_;
  unsigned spared_left_;
  std::size_t count_ = 0;
  std::uint32_t refuted_ = 0;          // bit by place
  std::array<Group, kGroups> groups_;  // the first count_ are in use
};

}  // namespace

KeysByParity keys_to_check(const Moment& now, bool timestamps) {
  KeysByParity keys{};
  for (unsigned parity = 0; parity < 2; ++parity) {
    const EpochKeys* of_epoch = now.keys_to_check(parity);
    if (of_epoch != nullptr) keys[parity] = &key_of_layout(*of_epoch, timestamps);
  }
  return keys;
}

std::uint32_t refute_ack_burst(Rooms& rooms, std::span<const Packet> burst, std::uint32_t decided) {
  if (rooms.ack_kernels == nullptr || rooms.acks_refuted < kFewestLanes ||
      !rooms.ack_groups.looks()) {
    return 0;
  }
  const Sorted found = sort(rooms, burst, decided);
  rooms.ipv6_acks = found.rows.of_family(true) != 0;
  rooms.tagged_acks = found.rows.tagged != 0;
  const bool group = found.rows.has_group();
  rooms.ack_groups.note(group);
  return group ? AckBurst(rooms, burst).run(found) : 0;
}

}  // namespace synproxy
