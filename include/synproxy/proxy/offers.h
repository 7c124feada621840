// SPDX-License-Identifier: BSD-3-Clause
// What the SYN-ACKs of a service offer. It follows from the flags and from what was learned, and is
// put together once instead of for every SYN.
//
// A site has a handful of services, so a few entries serve nearly every SYN. They are found by
// address, port and VLAN. An entry is valid until something is learned, the epoch changes or the
// tuning changes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "synproxy/base/config.h"
#include "synproxy/policy/activation.h"
#include "synproxy/proxy/earlier_tuning.h"
#include "synproxy/proxy/services.h"
#include "synproxy/wire/ip_look.h"

namespace synproxy {

// A client that was shown less window than this waits for a window update.
inline constexpr std::uint32_t kSmallestSegment = 536;

// SynAckOffer::can: what is agreed to if the client asks for it.
inline constexpr std::uint8_t kOffersTimestamps = 1;
inline constexpr std::uint8_t kOffersSack = 2;
inline constexpr std::uint8_t kOffersEcn = 4;
// And whether there is a SYN-ACK at all. Without it SYNs pass to the server (Activation). The fast
// ways to answer a SYN check it together with the abilities, so it costs them no further check.
inline constexpr std::uint8_t kOffersCookies = 8;

// The first eight bytes are read as one word (syn_burst_lanes.h).
struct SynAckOffer {
  std::uint16_t mss = 0;     // bytes
  std::uint16_t window = 0;  // as on the wire; in a SYN-ACK it is never scaled
  std::uint8_t window_scale = 0;
  // The TTL of the SYN-ACK is max(the SYN's & ttl_of_syn, ttl): the server's if it is known, else
  // that of ttl_for_answer().
  std::uint8_t ttl = kDefaultTtl;
  std::uint8_t ttl_of_syn = 0xff;
  std::uint8_t dscp_of_syn = 0xfc;  // which bits of its TOS byte the SYN-ACK takes over
  std::uint8_t can = 0;
  ScaleSet scales = 0;  // scales that cookies of this service may have been made with

  [[nodiscard]] bool has(std::uint8_t abilities) const { return (can & abilities) == abilities; }
  [[nodiscard]] std::uint8_t ttl_for(std::uint8_t seen) const {
    const auto of_syn = static_cast<std::uint8_t>(seen & ttl_of_syn);
    return of_syn > ttl ? of_syn : ttl;
  }
  [[nodiscard]] static SynAckOffer of_words(std::uint64_t first, std::uint32_t rest) {
    SynAckOffer out;
    auto* const bytes = reinterpret_cast<std::uint8_t*>(&out);
    std::memcpy(bytes, &first, sizeof first);
    std::memcpy(bytes + sizeof first, &rest, sizeof rest);
    return out;
  }
  [[nodiscard]] std::uint64_t first_word() const {
    std::uint64_t word;
    std::memcpy(&word, this, sizeof word);
    return word;
  }
};
static_assert(sizeof(SynAckOffer) == 12);
static_assert(offsetof(SynAckOffer, window) == 2 && offsetof(SynAckOffer, window_scale) == 4 &&
              offsetof(SynAckOffer, ttl) == 5 && offsetof(SynAckOffer, ttl_of_syn) == 6 &&
              offsetof(SynAckOffer, dscp_of_syn) == 7 && offsetof(SynAckOffer, can) == 8 &&
              offsetof(SynAckOffer, scales) == 10);

[[nodiscard]] SynAckOffer make_offer(const EngineTuning& tuning, const ServiceTable& services,
                                     const KeyView& key, std::uint64_t epoch);

// Address, port and VLAN of a service in one word, never 0. It has a digest of an IPv6 address and
// of VLAN tags, and the exact IPv4 address and port.
using ServiceName = std::uint64_t;
inline constexpr ServiceName kNameIpv6 = 1ULL << 49;
inline constexpr ServiceName kNameTagged = 1ULL << 50;
inline constexpr unsigned kNameTagDigest = 51;  // from this bit on
inline constexpr std::uint32_t kMixOfTags = 0x9e3779b1U;
// What tags add to the name of the service without them.
[[nodiscard]] constexpr ServiceName name_of_tags(VlanStack tags) {
  if (tags.packed == 0) return 0;
  const std::uint32_t digest = (tags.packed * kMixOfTags) >> (kNameTagDigest - 32);
  return kNameTagged | std::uint64_t{digest} << kNameTagDigest;
}
[[nodiscard]] inline ServiceName service_name(const FlowIdentity& identity) {
  const ServiceName name = identity.addresses >> 32 |
                           (identity.ports_and_vlan & 0xffff0000U) << 16 |
                           ((identity.ports_and_vlan >> 63) != 0 ? kNameIpv6 : 0U) | 1ULL << 48;
  const VlanStack tags = vlan_of(identity);
  if (tags.packed == 0) [[likely]] {
    return name;
  }
  return name | name_of_tags(tags);
}
// Whether services of one name must be told apart by what the name has a digest of.
[[nodiscard]] constexpr bool is_digest(ServiceName name) {
  return (name & (kNameIpv6 | kNameTagged)) != 0;
}

// Services may have modes of their own.
class ModeOfService {
 public:
  [[nodiscard]] virtual Mode mode_of(const KeyView& key) const = 0;

