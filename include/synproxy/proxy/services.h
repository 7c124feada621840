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
// Each worker learns alone. A service is one address and port; entries are made only for servers
// that have answered, so that nobody can fill the table with connection attempts. When a bucket is
// full, the entry that was confirmed longest ago gives way and is learned again.
#pragma once

#include <cstdint>
#include <vector>

#include "synproxy/cookie/cookie.h"
#include "synproxy/flow/identity.h"
#include "synproxy/flow/key.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {

inline constexpr std::uint8_t kAssumedScale = 7;  // of a current Linux server

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

  friend bool operator==(const ServiceOffer&, const ServiceOffer&) = default;
};

class ServiceTable {
 public:
  static constexpr std::size_t kServices = 1024;
  // A server that lacked something may have been mended since: it is asked again after this long.
  static constexpr std::uint64_t kAskAgainMs = 600'000;

  ServiceTable() : services_(kServices) {}

  // What is known of the service, else of its host, else what is assumed. Valid until the next
  // learn() or learn_host().
  [[nodiscard]] const ServiceOffer& offer(const KeyView& key) const;
  // The scales that a cookie alive in `epoch` may have been made with. All scales while the service
  // is unknown, so that cookies of an earlier process, or of a second proxy, are accepted.
  [[nodiscard]] ScaleSet scales(const KeyView& key, std::uint64_t epoch) const;
  // Changes whenever offer() or scales() may have changed for any service.
  [[nodiscard]] std::uint64_t version() const { return version_; }
  // True when the next SYN to the server should ask for all that is `wanted`.
  [[nodiscard]] bool probe_due(const KeyView& key, const Abilities& wanted,
                               std::uint64_t now_ms) const;

  // A SYN-ACK of the server. `asked`: what our SYN had offered; `scale_asked` likewise; `ecn`: the
  // answer is an ECN-setup SYN-ACK.
  struct Answer {
    Abilities asked;
    bool scale_asked = false;
    bool probe = false;  // our SYN asked for all that was wanted
    TcpOptions options;
    bool ecn = false;
    std::uint16_t window = 0;
    std::uint8_t ttl = 0;
  };
  void learn(const KeyView& key, std::uint64_t epoch, std::uint64_t now_ms, const Answer& answer);
  // Learns from a SYN that the server sent itself. It shows what the host can do, on any port, but
  // never a lack.
  void learn_host(const KeyView& key, std::uint64_t now_ms, const TcpOptions& syn, bool ecn);

 private:
  struct Service {
    AddressBytes address{};
    std::uint16_t port = 0;  // 0: the host; counts for its ports without an entry
    bool ipv6 = false;
    bool used = false;
    bool window_known = false;
    ServiceOffer offer;
    ScaleSet recent_scales = 0;       // offered before `offer.window_scale`, ...
    std::uint64_t changed_epoch = 0;  // ... and until this epoch
    std::uint64_t confirmed_ms = 0;
    std::uint64_t probed_ms = 0;
  };
  static constexpr std::size_t kWays = 4;

  [[nodiscard]] static std::uint16_t port_of(const KeyView& key) {
    return static_cast<std::uint16_t>(key.identity.ports_and_vlan >> 16);
  }
  [[nodiscard]] static AddressBytes server_of(const KeyView& key);
  [[nodiscard]] static std::size_t bucket_of(const AddressBytes& server, std::uint16_t port);
  [[nodiscard]] const Service* find(const KeyView& key, std::uint16_t port) const;
  Service& at(const KeyView& key, std::uint16_t port, std::uint64_t now_ms);
  static void set_scale(Service& s, std::uint8_t scale, std::uint64_t epoch);

  std::vector<Service> services_;
  std::uint64_t version_ = 1;
};

}  // namespace synproxy
