// SPDX-License-Identifier: BSD-3-Clause
// What a SYN-ACK may offer, whether it is repeated, and whether the service may be dead. Holds what
// was learned about the services, the offers made from it, the services in doubt, the SYN-ACKs
// that wait for their ACK, and when SYNs were answered.
//
// An offer is valid only for the state of the services that it was made from, so both live here.
// The offer of a service in doubt is not cached. The fast ways to answer a SYN need a cached one,
// so they leave its SYNs to plan_syn() without a look at the doubts.
#pragma once

#include "ack/stripped_tries.h"
#include "burst/moment.h"
#include "syn/challenge_limit.h"
#include "synproxy/proxy/doubts.h"
#include "synproxy/proxy/offers.h"
#include "synproxy/proxy/services.h"
#include "synproxy/proxy/syn_times.h"
#include "synproxy/proxy/synack_repeats.h"

namespace synproxy {

class Answerer {
 public:
  // Throws std::bad_alloc.
  Answerer(const EngineTuning& tuning, const ProtectSet& protect, const IndexKey& secret,
           const Activation& activation, const ModeOfService& modes, Arena* arena)
      : services_(protect, secret, arena),
        offers_(&activation, &modes),
        doubts_(secret),
        repeats_(tuning.synack_repeats) {}

  // What the SYN-ACKs of the key's service offer. Valid until the next call. `name`: of the
  // service.
  [[nodiscard]] const SynAckOffer& offer(const Moment& now, const KeyView& key, ServiceName name) {
    const SynAckOffer& made = offers_.find(now.tuning(), services_, key, name, now.epoch());
    if (doubts_.any() && doubts_.doubted(key, now.ms32())) offers_.forget(name);
    return made;
  }
  [[nodiscard]] const SynAckOffer& offer(const Moment& now, const KeyView& key) {
    return offer(now, key, service_name(key.identity));
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

  // Another service needs cookies, or one needs them no more.
  void offers_changed() { offers_.forget(); }

  // The key's service has refused, or was silent. True: it comes in doubt by this.
  bool note_dead(const KeyView& key, std::uint32_t now_ms) {
    offers_.forget(service_name(key.identity));
    return doubts_.dead(key, now_ms);
  }

  [[nodiscard]] ChallengeLimit& challenges() { return challenges_; }
  [[nodiscard]] Doubts& doubts() { return doubts_; }
  [[nodiscard]] ServiceTable& services() { return services_; }
  [[nodiscard]] const ServiceTable& services() const { return services_; }
  [[nodiscard]] SynAckRepeats& repeats() { return repeats_; }
  [[nodiscard]] const SynAckRepeats& repeats() const { return repeats_; }
  [[nodiscard]] SynTimes& syn_times() { return syn_times_; }
  [[nodiscard]] StrippedTries& stripped_tries() { return stripped_tries_; }

 private:
  ServiceTable services_;
  OfferCache offers_;
  Doubts doubts_;
  ChallengeLimit challenges_;
  SynAckRepeats repeats_;
  StrippedTries stripped_tries_;
  SynTimes syn_times_;
};

}  // namespace synproxy
