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

// Put together in registers: its reader takes it in words, and would wait for bytes to be joined.
SynAckOffer make_offer(const EngineTuning& tuning, const ServiceTable& services, const KeyView& key,
                       std::uint64_t epoch) {
  const OfferConfig& flags = tuning.offer;
  const auto [learned, scales] = services.learned(key, epoch);
  SynAckOffer unknown;
  const std::uint16_t mss = mss_to_offer(flags.mss, learned.mss, key.ipv6());
  // No more than the server is known to take, but at least one smallest segment: because a server
  // was busy once, clients must not wait for a window update.
  const std::uint32_t least = std::max<std::uint32_t>(learned.window, kSmallestSegment);
  const auto window = static_cast<std::uint16_t>(std::min(tuning.early_window, least));
  const bool fixed = flags.window_scale != kAutoScale;
  const std::uint8_t scale = fixed ? flags.window_scale : learned.window_scale;
  const bool shown = learned.ttl != 0;
  const std::uint8_t ttl = shown ? learned.ttl : unknown.ttl;
  const std::uint8_t ttl_of_syn = shown ? std::uint8_t{0} : unknown.ttl_of_syn;
  const unsigned can = (offers(flags.timestamps, learned.can.timestamps) ? kOffersTimestamps : 0U) |
                       (offers(flags.sack, learned.can.sack) ? kOffersSack : 0U) |
                       (offers(flags.ecn, learned.can.ecn) ? kOffersEcn : 0U);
  const ScaleSet may_be = fixed ? scale_set(flags.window_scale) : scales;
  return SynAckOffer::of_words(mss | std::uint64_t{window} << 16 | std::uint64_t{scale} << 32 |
                                   std::uint64_t{ttl} << 40 | std::uint64_t{ttl_of_syn} << 48 |
                                   std::uint64_t{unknown.dscp_of_syn} << 56,
                               can | std::uint32_t{may_be} << 16);
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
