// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/services.h"

#include <algorithm>

#include "synproxy/wire/bytes.h"

namespace synproxy {

std::size_t ServiceTable::bucket_of(const FlowKey& key, std::uint16_t port) {
  std::uint64_t h = port;
  h = (h ^ load_raw<std::uint64_t>(key.server.data())) * 0x9e3779b97f4a7c15ULL;
  h = (h ^ load_raw<std::uint64_t>(key.server.data() + 8) ^ (h >> 29)) * 0x9e3779b97f4a7c15ULL;
  return (h >> 40) % (kServices / kWays) * kWays;
}

const ServiceTable::Service* ServiceTable::search(const FlowKey& key, std::uint16_t port) const {
  const std::size_t bucket = bucket_of(key, port);
  for (std::size_t i = bucket; i < bucket + kWays; ++i) {
    if (!is(services_[i], key, port)) continue;
    last_ = i;
    return &services_[i];
  }
  return nullptr;
}

ServiceOffer ServiceTable::offer_of_host(const FlowKey& key) const {
  const Service* host = search(key, 0);
  return host != nullptr ? host->offer : ServiceOffer{};
}

ServiceTable::Service& ServiceTable::at(const FlowKey& key, std::uint16_t port,
                                        std::uint64_t now_ms) {
  if (const Service* s = find(key, port)) {
    return services_[static_cast<std::size_t>(s - services_.data())];
  }
  Service fresh;
  if (const Service* host = find(key, 0)) fresh = *host;
  const auto first = services_.begin() + static_cast<std::ptrdiff_t>(bucket_of(key, port));
  Service& s = *std::min_element(first, first + kWays, [](const Service& a, const Service& b) {
    return a.used != b.used ? !a.used : a.confirmed_ms < b.confirmed_ms;
  });
  s = fresh;
  s.address = key.server;
  s.port = port;
  s.ipv6 = key.ipv6;
  s.used = true;
  s.confirmed_ms = now_ms;
  return s;
}

void ServiceTable::set_scale(Service& s, std::uint8_t scale, std::uint64_t epoch) {
  if (scale == s.offer.window_scale) return;
  if (epoch > s.changed_epoch + 1) s.recent_scales = 0;  // those cookies have expired
  s.recent_scales |= scale_set(s.offer.window_scale);
  s.changed_epoch = epoch;
  s.offer.window_scale = scale;
}

ScaleSet ServiceTable::scales(const FlowKey& key, std::uint64_t epoch) const {
  const Service* s = find(key, key.server_port);
  if (s == nullptr) return kEveryScale;
  const ScaleSet recent = epoch <= s->changed_epoch + 1 ? s->recent_scales : ScaleSet{0};
  return static_cast<ScaleSet>(scale_set(s->offer.window_scale) | recent);
}

bool ServiceTable::probe_due(const FlowKey& key, const Abilities& wanted,
                             std::uint64_t now_ms) const {
  const Service* s = find(key, key.server_port);
  if (s == nullptr) return !ServiceOffer{}.can.covers(wanted);
  return !s->offer.can.covers(wanted) && now_ms - s->probed_ms >= kAskAgainMs;
}

void ServiceTable::learn(const FlowKey& key, std::uint64_t epoch, std::uint64_t now_ms,
                         const Answer& a) {
  const bool first = find(key, key.server_port) == nullptr;
  Service& s = at(key, key.server_port, now_ms);
  s.confirmed_ms = now_ms;
  // Cookies made while the service was unknown carry the assumed scale, or its host's.
  if (first) {
    s.recent_scales =
        static_cast<ScaleSet>(scale_set(kAssumedScale) | scale_set(s.offer.window_scale));
    s.changed_epoch = epoch;
    s.probed_ms = a.probe ? now_ms : now_ms - kAskAgainMs;
  } else if (a.probe) {
    s.probed_ms = now_ms;
  }
  // An answer shows what it has, asked for or not, and lacks only what was asked for.
  Abilities& can = s.offer.can;
  if (a.asked.timestamps || a.options.timestamps) can.timestamps = a.options.timestamps;
  if (a.asked.sack || a.options.sack_permitted) can.sack = a.options.sack_permitted;
  if (a.asked.ecn || a.ecn) can.ecn = a.ecn;
  // RFC 9293 section 3.7.1: what a missing MSS option means.
  s.offer.mss = a.options.mss != 0 ? a.options.mss : default_mss(key.ipv6);
  s.offer.window = a.window;
  // A server that does not scale shows its windows as they are.
  if (a.scale_asked) {
    set_scale(s, a.options.window_scale == kNoScale ? 0 : a.options.window_scale, epoch);
  }
}

void ServiceTable::learn_host(const FlowKey& key, std::uint64_t now_ms, const TcpOptions& syn,
                              bool ecn) {
  Service& s = at(key, 0, now_ms);
  s.confirmed_ms = now_ms;
  s.offer.can.timestamps |= syn.timestamps;
  s.offer.can.sack |= syn.sack_permitted;
  s.offer.can.ecn |= ecn;
  if (syn.mss != 0) s.offer.mss = syn.mss;
  if (syn.window_scale != kNoScale) s.offer.window_scale = syn.window_scale;
}

}  // namespace synproxy
