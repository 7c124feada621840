// SPDX-License-Identifier: BSD-3-Clause
#include "ack/any_acks.h"

#include "burst/rooms.h"

namespace synproxy {
namespace {

void fill(AnyAckGroup& g, std::size_t lane, const Context& c) {
  const Segment& s = c.segment;
  g.frames[lane] = s.l3() - kEthernetHeader;
  g.addresses[lane] = c.identity.addresses;
  g.ports[lane] = static_cast<std::uint32_t>(c.identity.ports_and_vlan);
  g.isn[lane] = (s.seq - 1).value();
  g.quoted[lane] = (s.ack - 1).value();
  g.vlan[lane] = s.vlan.packed;
  g.timestamps[lane] = c.ack.timestamps.present ? 1 : 0;
}

}  // namespace

std::uint32_t AnyAcks::refuted(const Rooms& rooms, const Context* burst) const {
  const KeysByParity plain = keys_to_check(rooms.now, false);
  const KeysByParity stamped = keys_to_check(rooms.now, true);
  std::uint32_t refuted = 0;
  AnyAckGroup g;
  g.tagged = true;
  for (const bool ipv6 : {false, true}) {
    std::uint32_t places = places_[ipv6 ? 1 : 0];
    while (has_fewest_lanes(places)) {
      std::uint32_t used = 0;
      ScaleSet scales = 0;
      for (std::size_t lane = 0; lane < Columns::kLanes; ++lane) {
        g.places[lane] = g.places[0];  // an unused lane repeats the first one
        if (places != 0) {
          g.places[lane] = static_cast<std::uint8_t>(std::countr_zero(places));
          places &= places - 1;
          used |= 1U << lane;
        }
        const Context& c = burst[g.places[lane]];
        scales |= c.ack.scales;
        fill(g, lane, c);
      }
      for_each_lane(used & (*rooms.kernels.any_acks)[ipv6 ? 1 : 0](g, plain, stamped, scales),
                    [&](std::size_t lane) { refuted |= 1U << g.places[lane]; });
    }
  }
  return refuted;
}

}  // namespace synproxy
