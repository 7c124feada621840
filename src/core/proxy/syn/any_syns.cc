// SPDX-License-Identifier: BSD-3-Clause
#include "syn/any_syns.h"

#include "burst/rooms.h"
#include "syn/answer_syn.h"
#include "syn/cap_replies.h"
#include "watched/watched.h"

namespace synproxy {
namespace {

constexpr std::uint32_t touched(bool ipv6) {
  return static_cast<std::uint32_t>(Columns::kTouched - kEthernetHeader + shift_of(ipv6));
}

class Lanes {
 public:
  Lanes(Rooms& rooms, Context* burst, bool ipv6)
      : rooms_(rooms),
        burst_(burst),
        kernel_((*rooms.kernels.any_syns)[ipv6 ? 1 : 0]),
        adaptive_(rooms.watch.activation.adaptive()) {
    g_.tagged = true;
  }

  // Up to kLanes of `places`, which are taken out.
  void answer(std::uint32_t& places, AnySyns::Counts& counts) {
    const std::uint32_t used = take(places);
    const std::uint32_t good = kernel_.verify(g_) | trusted_;
    std::uint32_t lanes = 0;
    for_each_lane(used, [&](std::size_t lane) {
      Context& c = burst_[g_.places[lane]];
      c.kind = Kind::kDecided;
      lanes |= std::uint32_t{plan(lane, c, (good >> lane & 1U) != 0, counts)} << lane;
    });
    if (lanes == 0) return;
    const std::uint32_t followed = kernel_.answer(g_, lanes, *rooms_.now.keys().current(),
                                                  rooms_.answerer.syn_times().left_out());
    for_each_lane(lanes, [&](std::size_t lane) { finish(lane, burst_[g_.places[lane]]); });
    for_each_lane(followed, [&](std::size_t lane) {
      follow_syn(rooms_.now, rooms_.answerer, rooms_.counters, g_.macs[lane]);
    });
  }

 private:
  [[nodiscard]] std::uint32_t take(std::uint32_t& places) {
    std::uint32_t used = 0;
    trusted_ = 0;
    for (std::size_t lane = 0; lane < Columns::kLanes; ++lane) {
      if (places != 0) {
        g_.places[lane] = static_cast<std::uint8_t>(std::countr_zero(places));
        places &= places - 1;
        used |= 1U << lane;
        fill(lane, burst_[g_.places[lane]]);
      } else {  // repeats the first
        g_.frames[lane] = g_.frames[0];
        g_.tcp[lane] = g_.tcp[0];
        g_.tcp_length[lane] = g_.ip_length[lane] = Columns::kLanes;
      }
    }
    return used;
  }
  void fill(std::size_t lane, const Context& c) {
    const Segment& s = c.segment;
    const TcpOptions& o = rooms_.asked_by(c);
    g_.frames[lane] = s.l3() - kEthernetHeader;
    g_.tcp[lane] = s.l4();
    g_.tcp_length[lane] = s.l4_length;
    g_.ip_length[lane] = std::size_t{s.l4_offset} - s.l3_offset;
    g_.addresses[lane] = c.identity.addresses;
    g_.ports[lane] = static_cast<std::uint32_t>(c.identity.ports_and_vlan);
    g_.isn[lane] = s.seq.value();
    g_.vlan[lane] = s.vlan.packed;
    std::memcpy(&g_.said[lane], &o, sizeof(std::uint64_t));
    std::memcpy(&g_.stamps[lane], &o.tsval, sizeof(std::uint64_t));
    g_.wants_ecn[lane] = asks_for_ecn(s) ? 1 : 0;
    trusted_ |= std::uint32_t{c.packet->checksum == ChecksumHint::kGood} << lane;
  }

  // Does what plan_syn() does, and what comes after it. True: the SYN gets its answer.
  [[nodiscard]] bool plan(std::size_t lane, Context& c, bool good, AnySyns::Counts& counts) {
    const auto refuse = [&](Reason why) {
      drop(rooms_.counters, c, why);
      return false;
    };
    if (!good) return refuse(Reason::bad_checksum);
    if (rooms_.asked_by(c).auth) return refuse(Reason::tcp_auth);
    const SynAckOffer& offer = rooms_.answerer.offer(rooms_.now, c.key(), c.service);
    g_.offers[lane] = offer.first_word();
    g_.can[lane] = offer.can;
    if (reply_capped(rooms_, c)) {
      ++counts.capped;
      return false;
    }
    ++counts.answered;
    if (adaptive_ && is_adaptive(rooms_, c)) count_syn(rooms_, c);
    return true;
  }

  void finish(std::size_t lane, Context& c) {
    Packet& p = *c.packet;
    swap_mac_addresses(c.segment.frame);
    p.length = c.segment.l3_offset + static_cast<std::uint32_t>(g_.packet_length[lane]);
    p.checksum = ChecksumHint::kGood;
    p.decide(Verdict::kReply, Reason::synack_sent);
  }

  Rooms& rooms_;
  Context* const burst_;
  const AnySynKernel& kernel_;
  const bool adaptive_;
  std::uint32_t trusted_ = 0;  // lanes that the device has checked
  AnySynGroup g_;
};

}  // namespace

bool AnySyns::usable(Rooms& rooms, bool remembering) {
  return rooms.kernels.any_syns != nullptr && !remembering &&
         rooms.now.keys().current() != nullptr && !rooms.answerer.doubts().any();
}

bool AnySyns::takes(const Context& c) {
  const Segment& s = c.segment;
  const bool summed = c.packet->checksum == ChecksumHint::kUnknown;
  return s.l4_length <= AnySynGroup::kMostSummed &&
         s.l3_offset + touched(s.ipv6) <= c.packet->room &&
         (summed || c.packet->checksum == ChecksumHint::kGood);
}

std::uint32_t AnySyns::take_few() {
  std::uint32_t few = 0;
  for (std::uint32_t& places : places_) {
    if (has_fewest_lanes(places)) continue;
    few |= places;
    places = 0;
  }
  return few;
}

AnySyns::Counts AnySyns::answer(Rooms& rooms, Context* burst) {
  Counts counts;
  for (const bool ipv6 : {false, true}) {
    std::uint32_t places = places_[ipv6 ? 1 : 0];
    if (places == 0) continue;
    Lanes lanes(rooms, burst, ipv6);
    while (places != 0) lanes.answer(places, counts);
  }
  return counts;
}

}  // namespace synproxy
