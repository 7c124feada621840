// SPDX-License-Identifier: BSD-3-Clause
// Learns from the handshakes that pass what the protected servers can do.
//
// Theory of operation. A bump in the wire has no address of its own to ask from, so it asks in the
// name of real clients: our SYN on a client's behalf also offers what the flags leave to `auto` and
// this service has not shown yet (probe_due). When the SYN-ACK shows more than the client was
// promised, the engine resets that handshake and repeats its SYN without the extras; the client
// sees nothing but one more round trip between proxy and server. The server's own outbound SYNs
// tell about its host.
//
// A promise of timestamps or ECN cannot be taken back: a client that was promised timestamps drops
// every segment without them (RFC 7323 section 3.2). So these two are offered only after the server
// has shown them. SACK and window scaling are assumed, because blocks can be blanked and windows
// rescaled.
//
// Behind one address there may be a farm of unlike servers. So one answer is not enough for a
// promise: an ability is promised when the last kAnswersToPromise answers that could show it all
// did. One lack ends the promise and, for a while that doubles with every such lack, the asking.
// MSS and window are the least of what was answered lately.
//
// Each worker learns alone. A service is an address and port in a VLAN: the same address in another
// VLAN is another server. Entries are made only for servers that answered a handshake, or whose own
// SYN was answered, so nobody can fill the table with connection attempts. The table is sized by
// what is protected. Its places follow from a keyed hash, and all services of one address lie close
// together. When the places of a newcomer are taken, the entry that was confirmed longest ago gives
// way: one of the newcomer's own address if there is one, else of its own VLAN. So a server that
// opens a thousand ports pushes out its own entries.
#pragma once

#include <algorithm>
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "synproxy/cookie/cookie.h"
#include "synproxy/flow/arena.h"
#include "synproxy/flow/identity.h"
#include "synproxy/flow/index_hash.h"
#include "synproxy/flow/key.h"
#include "synproxy/policy/protect.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {

inline constexpr std::uint8_t kAssumedScale = 7;  // of a current Linux server
// The MSS that is offered in the name of a server that has shown nothing yet: Ethernet's.
[[nodiscard]] constexpr std::uint16_t assumed_mss(bool ipv6) { return ipv6 ? 1440 : 1460; }

// The handshake options that a server may or may not have.
struct Abilities {
  bool timestamps = false;
  bool sack = false;
  bool ecn = false;

  [[nodiscard]] constexpr bool covers(const Abilities& other) const {
    return (timestamps || !other.timestamps) && (sack || !other.sack) && (ecn || !other.ecn);
  }
  friend bool operator==(const Abilities&, const Abilities&) = default;
};

// What a SYN-ACK may offer in the server's name.
struct ServiceOffer {
  Abilities can{.timestamps = false, .sack = true, .ecn = false};
  std::uint8_t window_scale = kAssumedScale;  // 0 to 14
  std::uint16_t mss = 0;                      // bytes; 0: not learned
  std::uint16_t window = 0xffff;              // bytes, of the server's last SYN-ACK
  std::uint8_t ttl = 0;                       // of it, or its hop limit; 0: not learned
  bool crawls = false;                        // see note_crawl()

  friend bool operator==(const ServiceOffer&, const ServiceOffer&) = default;
};

// What every server takes (RFC 9293 section 3.7.1). Less is not promised, whatever an answer shows:
// a forged one must not make all clients send crumbs. Segments to a server that really takes less
// are cut (spliced/too_long.h).
[[nodiscard]] constexpr std::uint16_t least_promised_mss(bool ipv6) { return default_mss(ipv6); }
// The least that a server's answer is believed to mean. Linux sends no less to anybody
// (tcp_min_snd_mss).
inline constexpr std::uint16_t kLeastMss = 48;

