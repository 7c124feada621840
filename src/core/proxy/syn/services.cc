// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/services.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "synproxy/wire/bytes.h"

namespace synproxy {
namespace {

constexpr ServiceOffer kUnknown{};
constexpr std::uint64_t kNever = ~0ULL;

// Whole addresses may have any number of services. Nearly all have few.
constexpr std::size_t kFewPorts = 4;
constexpr std::size_t kManyPorts = 16;
constexpr unsigned kManyAddressBits = 20;

struct Protected {
  std::size_t addresses = 0;
  std::size_t services = 0;
};
Protected count(const ProtectSet& protect) {
  Protected out;
  for (const ProtectRule& rule : protect.rules()) {
    const unsigned bits = (rule.ipv6 ? 128U : 32U) - rule.prefix_length;
    const std::size_t addresses = std::size_t{1} << std::min(bits, kManyAddressBits);
    const std::size_t ports =
        rule.whole_address()
            ? kFewPorts + 1  // and the host
            : std::min<std::size_t>(std::size_t{rule.last_port} - rule.first_port + 1, kManyPorts);
    out.addresses += addresses;
    out.services += addresses * ports;
  }
  return out;
}

// A quarter full at most, so that each service finds a place among its own.
std::size_t places_for(const ProtectSet& protect, std::size_t fewest, std::size_t most) {
  return std::bit_ceil(std::clamp(4 * count(protect).services, fewest, most));
}

// A store has room for so many, so that the next process may protect more or less: 2,048 services.
constexpr std::size_t kFewestStored = 8192;

// Of an entry, which is private.
template <typename Service>
FlowKey key_of(const Service& s) {
  FlowKey key;
  key.ipv6 = (s.vlan_and_family & kFamilyIpv6) != 0;
  key.server = s.address;
  key.server_port = s.port;
  key.vlan.packed = s.vlan_and_family & ~kFamilyIpv6;
  return key;
}

}  // namespace

ServiceTable::ServiceTable(const ProtectSet& protect, const IndexKey& key, Arena* arena)
    : key_(key),
      memory_(memory_from(
          arena,
          places_for(protect, arena == nullptr ? kFewest : kFewestStored, kMost) * sizeof(Service),
          Mapping::Kind::kReserved)),
      services_(static_cast<Service*>(memory_.data()), places_for(protect, kFewest, kMost)) {
  const Protected all = count(protect);
  const std::size_t share = services_.size() / std::max<std::size_t>(all.addresses, 1);
  near_ = std::clamp(std::bit_ceil(share), kFewestNear, services_.size());
}

std::size_t ServiceTable::store_bytes(const ProtectSet& protect) {
  return Arena::taken_by(places_for(protect, kFewestStored, kMost) * sizeof(Service));
}

// A byte that is neither 0 nor 1 must not be read as a bool.
bool ServiceTable::is_sound(const Service& s) {
  constexpr std::size_t kOffer = offsetof(Service, offer);
  constexpr std::size_t kCan = kOffer + offsetof(ServiceOffer, can);
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(&s);
  for (const std::size_t at : {offsetof(Service, used), kOffer + offsetof(ServiceOffer, crawls),
                               kCan + offsetof(Abilities, timestamps),
                               kCan + offsetof(Abilities, sack), kCan + offsetof(Abilities, ecn)}) {
    if (bytes[at] > 1) return false;
  }
  const bool ipv6 = (s.vlan_and_family & kFamilyIpv6) != 0;
  const bool promises_enough = s.offer.mss == 0 || s.offer.mss >= least_promised_mss(ipv6);
  return s.used && s.offer.window_scale <= kMaxWindowScale && promises_enough &&
         s.mss.value() >= kLeastMss &&
         std::max({s.timestamps.lacks, s.sack.lacks, s.ecn.lacks}) <= kMostDoublings;
}

// Their places follow from what is protected, and that may have been something else.
void ServiceTable::restore() {
  const std::span<const Service> left(static_cast<const Service*>(memory_.data()),
                                      memory_.bytes() / sizeof(Service));
  std::vector<Service> sound;
  for (const Service& s : left) {
    if (reinterpret_cast<const std::uint8_t*>(&s)[offsetof(Service, used)] == 0) continue;
    if (is_sound(s)) sound.push_back(s);
  }
  std::memset(memory_.data(), 0, memory_.bytes());
  for (const Service& s : sound) {
    const FlowKey key = key_of(s);
    if (find(key, s.port) != nullptr) continue;
    at(key, s.port) = s;
    any_crawls_ |= s.offer.crawls;
  }
}

void ServiceTable::adopt(std::span<const std::byte> carried, std::uint64_t epoch) {
  for (; carried.size() >= sizeof(Service); carried = carried.subspan(sizeof(Service))) {
    if (carried[offsetof(Service, used)] == std::byte{0}) continue;
    alignas(Service) std::array<std::byte, sizeof(Service)> copy;
    std::memcpy(copy.data(), carried.data(), sizeof(Service));
    const auto& s = *reinterpret_cast<const Service*>(copy.data());
    if (!is_sound(s)) continue;
    const FlowKey key = key_of(s);
    if (find(key, s.port) != nullptr) continue;
    Service& mine = at(key, s.port);
    mine = s;
    mine.recent_scales = kEveryScale;
    mine.scale_changed_epoch = epoch;
    any_crawls_ |= s.offer.crawls;
  }
}

ServiceTable::Name ServiceTable::name_of(const KeyView& key, std::uint16_t port) {
  return {server_of(key), vlan_and_family_of(key.identity), port};
}

// The address gives the neighbourhood, the port the place within it.
template <typename Visit>
void ServiceTable::walk(const KeyView& key, std::uint16_t port, Visit&& visit) const {
  KeyView name = key;
  name.client = name.server;
  name.identity.addresses &= ~0xffffffffULL;
  name.identity.ports_and_vlan &= ~0xffffffffULL;
  const std::uint64_t of_address = index_hash(key_, name);
  name.identity.ports_and_vlan |= std::uint64_t{port} << 16;
  const std::uint64_t of_port = index_hash(key_, name);
  const std::size_t mask = services_.size() - 1;
  for (std::size_t i = 0; i < kProbes; ++i) {
    if (visit(((of_address >> 32) + (((of_port >> 32) + i) & (near_ - 1))) & mask)) return;
  }
}

const ServiceTable::Service* ServiceTable::find(const KeyView& key, std::uint16_t port) const {
  if (!vlans_[digest_of(vlan_and_family_of(key.identity))]) return nullptr;
  const Name name = name_of(key, port);
  const Service* found = nullptr;
  walk(key, port, [&](std::size_t place) {
    const Service& s = services_[place];
    const bool same = s.used && s.port == port && s.vlan_and_family == name.vlan_and_family &&
                      same_address(s.address, name.address);
    if (same) found = &s;
    // No place is ever emptied.
    return same || !s.used;
  });
  return found;
}

// A free place, or that of the entry that gives way.
std::size_t ServiceTable::place_for(const KeyView& key, const Name& name) const {
  std::size_t best = 0;
  unsigned best_rank = 0;
  walk(key, name.port, [&](std::size_t place) {
    const Service& s = services_[place];
    unsigned rank = 1;
    if (s.vlan_and_family == name.vlan_and_family) {
      rank = same_address(s.address, name.address) ? 3 : 2;
    }
    if (!s.used) rank = 4;
    const bool older = rank == best_rank && s.confirmed_ms < services_[best].confirmed_ms;
    if (rank > best_rank || older) {
      best = place;
      best_rank = rank;
    }
    return !s.used;
  });
  return best;
}

const ServiceOffer& ServiceTable::offer_of(const Service* own, const KeyView& key) const {
  const Service* s = own != nullptr ? own : find(key, 0);
  return s != nullptr ? s->offer : kUnknown;
}

ScaleSet ServiceTable::scales_of(const Service* own, std::uint64_t epoch) {
  if (own == nullptr) return kEveryScale;
  const ScaleSet recent = epoch <= own->scale_changed_epoch + 1 ? own->recent_scales : ScaleSet{0};
  return static_cast<ScaleSet>(scale_set(own->offer.window_scale) | recent);
}

const ServiceOffer& ServiceTable::offer(const KeyView& key) const {
  return offer_of(find(key, server_port_of(key.identity)), key);
}

ScaleSet ServiceTable::scales(const KeyView& key, std::uint64_t epoch) const {
  return scales_of(find(key, server_port_of(key.identity)), epoch);
}

ServiceTable::Learned ServiceTable::learned(const KeyView& key, std::uint64_t epoch) const {
  const Service* own = find(key, server_port_of(key.identity));
  return {offer_of(own, key), scales_of(own, epoch)};
}

std::uint16_t ServiceTable::shown_mss(const KeyView& key) const {
  const Service* s = find(key, server_port_of(key.identity));
  return s != nullptr ? s->mss.value() : std::uint16_t{0};
}

bool ServiceTable::note_crawl(const KeyView& key) {
  const Service* s = find(key, server_port_of(key.identity));
  if (s == nullptr || s->offer.crawls) return false;
  services_[static_cast<std::size_t>(s - services_.data())].offer.crawls = true;
  any_crawls_ = true;
  return true;
}

ServiceTable::Service& ServiceTable::at(const KeyView& key, std::uint16_t port) {
  if (const Service* s = find(key, port)) {
    return services_[static_cast<std::size_t>(s - services_.data())];
  }
  ++version_;
  Service fresh;
  if (const Service* host = find(key, 0)) fresh = *host;
  const Name name = name_of(key, port);
  Service& s = services_[place_for(key, name)];
  s = fresh;
  s.address = name.address;
  s.vlan_and_family = name.vlan_and_family;
  s.port = port;
  s.used = true;
  vlans_.set(digest_of(name.vlan_and_family));
  s.confirmed_ms = kNever;
  return s;
}

void ServiceTable::begin_answer(Service& s, std::uint64_t now_ms) {
  s.confirmed_ms = now_ms;
  const std::uint64_t stretch = now_ms - s.stretch_began_ms;
  if (stretch < kLatelyMs) return;
  s.mss.turn(stretch < 2 * kLatelyMs);
  s.window.turn(stretch < 2 * kLatelyMs);
  s.stretch_began_ms = now_ms;
}

void ServiceTable::set_scale(Service& s, std::uint8_t scale, std::uint64_t epoch) {
  if (scale == s.offer.window_scale) return;
  if (epoch > s.scale_changed_epoch + 1) s.recent_scales = 0;  // those cookies have expired
  s.recent_scales |= scale_set(s.offer.window_scale);
  s.scale_changed_epoch = epoch;
  s.offer.window_scale = scale;
}

void ServiceTable::note_mss(Service& s, std::uint16_t mss, bool ipv6, std::uint64_t epoch) {
  s.mss.add(std::max(mss, kLeastMss));
  const std::uint16_t offered = std::max(s.mss.value(), least_promised_mss(ipv6));
  if (offered == s.offer.mss) return;
  if (epoch > s.mss_changed_epoch + 1) s.recent_mss = 0;
  const std::uint16_t before = s.offer.mss != 0 ? s.offer.mss : assumed_mss(ipv6);
  s.recent_mss = std::max(s.recent_mss, before);
  s.mss_changed_epoch = epoch;
  s.offer.mss = offered;
}

bool ServiceTable::probe_due(const KeyView& key, const Abilities& wanted,
                             std::uint64_t now_ms) const {
  if (Abilities{}.covers(wanted)) return false;
  const Service* s = find(key, server_port_of(key.identity));
  if (s == nullptr) return !ServiceOffer{}.can.covers(wanted);
  const Abilities& can = s->offer.can;
  return (wanted.timestamps && !can.timestamps && now_ms >= s->timestamps.ask_at_ms) ||
         (wanted.sack && !can.sack && now_ms >= s->sack.ask_at_ms) ||
         (wanted.ecn && !can.ecn && now_ms >= s->ecn.ask_at_ms);
}

// An option in the answer shows the ability, asked for or not. A missing option shows a lack only
// if our SYN asked for it.
void ServiceTable::Trial::note(bool& can, bool asked, bool has, std::uint64_t now_ms) {
  if (has) {
    if (can) return;
    shown = static_cast<std::uint8_t>(shown + 1);
    can = shown >= kAnswersToPromise;
  } else if (asked) {
    can = false;
    shown = 0;
    // Clients that were promised more before may show the same lack once more.
    if (now_ms < ask_at_ms) return;
    ask_at_ms = now_ms + (kAskAgainMs << lacks);
    lacks = static_cast<std::uint8_t>(std::min<unsigned>(lacks + 1U, kMostDoublings));
  }
}

std::uint16_t ServiceTable::learn(const KeyView& key, std::uint64_t epoch, std::uint64_t now_ms,
                                  const Answer& a) {
  Service& s = at(key, server_port_of(key.identity));
  const bool first = s.confirmed_ms == kNever;
  const ServiceOffer before = s.offer;
  begin_answer(s, now_ms);
  // Cookies made while the service was unknown carry the assumed scale and MSS, or its host's.
  if (first) {
    s.recent_scales =
        static_cast<ScaleSet>(scale_set(kAssumedScale) | scale_set(s.offer.window_scale));
    s.scale_changed_epoch = epoch;
    s.recent_mss = std::max(assumed_mss(key.ipv6()), s.offer.mss);
    s.mss_changed_epoch = epoch;
  }
  Abilities& can = s.offer.can;
  s.timestamps.note(can.timestamps, a.asked.timestamps, a.options.timestamps, now_ms);
  s.sack.note(can.sack, a.asked.sack, a.options.sack_permitted, now_ms);
  s.ecn.note(can.ecn, a.asked.ecn, a.ecn, now_ms);
  // RFC 9293 section 3.7.1: what a missing MSS option means.
  s.offer.ttl = a.ttl;
  note_mss(s, a.options.mss != 0 ? a.options.mss : default_mss(key.ipv6()), key.ipv6(), epoch);
  s.window.add(a.window);
  s.offer.window = s.window.value();
  // A server that does not scale counts as scale 0: its windows are sent as they are.
  if (a.scale_asked) {
    set_scale(s, a.options.window_scale == kNoScale ? 0 : a.options.window_scale, epoch);
  }
  version_ += s.offer == before ? 0U : 1U;
  const bool recent = epoch <= s.mss_changed_epoch + 1;
  return std::max(s.offer.mss, recent ? s.recent_mss : std::uint16_t{0});
}

void ServiceTable::learn_host(const KeyView& key, std::uint64_t epoch, std::uint64_t now_ms,
                              const TcpOptions& syn, bool ecn) {
  Service& s = at(key, 0);
  const ServiceOffer before = s.offer;
  begin_answer(s, now_ms);
  s.timestamps.note(s.offer.can.timestamps, false, syn.timestamps, now_ms);
  s.sack.note(s.offer.can.sack, false, syn.sack_permitted, now_ms);
  s.ecn.note(s.offer.can.ecn, false, ecn, now_ms);
  if (syn.mss != 0) note_mss(s, syn.mss, key.ipv6(), epoch);
  if (syn.window_scale != kNoScale) s.offer.window_scale = syn.window_scale;
  version_ += s.offer == before ? 0U : 1U;
}

}  // namespace synproxy
