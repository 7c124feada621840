// SPDX-License-Identifier: BSD-3-Clause
#include "ack/ack_burst.h"

#include "burst/lane_look_up.h"
#include "burst/rooms.h"

namespace synproxy {
namespace {

constexpr std::size_t kRows = kAckShapes.size();
constexpr std::size_t kGroups = kMaxBurst / Columns::kLanes + kRows - 1;

// For each row the packets that may have its shape, judged by a few bytes. Their IP length fits the
// frame and holds the TCP header.
using Candidates = std::array<std::uint32_t, kRows>;
Candidates sort_by_shape(std::span<const Packet> burst, std::uint32_t decided) {
  Candidates found{};
  for (std::size_t i = 0; i < burst.size(); ++i) {
    const Packet& p = burst[i];
    if ((decided >> i & 1U) != 0 || !fits_columns(p)) continue;
    const auto offset_and_flags = load_be<std::uint16_t>(p.data + usual_at::kOffsetAndFlags);
    if ((offset_and_flags & (kSyn | kRst | kAck)) != kAck) continue;
    const std::size_t total = load_be<std::uint16_t>(p.data + usual_at::kTotalLength);
    const unsigned header = tcp_header_size(offset_and_flags);
    if (!usual_lengths_fit(total, header, p.length)) continue;
    for (std::size_t row = 0; row < kRows; ++row) {
      const bool fits = header == kAckShapes[row].tcp_header;
      found[row] |= std::uint32_t{fits} << i;
    }
  }
  return found;
}

struct Group {
  AckGroup columns;
  LaneLookUp::Hashes hashes;
  std::uint32_t lanes = 0;
  std::uint32_t may_be_stripped = 0;  // lanes without timestamps whose service gives them
  ScaleSet scales = 0;                // those that any of the lanes' services may have offered
  std::size_t row = 0;
};

class AckBurst {
 public:
  AckBurst(Rooms& rooms, std::span<const Packet> burst)
      : rooms_(rooms),
        burst_(burst),
        look_up_(rooms, burst),
        spared_left_(rooms.answerer.stripped_tries().left(rooms.now.ms())) {}

  std::uint32_t run(const Candidates& found) {
    for (std::size_t row = 0; row < kRows; ++row) {
      if (has_fewest_lanes(found[row])) gather(row, found[row]);
    }
    for (std::size_t i = 0; i < count_; ++i) refute(groups_[i]);
    return refuted_;
  }

 private:
  [[nodiscard]] const AckKernel& kernel(std::size_t row) const {
    return (*rooms_.ack_kernels)[row];
  }

  // noinline: one copy of the code for all rows.
  [[gnu::noinline]] void gather(std::size_t row, std::uint32_t places) {
    do {
      Group& g = groups_[count_++];
      g.row = row;
      g.scales = 0;
      g.may_be_stripped = 0;
      const bool plain = !kAckShapes[row].timestamps;
      const std::uint32_t used = take_lanes(g.columns, burst_, places);
      const std::uint32_t sound = kernel(row).verify(g.columns, used);
      g.lanes = look_up_.begin(g.columns, sound, g.hashes,
                               [&](std::size_t lane, const SynAckOffer& offer) {
                                 g.scales |= offer.scales;
                                 const bool gives = plain && offer.has(kOffersTimestamps);
                                 g.may_be_stripped |= std::uint32_t{gives} << lane;
                                 return true;
                               });
    } while (has_fewest_lanes(places));
  }

  void refute(const Group& g) {
    const std::uint32_t lanes = look_up_.without_flow(g.hashes, g.lanes);
    if (lanes == 0) return;
    KeysByParity keys{};
    for (unsigned parity = 0; parity < 2; ++parity) {
      const EpochKeys* of_epoch = rooms_.now.keys_to_check(parity);
      if (of_epoch == nullptr) continue;
      keys[parity] = &key_of_layout(*of_epoch, kAckShapes[g.row].timestamps);
    }
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
  std::uint32_t refuted_ = 0;  // bit by place
  std::array<Group, kGroups> groups_;
};

}  // namespace

std::uint32_t refute_ack_burst(Rooms& rooms, std::span<const Packet> burst, std::uint32_t decided) {
  if (rooms.ack_kernels == nullptr || rooms.acks_refuted < kFewestLanes) {
    return 0;
  }
  const Candidates found = sort_by_shape(burst, decided);
  return has_fewest_lanes_of_any(found) ? AckBurst(rooms, burst).run(found) : 0;
}

}  // namespace synproxy
