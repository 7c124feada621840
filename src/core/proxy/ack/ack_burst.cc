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

// Judges by a few bytes. `kBoth`: looks for IPv6 too.
template <bool kBoth>
Rows sort_by_shape(std::span<const Packet> burst, std::uint32_t decided) {
  Rows found;
  for (std::size_t i = 0; i < burst.size(); ++i) {
    const Packet& p = burst[i];
    if ((decided >> i & 1U) != 0) continue;
    const bool ipv6 = kBoth && p.length >= kUsualHeaders && is_untagged_ipv6(p);
    if (!fits_columns(p, ipv6)) continue;
    const auto offset_and_flags =
        load_be<std::uint16_t>(p.data + usual_at::kOffsetAndFlags + shift_of(ipv6));
    if ((offset_and_flags & (kSyn | kRst | kAck)) != kAck) continue;
    const unsigned header = tcp_header_size(offset_and_flags);
    if (!lengths_fit(p, ipv6, header)) continue;
    for (std::size_t shape = 0; shape < kShapes; ++shape) {
      const bool fits = header == kAckShapes[shape].tcp_header;
      found.places[Rows::row_of(shape, ipv6)] |= std::uint32_t{fits} << i;
    }
  }
  return found;
}

struct Group {
  AckGroup columns;
  LaneLookUp::Hashes hashes;
  std::uint32_t lanes;
  std::uint32_t may_be_stripped;  // lanes without timestamps whose service gives them
  ScaleSet scales;                // those that any of the lanes' services may have offered
  std::size_t row;

  [[nodiscard]] const AckShape& shape() const { return kAckShapes[row % kShapes]; }
};

class AckBurst {
 public:
  AckBurst(Rooms& rooms, std::span<const Packet> burst)
      : rooms_(rooms),
        burst_(burst),
        look_up_(rooms, burst),
        spared_left_(rooms.answerer.stripped_tries().left(rooms.now.ms())) {}

  std::uint32_t run(const Rows& found) {
    found.for_each_group_row([&](std::size_t row) {
      Rows::is_ipv6(row) ? gather<true>(row, found.places[row])
                         : gather<false>(row, found.places[row]);
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
  [[gnu::noinline]] void gather(std::size_t row, std::uint32_t places) {
    do {
      Group& g = groups_[count_++];
      g.row = row;
      g.scales = 0;
      g.may_be_stripped = 0;
      const bool plain = !g.shape().timestamps;
      const std::uint32_t used = take_lanes(g.columns, burst_, places);
      const std::uint32_t sound = kernel(row).verify(g.columns, used);
      const auto use = [&](std::size_t lane, const SynAckOffer& offer) {
        g.scales |= offer.scales;
        const bool gives = plain && offer.has(kOffersTimestamps);
        g.may_be_stripped |= std::uint32_t{gives} << lane;
        return true;
      };
      g.lanes = look_up_.begin<kIpv6>(g.columns, sound, g.hashes, use);
    } while (has_fewest_lanes(places));
  }

  void refute(const Group& g) {
    const std::uint32_t lanes = look_up_.without_flow(g.hashes, g.lanes);
    if (lanes == 0) return;
    const KeysByParity keys = keys_to_check(rooms_.now, g.shape().timestamps);
    if (keys[0] == nullptr && keys[1] == nullptr) {
      return for_each_lane(lanes,
                           [&](std::size_t lane) { refuted_ |= 1U << g.columns.places[lane]; });
    }
    for_each_lane(spare_some(g, kernel(g.row).refute(g.columns, lanes, keys, g.scales)),
                  [&](std::size_t lane) { refuted_ |= 1U << g.columns.places[lane]; });
  }

  // Leaves some lanes to the stage that tries them as ACKs whose timestamps were taken away. It
  // spends the budget; here no more are left to it than that allows.
  [[nodiscard]] std::uint32_t spare_some(const Group& g, std::uint32_t refuted) {
    std::uint32_t maybe = refuted & g.may_be_stripped;
    for (; maybe != 0 && spared_left_ != 0; --spared_left_, maybe &= maybe - 1) {
      refuted &= ~(maybe & (~maybe + 1));
    }
    return refuted;
  }

  Rooms& rooms_;
  const std::span<const Packet> burst_;
  LaneLookUp look_up_;
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
  const Rows found =
      rooms.ipv6_acks ? sort_by_shape<true>(burst, decided) : sort_by_shape<false>(burst, decided);
  rooms.ipv6_acks = found.any_of(true);
  const bool group = found.has_group();
  rooms.ack_groups.note(group);
  return group ? AckBurst(rooms, burst).run(found) : 0;
}

}  // namespace synproxy
