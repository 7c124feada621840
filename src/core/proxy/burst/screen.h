// SPDX-License-Identifier: BSD-3-Clause
// The first look at clients' packets: by source address and TTL alone, before anything is answered,
// put together or looked up. It costs nothing while no list and no such rule is given.
//
// A source that is denied, or a bogon, reaches no protected address, by whatever protocol and port.
// What goes elsewhere is none of the proxy's business. Two things are let past, because without
// them a link or a path would break for everybody:
//   - neighbour discovery is the ARP of IPv6 (RFC 4861), and comes from the link itself. ARP has no
//     source that a list could name either.
//   - ICMP errors from bogons: many routers have private addresses, and without their "packet too
//     big" large segments vanish (RFC 1191). The engine checks what they quote.
//
// --min-ttl is about TCP to a protected port, and about fragments of TCP to a protected address.
//
// A service may have lists of its own. They judge packets with its address and port. The lists of
// all judge packets of no service, and packets without a TCP port. So the lists of all judge a
// fragment first; the whole packet, whose service is known, is judged again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "flows/named_services.h"
#include "synproxy/base/config.h"
#include "synproxy/base/packet.h"
#include "synproxy/policy/source_lists.h"

namespace synproxy {

struct Rooms;

class Screen {
 public:
  explicit Screen(const EngineTuning& tuning) { retune(tuning.min_ttl); }

  // nullptr: none. They outlive the next call.
  void use(const SourceLists* lists) {
    lists_ = lists;
    set_switch();
  }
  // The highest of all services.
  void retune(std::uint8_t min_ttl) {
    min_ttl_ = min_ttl;
    set_switch();
  }

  // Whether screen_burst() is to be called.
  [[nodiscard]] bool on() const { return on_; }
  // Whether the source is above all limits of the service.
  [[nodiscard]] bool allows(const std::uint8_t* source, bool ipv6, NamedServiceId service) const {
    return lists_ != nullptr && lists_->of(service).allowed.contains(source, ipv6);
  }

  [[nodiscard]] const SourceLists* lists() const { return lists_; }
  [[nodiscard]] std::uint8_t min_ttl() const { return min_ttl_; }

 private:
  void set_switch() {
    const auto drops = [](const SourceSets& sets) { return sets.drops(); };
    const bool listed =
        lists_ != nullptr && (lists_->drops() || std::ranges::any_of(lists_->own, drops));
    on_ = listed || min_ttl_ != 0;
  }

  const SourceLists* lists_ = nullptr;
  std::uint8_t min_ttl_ = 0;
  bool on_ = false;
};

// Bit i of the result: the i-th packet is dropped, and counted. `burst`: up to kMaxBurst packets
// from the client side. `tally`: of these. `early`: they will come again, so what is only monitored
// is not counted.
[[nodiscard]] std::uint32_t screen_burst(Rooms& rooms, std::span<Packet> burst,
                                         const NamedServices::Tally& tally, bool early = false);
// The same for a packet that was put together from fragments, by what its service has of its own.
[[nodiscard]] bool screen_whole(Rooms& rooms, Packet& whole, const NamedServices::Tally& tally);

}  // namespace synproxy
