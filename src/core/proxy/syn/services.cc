// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/services.h"

#include <algorithm>
#include <cstring>

#include "synproxy/wire/bytes.h"

namespace synproxy {

namespace {
constexpr ServiceOffer kUnknown{};
}

AddressBytes ServiceTable::server_of(const KeyView& key) {
  AddressBytes out{};
  if (key.ipv6()) {
    std::memcpy(out.data(), key.server, out.size());
  } else {
    const auto word = static_cast<std::uint32_t>(key.identity.addresses >> 32);
    std::memcpy(out.data(), &word, sizeof word);
  }
  return out;
}

std::size_t ServiceTable::bucket_of(const AddressBytes& server, std::uint16_t port) {
  std::uint64_t h = port;
  h = (h ^ load_raw<std::uint64_t>(server.data())) * 0x9e3779b97f4a7c15ULL;
  h = (h ^ load_raw<std::uint64_t>(server.data() + 8) ^ (h >> 29)) * 0x9e3779b97f4a7c15ULL;
  return (h >> 40) % (kServices / kWays) * kWays;
}

const ServiceTable::Service* ServiceTable::find(const KeyView& key, std::uint16_t port) const {
  const AddressBytes server = server_of(key);
  const std::size_t bucket = bucket_of(server, port);
  for (std::size_t i = bucket; i < bucket + kWays; ++i) {
    const Service& s = services_[i];
    if (s.used && s.port == port && s.ipv6 == key.ipv6() && same_address(s.address, server)) {
      return &s;
    }
  }
  return nullptr;
}

const ServiceOffer& ServiceTable::offer(const KeyView& key) const {
  const Service* s = find(key, port_of(key));
  if (s == nullptr) s = find(key, 0);
  return s != nullptr ? s->offer : kUnknown;
}

ScaleSet ServiceTable::scales(const KeyView& key, std::uint64_t epoch) const {
  const Service* s = find(key, port_of(key));
  if (s == nullptr) return kEveryScale;
  const ScaleSet recent = epoch <= s->changed_epoch + 1 ? s->recent_scales : ScaleSet{0};
  return static_cast<ScaleSet>(scale_set(s->offer.window_scale) | recent);
}

ServiceTable::Service& ServiceTable::at(const KeyView& key, std::uint16_t port,
                                        std::uint64_t now_ms) {
  if (const Service* s = find(key, port)) {
    return services_[static_cast<std::size_t>(s - services_.data())];
  }
  ++version_;
  Service fresh;
  if (const Service* host = find(key, 0)) fresh = *host;
  const AddressBytes server = server_of(key);
  const auto first = services_.begin() + static_cast<std::ptrdiff_t>(bucket_of(server, port));
  Service& s = *std::min_element(first, first + kWays, [](const Service& a, const Service& b) {
    return a.used != b.used ? !a.used : a.confirmed_ms < b.confirmed_ms;
  });
  s = fresh;
  s.address = server;
  s.port = port;
  s.ipv6 = key.ipv6();
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

bool ServiceTable::probe_due(const KeyView& key, const Abilities& wanted,
                             std::uint64_t now_ms) const {
  const Service* s = find(key, port_of(key));
  if (s == nullptr) return !ServiceOffer{}.can.covers(wanted);
  return !s->offer.can.covers(wanted) && now_ms - s->probed_ms >= kAskAgainMs;
}

void ServiceTable::learn(const KeyView& key, std::uint64_t epoch, std::uint64_t now_ms,
                         const Answer& a) {
  const bool first = find(key, port_of(key)) == nullptr;
  Service& s = at(key, port_of(key), now_ms);
  const ServiceOffer before = s.offer;
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
  // An option in the answer shows the ability, asked for or not. A missing option shows a lack only
  // if our SYN asked for it.
  Abilities& can = s.offer.can;
  if (a.asked.timestamps || a.options.timestamps) can.timestamps = a.options.timestamps;
  if (a.asked.sack || a.options.sack_permitted) can.sack = a.options.sack_permitted;
  if (a.asked.ecn || a.ecn) can.ecn = a.ecn;
  // RFC 9293 section 3.7.1: what a missing MSS option means.
  s.offer.mss = a.options.mss != 0 ? a.options.mss : default_mss(key.ipv6());
  s.offer.window = a.window;
  s.offer.ttl = a.ttl;
  // A server that does not scale counts as scale 0: its windows are sent as they are.
  if (a.scale_asked) {
    set_scale(s, a.options.window_scale == kNoScale ? 0 : a.options.window_scale, epoch);
  }
  version_ += s.offer == before ? 0U : 1U;
}

void ServiceTable::learn_host(const KeyView& key, std::uint64_t now_ms, const TcpOptions& syn,
                              bool ecn) {
  Service& s = at(key, 0, now_ms);
  ++version_;
  s.confirmed_ms = now_ms;
  s.offer.can.timestamps |= syn.timestamps;
  s.offer.can.sack |= syn.sack_permitted;
  s.offer.can.ecn |= ecn;
  if (syn.mss != 0) s.offer.mss = syn.mss;
  if (syn.window_scale != kNoScale) s.offer.window_scale = syn.window_scale;
}

}  // namespace synproxy