 protected:
  ModeOfService() = default;
  ~ModeOfService() = default;
};

class OfferCache {
 public:
  // nullptr: every service has cookies. Call forget() when the answers of either change.
  explicit OfferCache(const Activation* activation = nullptr, const ModeOfService* modes = nullptr)
      : activation_(activation), modes_(modes) {}

  // Valid until the next call. `name`: of the key's service.
  [[nodiscard]] const SynAckOffer& find(const EngineTuning& tuning, const ServiceTable& services,
                                        const KeyView& key, ServiceName name, std::uint64_t epoch) {
    const SynAckOffer* known = find_known(services, name, key.server, vlan_of(key.identity), epoch);
    return known != nullptr ? *known : fill(tuning, services, key, epoch);
  }
  [[nodiscard]] const SynAckOffer& find(const EngineTuning& tuning, const ServiceTable& services,
                                        const KeyView& key, std::uint64_t epoch) {
    return find(tuning, services, key, service_name(key.identity), epoch);
  }
  // The same from the cache alone; nullptr: not there. `server`: 16 bytes, IPv6 only.
  [[nodiscard]] const SynAckOffer* find_known(const ServiceTable& services, ServiceName name,
                                              const std::uint8_t* server, VlanStack vlan,
                                              std::uint64_t epoch) const {
    const Entry* e = entry_of(name, server, vlan);
    const bool fresh = version_ == services.version() && epoch_ == epoch;
    return e != nullptr && fresh ? &e->offer : nullptr;
  }
  // Whether an entry for the service is there, even if something was learned since.
  [[nodiscard]] bool knows(ServiceName name, const std::uint8_t* server, VlanStack vlan) const {
    return entry_of(name, server, vlan) != nullptr;
  }

  // The service's next offer is made anew.
  void forget(ServiceName name) {
    Entry& e = entries_[place_of(name)];
    if (e.name == name) e.name = 0;
  }

  // Call after the tuning has changed. `earlier`: what was offered before.
  void retuned(const EarlierTuning& earlier) {
    earlier_ = earlier;
    forget();
  }
  // All offers are made anew.
  void forget() {
    for (Entry& e : entries_) e.name = 0;
  }

 private:
  static constexpr unsigned kEntryBits = 9;
  struct Entry {
    ServiceName name = 0;  // 0: empty
    SynAckOffer offer;
  };
  // What the name of an entry has a digest of.
  struct Whole {
    AddressBytes server{};  // IPv6 only
    VlanStack vlan;
  };
  [[nodiscard]] static std::size_t place_of(ServiceName name) {
    return name * 0x9e3779b97f4a7c15ULL >> (64 - kEntryBits);
  }
  [[nodiscard]] const Entry* entry_of(ServiceName name, const std::uint8_t* server,
                                      VlanStack vlan) const {
    const std::size_t place = place_of(name);
    const Entry& e = entries_[place];
    if (e.name != name) return nullptr;
    if (!is_digest(name)) [[likely]] {
      return &e;
    }
    const Whole& whole = wholes_[place];
    if (whole.vlan != vlan) return nullptr;
    return (name & kNameIpv6) == 0 || same_address(whole.server, server) ? &e : nullptr;
  }
  const SynAckOffer& fill(const EngineTuning& tuning, const ServiceTable& services,
                          const KeyView& key, std::uint64_t epoch);

  [[nodiscard]] bool wants_cookies(ServiceName name, const KeyView& key) const {
    if (modes_ == nullptr) return true;
    const Mode mode = modes_->mode_of(key);
    return mode == Mode::kAlways || (mode == Mode::kAdaptive && activation_->attacked(name));
  }

  const Activation* activation_;
  const ModeOfService* modes_;
  std::array<Entry, 1U << kEntryBits> entries_;
  std::array<Whole, 1U << kEntryBits> wholes_;  // apart, since untagged IPv4 needs none
  EarlierTuning earlier_;
  std::uint64_t version_ = 0;  // of the services, when the entries were made
  std::uint64_t epoch_ = 0;    // when the entries were made
};

}  // namespace synproxy
