// SPDX-License-Identifier: BSD-3-Clause
#include "ack/ack_burst.h"

#include "burst/lane_look_up.h"
#include "burst/rooms.h"

namespace synproxy {
namespace {

constexpr std::size_t kGroups = kMaxBurst / Columns::kLanes + kAckShapes - 1;

// By shape, which packets may be of it, as far as a few bytes tell. Their IP length fits the frame
// and holds the TCP header.
using Candidates = std::array<std::uint32_t, kAckShapes>;
Candidates sort_by_shape(std::span<const Packet> burst, std::uint32_t decided) {
  Candidates found{};
  for (std::size_t i = 0; i < burst.size(); ++i) {
    const Packet& p = burst[i];
    if ((decided >> i & 1U) != 0 || !fits_columns(p)) continue;
    const std::uint32_t total = load_be<std::uint16_t>(p.data + 16);
    const std::uint32_t header = (p.data[46] >> 4) * 4U;
    const bool ack = (p.data[47] & (kSyn | kRst | kAck)) == kAck;
    if (!ack || total > p.length - kEthernetHeader) continue;
    for (const AckShape shape : {AckShape::kTimestamps, AckShape::kPlain}) {
      const bool fits = header == kTcpHeader + options_of(shape) && total >= kIpv4Header + header;
      found[static_cast<std::size_t>(shape)] |= std::uint32_t{fits} << i;
    }
  }
  return found;
}

struct Group {
  AckGroup columns;
  LaneLookUp::Hashes hashes;
  std::uint32_t lanes = 0;
  ScaleSet scales = 0;  // that any of their services may have offered
  AckShape shape = AckShape::kTimestamps;
};

class AckBurst {
 public:
  AckBurst(Rooms& rooms, std::span<const Packet> burst)
      : rooms_(rooms), burst_(burst), look_up_(rooms) {}

  std::uint32_t run(const Candidates& found) {
    for (const AckShape shape : {AckShape::kTimestamps, AckShape::kPlain})
      gather(shape, found[static_cast<std::size_t>(shape)]);
    for (std::size_t i = 0; i < count_; ++i) refute(groups_[i]);
    return refuted_;
  }

 private:
  [[nodiscard]] const AckKernel& kernel(AckShape shape) const {
    return (*rooms_.ack_kernels)[static_cast<std::size_t>(shape)];
  }

  void gather(AckShape shape, std::uint32_t places) {
    while (has_fewest_lanes(places)) {
      Group& g = groups_[count_++];
      g.shape = shape;
      g.scales = 0;
      const std::uint32_t used = take_lanes(g.columns, burst_, places);
      const std::uint32_t sound = kernel(shape).verify(g.columns, used);
      g.lanes =
          look_up_.begin(g.columns, sound, g.hashes, [&](std::size_t, const SynAckOffer& offer) {
            g.scales |= offer.scales;
            return true;
          });
    }
  }

  void refute(const Group& g) {
    const std::uint32_t lanes = look_up_.without_flow(g.hashes, g.lanes);
    if (lanes == 0) return;
    KeysByParity keys{};
    for (unsigned parity = 0; parity < 2; ++parity) {
      const EpochKeys* of_epoch = rooms_.now.keys().for_parity(parity);
      if (of_epoch == nullptr) continue;
      keys[parity] = &key_of_layout(*of_epoch, g.shape == AckShape::kTimestamps);
    }
    for_each_lane(kernel(g.shape).refute(g.columns, lanes, keys, g.scales),
                  [&](std::size_t lane) { refuted_ |= 1U << g.columns.places[lane]; });
  }

  Rooms& rooms_;
  const std::span<const Packet> burst_;
  LaneLookUp look_up_;
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