class ServiceTable {
 public:
  // A server that lacked something may have been mended since, so it is asked again after this
  // long. After another lack it takes twice as long, and so on, kMostDoublings times.
  static constexpr std::uint64_t kAskAgainMs = 600'000;
  static constexpr unsigned kMostDoublings = 4;
  static constexpr unsigned kAnswersToPromise = 8;
  // "Lately": answers of the last one to two times this long.
  static constexpr std::uint64_t kLatelyMs = 60'000;

  // `key`: random, so that nobody can choose services that share their places. Throws
  // std::bad_alloc.
  ServiceTable(const ProtectSet& protect, const IndexKey& key, Arena* arena = nullptr);
  // Of an arena.
  [[nodiscard]] static std::size_t store_bytes(const ProtectSet& protect);
  // Takes over what stands in the arena: once, before anything else. Drops what no server can have
  // shown.
  void restore();

  // What another table of the same key needs to know all that this one knows.
  [[nodiscard]] std::span<const std::byte> carried() const { return std::as_bytes(services_); }
  // Takes over carried() of a process before this one, for services that have no entry yet. Drops
  // what no server can have shown. Cookies of `epoch` may have been made with any scale: several
  // tables may have served.
  void adopt(std::span<const std::byte> carried, std::uint64_t epoch);

  // How many services there is room for.
  [[nodiscard]] std::size_t capacity() const { return services_.size(); }

  // What is known of the service, else of its host, else what is assumed. Valid until the next
  // learn() or learn_host().
  [[nodiscard]] const ServiceOffer& offer(const KeyView& key) const;
  // The scales that a cookie alive in `epoch` may have been made with. All scales while the service
  // is unknown, so that cookies of an earlier process, or of a second proxy, are accepted.
  [[nodiscard]] ScaleSet scales(const KeyView& key, std::uint64_t epoch) const;
  // The least MSS that was answered lately, at least kLeastMss. 0: the service is unknown.
  [[nodiscard]] std::uint16_t shown_mss(const KeyView& key) const;
  // Changes whenever offer() or scales() may have changed for any service.
  [[nodiscard]] std::uint64_t version() const { return version_; }
  // offer() and scales() by one search.
  struct Learned {
    const ServiceOffer& offer;
    ScaleSet scales;
  };
  [[nodiscard]] Learned learned(const KeyView& key, std::uint64_t epoch) const;
  // The entry at a place below capacity(), for a list of all. nullopt: there is none.
  struct Entry {
    AddressBytes address;
    std::uint32_t vlan_and_family;  // as in FlowRecord
    std::uint16_t port;             // 0: the host
    const ServiceOffer& offer;
  };
  [[nodiscard]] std::optional<Entry> entry(std::size_t place) const {
    const Service& s = services_[place];
    if (!s.used) return std::nullopt;
    return Entry{s.address, s.vlan_and_family, s.port, s.offer};
  }
  // True when the next SYN to the server should ask for all that is `wanted`.
  [[nodiscard]] bool probe_due(const KeyView& key, const Abilities& wanted,
                               std::uint64_t now_ms) const;

  // A SYN-ACK of the server. `asked` and `scale_asked`: what our SYN had offered; `ecn`: the answer
  // is an ECN-setup SYN-ACK.
  struct Answer {
    Abilities asked;
    bool scale_asked = false;
    TcpOptions options;
    bool ecn = false;
    std::uint16_t window = 0;
    std::uint8_t ttl = 0;
  };
  // Returns the largest MSS that clients whose cookies are alive were promised by `auto`.
  std::uint16_t learn(const KeyView& key, std::uint64_t epoch, std::uint64_t now_ms,
                      const Answer& answer);
  // Learns from a SYN that the server sent itself, once the peer has answered it. It shows what the
  // host can do, on any port, but never a lack.
  void learn_host(const KeyView& key, std::uint64_t epoch, std::uint64_t now_ms,
                  const TcpOptions& syn, bool ecn);

