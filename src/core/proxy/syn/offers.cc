// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/offers.h"

#include <algorithm>
#include <cstring>

namespace synproxy {
namespace {

bool offers(Offer flag, bool server_can) {
  return flag == Offer::kOn || (flag == Offer::kAuto && server_can);
}

std::uint16_t mss_to_offer(std::uint16_t configured, std::uint16_t learned, bool ipv6) {
  if (configured != 0) return configured;
  return learned != 0 ? learned : assumed_mss(ipv6);
}

}  // namespace

SynAckOffer make_offer(const EngineTuning& tuning, const ServiceTable& services, const KeyView& key,
                       std::uint64_t epoch) {
  const OfferConfig& flags = tuning.offer;
  const auto [learned, scales] = services.learned(key, epoch);
  SynAckOffer out;
  out.mss = mss_to_offer(flags.mss, learned.mss, key.ipv6());
  // No more than the server is known to take, but at least one smallest segment: because a server
  // was busy once, clients must not wait for a window update.
  const std::uint32_t window = std::max<std::uint32_t>(learned.window, kSmallestSegment);
  out.window = static_cast<std::uint16_t>(std::min(tuning.early_window, window));
  const bool fixed = flags.window_scale != kAutoScale;
  out.window_scale = fixed ? flags.window_scale : learned.window_scale;
  if (learned.ttl != 0) {
    out.ttl = learned.ttl;
    out.ttl_of_syn = 0;
  }
  out.can = static_cast<std::uint8_t>(
      (offers(flags.timestamps, learned.can.timestamps) ? kOffersTimestamps : 0) |
      (offers(flags.sack, learned.can.sack) ? kOffersSack : 0) |
      (offers(flags.ecn, learned.can.ecn) ? kOffersEcn : 0));
  out.scales = fixed ? scale_set(flags.window_scale) : scales;
  return out;
}

const SynAckOffer& OfferCache::fill(const EngineTuning& tuning, const ServiceTable& services,
                                    const KeyView& key, std::uint64_t epoch) {
  if (version_ != services.version() || epoch_ != epoch) {
    forget();
    version_ = services.version();
    epoch_ = epoch;
  }
  const ServiceName name = service_name(key.identity);
  const std::size_t place = place_of(name);
  Entry& entry = entries_[place];
  entry.name = name;
  entry.offer = make_offer(tuning, services, key, epoch);
  if (wants_cookies(name, key)) entry.offer.can |= kOffersCookies;
  ScaleSet& scales = entry.offer.scales;
  scales = static_cast<ScaleSet>(scales | earlier_.scales(epoch));
  if (earlier_.learned_scales(epoch)) {
    scales = static_cast<ScaleSet>(scales | services.scales(key, epoch));
  }
  if (is_digest(name)) {
    Whole& whole = wholes_[place];
    whole.vlan = vlan_of(key.identity);
    if (key.ipv6()) std::memcpy(whole.server.data(), key.server, whole.server.size());
  }
  return entry.offer;
}

}  // namespace synproxy
