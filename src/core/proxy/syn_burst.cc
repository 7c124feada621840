// SPDX-License-Identifier: BSD-3-Clause
#include "syn_burst.h"

#include <bit>

#include "cookies.h"
#include "engine_state.h"

namespace synproxy {
namespace {

// Columns for fewer take longer than one by one.
constexpr unsigned kFewestLanes = 4;
[[nodiscard]] bool has_fewest_lanes(std::uint32_t places) {
  for (unsigned i = 1; i < kFewestLanes; ++i) places &= places - 1;  // not every CPU counts bits
  return places != 0;
}
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

// Which packets may be of a shape, as far as a few bytes tell.
struct Candidates {
  std::array<std::uint32_t, kSynShapes> of_shape{};
};
Candidates sort_by_shape(std::span<const Packet> burst) {
  Candidates c;
  for (std::size_t i = 0; i < burst.size(); ++i) {
    const Packet& p = burst[i];
    // The shortest has 54 bytes.
    if (p.length < kEthernetHeader + kIpv4Header + kTcpHeader || p.room < SynGroup::kTouched ||
        p.checksum == ChecksumHint::kBad) {
      continue;
    }
    const auto type = load_be<std::uint16_t>(p.data + 12);
    const auto macs = load_raw<std::uint64_t>(p.data) & 0x0001000000000001U;  // multicast bits
    if (type != kEtherTypeIpv4 || macs != 0) continue;
    const auto offset_and_flags = load_be<std::uint16_t>(p.data + 46);
    for (const SynShape shape : {SynShape::kLinux, SynShape::kWindows, SynShape::kBare}) {
      const std::size_t size = kEthernetHeader + kIpv4Header + kTcpHeader + options_in(shape);
      const bool fits = offset_and_flags == offset_and_syn(shape) && p.length >= size;
      c.of_shape[static_cast<std::size_t>(shape)] |= std::uint32_t{fits} << i;
    }
  }
  return c;
}

struct Group {
  SynGroup columns;
  std::array<std::uint8_t, SynGroup::kLanes> places;  // in the burst
  std::array<std::uint64_t, SynGroup::kLanes> hashes;
  std::uint32_t lanes = 0;  // that will be answered
  SynShape shape = SynShape::kLinux;
};

class SynBurst {
 public:
  SynBurst(EngineState& s, std::span<Packet> burst) : s_(s), burst_(burst) {}

  std::uint32_t run() {
    const Candidates c = sort_by_shape(burst_);
    for (const SynShape shape : {SynShape::kLinux, SynShape::kWindows, SynShape::kBare}) {
      gather(shape, c.of_shape[static_cast<std::size_t>(shape)]);
    }
    for (std::size_t i = 0; i < count_; ++i) answer(groups_[i]);
    if (count_ == 0) return 0;
    s_.synack_repeats.pass_over(syns_);
    s_.counters.count(Reason::syn_received, syns_);
    s_.counters.count(Reason::synack_sent, syns_);
    return answered_;
  }

 private:
  void gather(SynShape shape, std::uint32_t places) {
    while (has_fewest_lanes(places)) {
      Group& g = groups_[count_++];
      g.shape = shape;
      std::uint32_t used = 0;
      for (std::size_t lane = 0; lane < SynGroup::kLanes; ++lane) {
        if (places != 0) {
          g.places[lane] = static_cast<std::uint8_t>(std::countr_zero(places));
          places &= places - 1;
          used |= 1U << lane;
        } else {
          g.places[lane] = g.places[0];
        }
        g.columns.frames[lane] = burst_[g.places[lane]].data;
      }
      const SynKernel& kernel = (*s_.syn_kernels)[static_cast<std::size_t>(shape)];
      g.lanes = offers_for(g, kernel.verify(g.columns, used));
    }
  }

  // Of `lanes` those whose service is known, and offers what the shape needs.
  std::uint32_t offers_for(Group& g, std::uint32_t lanes) {
    SynGroup& c = g.columns;
    for (std::uint32_t left = lanes; left != 0; left &= left - 1) {
      const auto lane = static_cast<std::size_t>(std::countr_zero(left));
      if (c.service[lane] != service_ || offer_ == nullptr) {
        service_ = c.service[lane];
        offer_ = s_.offers.find_known(s_.services, service_, nullptr, s_.epoch.epoch);
      }
      if (offer_ == nullptr || !offer_->has(offer_needed(g.shape))) {
        lanes &= ~(1U << lane);
        continue;
      }
      c.offers[lane] = *offer_;
      KeyView key;
      key.identity.addresses = c.addresses[lane];
      key.identity.ports_and_vlan = static_cast<std::uint32_t>(c.ports[lane]);
      g.hashes[lane] = index_hash(s_.index_key, key);
      s_.table.prefetch_bucket(g.hashes[lane]);
    }
    return lanes;
  }

  // A SYN that may have a flow goes the way of the others.
  void answer(Group& g) {
    std::uint32_t lanes = g.lanes;
    for (std::uint32_t left = lanes; left != 0; left &= left - 1) {
      const auto lane = static_cast<std::size_t>(std::countr_zero(left));
      if (s_.table.prefetch_record(g.hashes[lane])) lanes &= ~(1U << lane);
    }
    if (lanes == 0) return;
    const EpochKeys& keys = *s_.keys.current();
    const LayoutKey& key = key_of_layout(keys, g.shape == SynShape::kLinux);
    (*s_.syn_kernels)[static_cast<std::size_t>(g.shape)].answer(g.columns, lanes, key,
                                                                keys.epoch & 1U);
    const auto length = static_cast<std::uint32_t>(kEthernetHeader + kIpv4Header + kTcpHeader +
                                                   options_out(g.shape));
    for (std::uint32_t left = lanes; left != 0; left &= left - 1) {
      const std::size_t place = g.places[static_cast<std::size_t>(std::countr_zero(left))];
      burst_[place].length = length;
      burst_[place].verdict = Verdict::kReply;
      answered_ |= 1U << place;
      ++syns_;
    }
  }

  EngineState& s_;
  const std::span<Packet> burst_;
  ServiceName service_ = 0;  // of the last frame looked at
  const SynAckOffer* offer_ = nullptr;
  std::size_t count_ = 0;
  std::uint32_t answered_ = 0;  // bit by place
  std::uint32_t syns_ = 0;      // how many of them
  std::array<Group, kGroups> groups_;
};

}  // namespace

std::uint32_t answer_syn_burst(EngineState& s, std::span<Packet> burst) {
  if (s.syn_kernels == nullptr || burst.size() < kFewestLanes) return 0;
  // While SYN-ACKs are remembered there are few.
  if (s.keys.current() == nullptr || s.synack_repeats.open(s.now32())) return 0;
  return SynBurst(s, burst).run();
}

}  // namespace synproxy