  // The service was seen to crawl after a handshake with the proxy (time/crawl_watch.h). Kept for
  // as long as the entry is. False: it was known, or nothing is known of the service.
  bool note_crawl(const KeyView& key);
  [[nodiscard]] bool any_crawls() const { return any_crawls_; }

 private:
  // How often an ability was shown in a row, and when to ask for it next.
  struct Trial {
    std::uint64_t ask_at_ms = 0;
    std::uint8_t shown = 0;
    std::uint8_t lacks = 0;

    void note(bool& can, bool asked, bool has, std::uint64_t now_ms);
  };
  // The least of this stretch of time and of the one before.
  struct Least {
    std::uint16_t now = 0xffff;
    std::uint16_t before = 0xffff;

    void turn(bool keep) {
      before = keep ? now : std::uint16_t{0xffff};
      now = 0xffff;
    }
    void add(std::uint16_t value) { now = std::min(now, value); }
    [[nodiscard]] std::uint16_t value() const { return std::min(now, before); }
  };
  struct Service {
    AddressBytes address{};
    std::uint32_t vlan_and_family = 0;  // as in FlowRecord
    std::uint16_t port = 0;             // 0: the host; counts for its ports without an entry
    bool used = false;
    ServiceOffer offer;
    ScaleSet recent_scales = 0;             // offered before `offer.window_scale`, ...
    std::uint16_t recent_mss = 0;           // and the largest MSS before `offer.mss`, ...
    std::uint64_t scale_changed_epoch = 0;  // ... and until this epoch
    std::uint64_t mss_changed_epoch = 0;
    Least mss;
    Least window;
    std::uint64_t stretch_began_ms = 0;  // of `mss` and `window`
    std::uint64_t confirmed_ms = 0;
    Trial timestamps;
    Trial sack;
    Trial ecn;
  };
  // So many places of the table may hold a service.
  static constexpr std::size_t kProbes = 16;
  static constexpr std::size_t kFewest = 1024;
  static constexpr std::size_t kMost = 1U << 17;  // 15 MB
  static constexpr std::size_t kFewestNear = 64;

  struct Name {
    AddressBytes address;
    std::uint32_t vlan_and_family;
    std::uint16_t port;
  };
  [[nodiscard]] static std::size_t digest_of(std::uint32_t vlan_and_family) {
    return vlan_and_family * 0x9e3779b1U >> 20;
  }
  [[nodiscard]] static bool is_sound(const Service& s);
  [[nodiscard]] static Name name_of(const KeyView& key, std::uint16_t port);
  // Calls visit(place) for the places of the service, until it returns true.
  template <typename Visit>
  void walk(const KeyView& key, std::uint16_t port, Visit&& visit) const;
  [[nodiscard]] std::size_t place_for(const KeyView& key, const Name& name) const;
  [[nodiscard]] const Service* find(const KeyView& key, std::uint16_t port) const;
  // `own`: the entry of the service, nullptr: it has none.
  [[nodiscard]] const ServiceOffer& offer_of(const Service* own, const KeyView& key) const;
  [[nodiscard]] static ScaleSet scales_of(const Service* own, std::uint64_t epoch);
  // Finds or makes the entry; a new one has the port's number and no `confirmed_ms`.
  Service& at(const KeyView& key, std::uint16_t port);
  static void begin_answer(Service& s, std::uint64_t now_ms);
  static void set_scale(Service& s, std::uint8_t scale, std::uint64_t epoch);
  static void note_mss(Service& s, std::uint16_t mss, bool ipv6, std::uint64_t epoch);

  IndexKey key_;
  Mapping memory_;
  std::span<Service> services_;
  std::size_t near_;  // the places of one address lie within so many
  // By digest: the VLANs that ever had an entry. SYNs of random VLANs are not searched for.
  std::bitset<4096> vlans_;
  std::uint64_t version_ = 1;
  bool any_crawls_ = false;
};

}  // namespace synproxy
