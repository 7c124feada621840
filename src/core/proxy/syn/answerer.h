// SPDX-License-Identifier: BSD-3-Clause
// What a SYN-ACK may say, and whether it is said again: what was learned of the services, the
// offers that were put together from it, and the SYN-ACKs that wait for their ACK.
//
// An offer counts only together with the services it was made from, so both are asked for in one
// place.
#pragma once

#include "burst/moment.h"
#include "synproxy/proxy/offers.h"
#include "synproxy/proxy/services.h"
#include "synproxy/proxy/synack_repeats.h"

namespace synproxy {

class Answerer {
 public:
  explicit Answerer(const EngineTuning& tuning) : repeats_(tuning.synack_repeats) {}

  // What the SYN-ACKs of the key's service offer. Good until the next call.
  [[nodiscard]] const SynAckOffer& offer(const Moment& now, const KeyView& key) {
    return offers_.find(now.tuning(), services_, key, now.epoch());
  }
  // The same where it is at hand, else nullptr. `server`: 16 bytes, IPv6 only.
  [[nodiscard]] const SynAckOffer* known_offer(const Moment& now, ServiceName name,
                                               const std::uint8_t* server) const {
    return offers_.find_known(services_, name, server, now.epoch());
  }
  // Whether the service was asked for lately: then it is protected.
  [[nodiscard]] bool knows(ServiceName name, const std::uint8_t* server) const {
    return offers_.knows(name, server);
  }

  // The tuning is another one from now on.
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
