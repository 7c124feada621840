// SPDX-License-Identifier: BSD-3-Clause
#include "syn/syn_burst.h"

#include "burst/lane_look_up.h"
#include "burst/rooms.h"

namespace synproxy {
namespace {

constexpr std::uint32_t kHeaders = kEthernetHeader + kIpv4Header + kTcpHeader;
// Full ones, and one of each shape that is not.
constexpr std::size_t kGroups = kMaxBurst / SynGroup::kLanes + kSynShapes - 1;

// By the 16 bits of offset and flags. A SYN that asks for ECN is not common.
constexpr std::uint16_t offset_and_syn(SynShape s) {
  return static_cast<std::uint16_t>((kTcpHeader + options_in(s)) / 4 << 12 | kSyn);
}

constexpr std::uint8_t offer_needed(SynShape s) {
  return s == SynShape::kLinux     ? kOffersTimestamps | kOffersSack
         : s == SynShape::kWindows ? kOffersSack
                                   : 0;
}

// By shape, which packets may be of it, as far as a few bytes tell.
using Candidates = std::array<std::uint32_t, kSynShapes>;
Candidates sort_by_shape(std::span<const Packet> burst) {
  Candidates found{};
  for (std::size_t i = 0; i < burst.size(); ++i) {
    const Packet& p = burst[i];
    // The flags first: most packets are no SYNs, and pay for this look.
    if (p.length < kHeaders) continue;
    const auto offset_and_flags = load_be<std::uint16_t>(p.data + 46);
    if ((offset_and_flags & 0xfffU) != kSyn || !fits_columns(p) ||
        p.checksum == ChecksumHint::kBad) {
      continue;
    }
    for (const SynShape shape : {SynShape::kLinux, SynShape::kWindows, SynShape::kBare}) {
      const bool fits =
          offset_and_flags == offset_and_syn(shape) && p.length >= kHeaders + options_in(shape);
      found[static_cast<std::size_t>(shape)] |= std::uint32_t{fits} << i;
    }
  }
  return found;
}

struct Group {
  SynGroup columns;
  LaneLookUp::Hashes hashes;
  std::uint32_t lanes = 0;  // that will be answered
  SynShape shape = SynShape::kLinux;
};

class SynBurst {
 public:
  SynBurst(Rooms& rooms, std::span<Packet> burst) : rooms_(rooms), burst_(burst), look_up_(rooms) {}

  std::uint32_t run(const Candidates& found) {
    for (const SynShape shape : {SynShape::kLinux, SynShape::kWindows, SynShape::kBare})
      gather(shape, found[static_cast<std::size_t>(shape)]);
    for (std::size_t i = 0; i < count_; ++i) answer(groups_[i]);
    rooms_.answerer.repeats().pass_over(syns_);
    rooms_.counters.count(Reason::syn_received, syns_);
    rooms_.counters.count(Reason::synack_sent, syns_);
    return answered_;
  }

 private:
  [[nodiscard]] const SynKernel& kernel(SynShape shape) const {
    return (*rooms_.syn_kernels)[static_cast<std::size_t>(shape)];
  }

  void gather(SynShape shape, std::uint32_t places) {
    while (has_fewest_lanes(places)) {
      Group& g = groups_[count_++];
      g.shape = shape;
      const std::uint32_t used = take_lanes(g.columns, burst_, places);
      const std::uint32_t sound = kernel(shape).verify(g.columns, used);
      g.lanes = look_up_.begin(g.columns, sound, g.hashes,
                               [&](std::size_t lane, const SynAckOffer& offer) {
                                 g.columns.offers[lane] = offer;
                                 return offer.has(offer_needed(shape));
                               });
    }
  }

  // A SYN that may have a flow goes the way of the others.
  void answer(const Group& g) {
    const std::uint32_t lanes = look_up_.without_flow(g.hashes, g.lanes);
    if (lanes == 0) return;
    const EpochKeys& keys = *rooms_.now.keys().current();
    const LayoutKey& key = key_of_layout(keys, g.shape == SynShape::kLinux);
    kernel(g.shape).answer(g.columns, lanes, key, keys.epoch & 1U);
    for_each_lane(lanes, [&](std::size_t lane) {
      Packet& p = burst_[g.columns.places[lane]];
      p.length = kHeaders + options_out(g.shape);
      p.verdict = Verdict::kReply;
      answered_ |= 1U << g.columns.places[lane];
      ++syns_;
    });
  }

  Rooms& rooms_;
  const std::span<Packet> burst_;
  LaneLookUp look_up_;
  std::size_t count_ = 0;
  std::uint32_t answered_ = 0;  // bit by place
  std::uint32_t syns_ = 0;      // how many of them
  std::array<Group, kGroups> groups_;
};

}  // namespace

std::uint32_t answer_syn_burst(Rooms& rooms, std::span<Packet> burst) {
  if (rooms.syn_kernels == nullptr || burst.size() < kFewestLanes) return 0;
  // While SYN-ACKs are remembered there are few.
  if (rooms.now.keys().current() == nullptr || rooms.answerer.repeats().open(rooms.now.ms32()))
    return 0;
  const Candidates found = sort_by_shape(burst);
  return has_fewest_lanes_of_any(found) ? SynBurst(rooms, burst).run(found) : 0;
}

}  // namespace synproxy
