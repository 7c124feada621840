// SPDX-License-Identifier: BSD-3-Clause
#include "ack/ack_burst.h"

#include <tuple>

#include "burst/lane_look_up.h"
#include "burst/rooms.h"

namespace synproxy {
namespace {

constexpr std::size_t kShapes = kAckShapes.size();
using Rows = AckRows;
constexpr std::size_t kOfBoth = Rows::kRows;  // the kernel, behind those of the rows
static_assert(kOfBoth + 1 == std::tuple_size_v<AckKernels>);
constexpr std::size_t kGroups = kMaxBurst / Columns::kLanes + Rows::kRows - 1;

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

// Whether the IP length of a frame for columns fits the frame and holds the TCP header.
bool lengths_fit(const Packet& p, bool ipv6, std::size_t tcp_header) {
  if (!ipv6) {
    const std::size_t total = load_be<std::uint16_t>(p.data + usual_at::kTotalLength);
    return usual_lengths_fit(total, tcp_header, p.length);
  }
  const std::size_t tcp =
      load_be<std::uint16_t>(p.data + kEthernetHeader + ipv6_at::kPayloadLength);
  return tcp_header >= kTcpHeader && tcp >= tcp_header &&
         kIpv6Header + tcp <= p.length - kEthernetHeader;
}

// Does what the sorter does, for frames without tags: in a flood of one kind each branch here is
// predicted, and it costs less. `kIpv6`: looks for ACKs of both families.
template <bool kIpv6>
void sort_predicted(std::span<const Packet> burst, Rows& found) {
  found.places = {};
  for (std::size_t i = 0; i < burst.size(); ++i) {
    const Packet& p = burst[i];
    if (p.length < kUsualHeaders) continue;
    const bool ipv6 = kIpv6 && is_ipv6(p);
    if (!fits_columns(p, ipv6)) continue;
    const std::uint8_t* tcp = p.data + shift_of(ipv6) + usual_at::kTcp;
    const auto offset_and_flags = load_be<std::uint16_t>(tcp + tcp_at::kOffsetAndFlags);
    if ((offset_and_flags & (kSyn | kRst | kAck)) != kAck) continue;
    const unsigned header = tcp_header_size(offset_and_flags);
    if (!lengths_fit(p, ipv6, header)) continue;
    const std::size_t shape =
        shape_of(tcp + tcp_at::kOptions, header, std::make_index_sequence<kShapes>());
    found.places[Rows::row_of(shape, ipv6)] |= 1U << i;
  }
}

struct Sorted {
  Rows rows;
  std::uint32_t timestamps = 0;  // the places of those that have the shape with timestamps
  std::uint32_t any_shape = 0;   // ... that are of no shape
};

void sort(const Rooms& rooms, std::span<const Packet> burst, std::uint32_t decided, Sorted& found) {
  static_assert(kAckShapes[0].timestamps && !kAckShapes[1].timestamps && kShapes == 2);
  if (rooms.ack_kinds.mixed()) {
    rooms.kernels.ack_sorter->sort(burst, found.rows);
    // Where VLANs are paired, the tags are not those of the flow.
    if (rooms.vlans_paired) found.rows.leave_out(found.rows.tagged);
  } else {
    rooms.ack_kinds.ipv6 ? sort_predicted<true>(burst, found.rows)
                         : sort_predicted<false>(burst, found.rows);
  }
  auto& places = found.rows.places;
  if (decided != 0) found.rows.leave_out(decided);
  std::array<std::uint32_t*, 2> any{&places[Rows::row_of(kShapes, false)],
                                    &places[Rows::row_of(kShapes, true)]};
  // An ACK that is signed may be forwarded.
  const bool signed_pass = rooms.now.tuning().forward_tcp_auth;
  if (signed_pass ||
      !has_half(found.rows.of_family(false) | found.rows.of_family(true), burst.size())) {
    *any[0] = *any[1] = 0;
  }
  found.timestamps = places[Rows::row_of(0, false)] | places[Rows::row_of(0, true)];
  found.any_shape = *any[0] | *any[1];
  found.rows.mix();
}

struct Group {
  AckGroup columns;
  LaneLookUp::Hashes hashes;
  std::uint32_t lanes;
  std::uint32_t may_be_stripped;  // lanes whose service gives timestamps and that may have none
  ScaleSet scales;                // those that any of the lanes' services may have offered
  std::size_t row;                // or kOfBoth
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
    const std::uint32_t rest =
        found.rows.for_each_full_row([&](std::size_t row, std::uint32_t some) {
          Rows::is_ipv6(row) ? gather<Of::kIpv6>(row, some, found)
                             : gather<Of::kIpv4>(row, some, found);
        });
    if (has_fewest_lanes(rest)) gather<Of::kBoth>(kOfBoth, rest, found);
    for (std::size_t i = 0; i < count_; ++i) refute(groups_[i]);
    return refuted_;
  }

 private:
  // `kernel`: a row, or kOfBoth.
  [[nodiscard]] const AckKernel& kernel(std::size_t kernel) const {
    return (*rooms_.kernels.acks)[kernel];
  }
  [[nodiscard]] static bool has_any_options(std::size_t kernel) {
    return kernel == kOfBoth || Rows::is_any(kernel);
  }

  enum class Of : std::uint8_t { kIpv4, kIpv6, kBoth };
  // noinline: one copy of the code for all rows of a family.
  template <Of kOf>
  [[gnu::noinline]] void gather(std::size_t row, std::uint32_t places, const Sorted& found) {
    do {
      Group& g = groups_[count_++];
      g.row = row;
      g.scales = 0;
      g.may_be_stripped = 0;
      const bool plain = has_any_options(row) || !kAckShapes[Rows::shape_of(row)].timestamps;
      const std::uint32_t used =
          take_lanes(g.columns, burst_, places, found.rows.tagged, found.rows.frames);
      if constexpr (kOf == Of::kBoth) {
        g.columns.ipv6_lanes = lanes_of(g.columns, found.rows.of_family(true));
      }
      if (has_any_options(row)) {
        g.columns.timestamps_there = used & lanes_of(g.columns, found.timestamps);
        g.columns.unknown = used & lanes_of(g.columns, found.any_shape);
      }
      const std::uint32_t sound = kernel(row).verify(g.columns, used);
      const auto use = [&](std::size_t lane, const SynAckOffer& offer) {
        g.scales |= offer.scales;
        const bool gives = plain && offer.has(kOffersTimestamps);
        g.may_be_stripped |= std::uint32_t{gives} << lane;
        return true;
      };
      if constexpr (kOf == Of::kBoth) {
        g.lanes = look_up_.begin_both(g.columns, sound, g.hashes, use);
      } else {
        g.lanes = look_up_.begin<kOf == Of::kIpv6>(g.columns, sound, g.hashes, use);
      }
    } while (places != 0);
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
    if (has_any_options(g.row)) {
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
  if (rooms.kernels.acks == nullptr || rooms.acks_refuted < kFewestLanes ||
      !rooms.ack_groups.looks()) {
    return 0;
  }
  Sorted found;
  sort(rooms, burst, decided, found);
  rooms.ack_kinds = found.rows.kinds();
  const bool group = found.rows.has_full_row_or_rest();
  rooms.ack_groups.note(group);
  return group ? AckBurst(rooms, burst).run(found) : 0;
}

}  // namespace synproxy
