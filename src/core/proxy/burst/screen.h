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
#pragma once

#include <cstdint>
#include <span>

#include "synproxy/base/config.h"
#include "synproxy/base/packet.h"
#include "synproxy/policy/source_lists.h"

namespace synproxy {

struct Rooms;

class Screen {
 public:
  explicit Screen(const EngineTuning& tuning) { retune(tuning, tuning.min_ttl); }

  // nullptr: none. They outlive the next call.
  void use(const SourceLists* lists) {
    lists_ = lists;
    set_switch();
  }
  // `min_ttl`: the highest of all services.
  void retune(const EngineTuning& tuning, std::uint8_t min_ttl) {
    min_ttl_ = min_ttl;
    monitored_ = tuning.limits.monitored;
    set_switch();
  }

  // Whether screen_burst() is to be called.
  [[nodiscard]] bool on() const { return on_; }
  // Whether the source is above all limits.
  [[nodiscard]] bool allows(const std::uint8_t* source, bool ipv6) const {
    return lists_ != nullptr && lists_->allowed.contains(source, ipv6);
  }

  [[nodiscard]] const SourceLists* lists() const { return lists_; }
  [[nodiscard]] std::uint8_t min_ttl() const { return min_ttl_; }
  [[nodiscard]] std::uint16_t monitored() const { return monitored_; }

 private:
  void set_switch() {
    const bool listed = lists_ != nullptr && !(lists_->denied.empty() && lists_->bogons.empty());
    on_ = listed || min_ttl_ != 0;
  }

  const SourceLists* lists_ = nullptr;
  std::uint8_t min_ttl_ = 0;
  std::uint16_t monitored_ = 0;  // MonitoredRule
  bool on_ = false;
};

// Bit i of the result: the i-th packet is dropped, and counted. `burst`: up to kMaxBurst packets
// from the client side. `early`: they will come again, so what is only monitored is not counted.
[[nodiscard]] std::uint32_t screen_burst(Rooms& rooms, std::span<Packet> burst, bool early = false);

}  // namespace synproxy
