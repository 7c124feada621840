// SPDX-License-Identifier: BSD-3-Clause
// What a SYN-ACK may offer, and whether it is repeated. Holds what was learned about the services,
// the offers made from it, and the SYN-ACKs that wait for their ACK.
//
// An offer is valid only for the state of the services that it was made from, so both live here.
#pragma once

#include "burst/moment.h"
#include "synproxy/proxy/offers.h"
#include "synproxy/proxy/services.h"
#include "synproxy/proxy/synack_repeats.h"

namespace synproxy {

class Answerer {
 public:
  Answerer(const EngineTuning& tuning, const ProtectSet& protect, const IndexKey& key)
      : services_(protect, key), repeats_(tuning.synack_repeats) {}

  // What the SYN-ACKs of the key's service offer. Valid until the next call.
  [[nodiscard]] const SynAckOffer& offer(const Moment& now, const KeyView& key) {
    return offers_.find(now.tuning(), services_, key, now.epoch());
  }
  // The same from the cache alone; nullptr: not there. `server`: 16 bytes, IPv6 only.
  [[nodiscard]] const SynAckOffer* known_offer(const Moment& now, ServiceName name,
                                               const std::uint8_t* server, VlanStack vlan) const {
    return offers_.find_known(services_, name, server, vlan, now.epoch());
  }
  // Whether an offer for the service is cached, fresh or not. Then the service is protected.
  [[nodiscard]] bool knows(ServiceName name, const std::uint8_t* server, VlanStack vlan) const {
    return offers_.knows(name, server, vlan);
  }

  // Call after the tuning has changed.
  void retuned(const Moment& now) {
    offers_.retuned(now.earlier());
    repeats_.set_repeats(now.tuning().synack_repeats);
  }

  [[nodiscard]] ServiceTable& services() { return services_; }
  [[nodiscard]] const ServiceTable& services() const { return services_; }
  [[nodiscard]] SynAckRepeats& repeats() { return repeats_; }

 private:
  ServiceTable services_;
  OfferCache offers_;
  SynAckRepeats repeats_;
};

}  // namespace synproxy
