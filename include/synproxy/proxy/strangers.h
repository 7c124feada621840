// SPDX-License-Identifier: BSD-3-Clause
// Tells connections that the proxy does not know, because they are older than it, from handshakes
// whose segments overtake each other.
//
// Theory of operation. After a start, segments come of connections that the proxy has not seen
// begin. It cannot translate them, so it sends both ends a RST, as a server that has rebooted does
// to its clients.
//
// A server's segment without a flow is of such a connection. A client's may also be data of a new
// one that has overtaken its handshake ACK, perhaps more than once if that is lost: a RST would
// kill it. So the server is asked: it gets a keepalive in the client's name. If it knows the
// connection it answers with an ACK; then both are told. If it answers with a RST or not at all,
// nothing is certain, and the client is told only if it is still unknown after kPatienceMs.
//
// An earlier proxy may have translated the connection, and then each end has its own numbers. So
// the client's number is kept until the server has answered. If it is not known yet, the client is
// asked too.
//
// Forged segments bring the server hardly any keepalives: after kAsksInVain of which it has
// confirmed none, it gets only kDoubtfulAsksPerSecond until it confirms one. A flood fills the
// places; those that came first keep theirs, and others are told later.
#pragma once

#include <cstdint>
#include <memory>

#include "synproxy/proxy/per_second.h"

namespace synproxy {

class Strangers {
 public:
  static constexpr std::uint32_t kPatienceMs = 30'000;
  static constexpr std::uint32_t kMemoryMs = 180'000;  // Linux repeats a keepalive after 75 s
  static constexpr std::uint32_t kKeepsPlaceMs = 4000;
  static constexpr std::uint32_t kAskAgainMs = 200;
  static constexpr std::uint32_t kLooksPerMs = 32;
  static constexpr std::uint32_t kAsksPerSecond = 1000;
  static constexpr std::uint32_t kAsksInVain = 256;
  static constexpr std::uint32_t kDoubtfulAsksPerSecond = 16;
  static constexpr std::uint32_t kResetsPerSecond = 1000;
  static constexpr std::uint32_t kPlaces = 1U << 13;

  // Throws std::bad_alloc. A page is touched when it is first used.
  Strangers() : places_(new Place[kPlaces]) {}

  // Call once per burst. `always`: all segments are of interest, in a flood too.
  void begin(bool enabled, bool always, std::uint32_t now_ms) {
    if (now_ms != looked_ms_) {
      looked_ms_ = now_ms;
      looks_ = 0;
    }
    curious_ = always || (enabled && looks_ < kLooksPerMs);
  }
  // Whether clients' segments are of interest in this burst. A flood's soon are not.
  [[nodiscard]] bool curious() const { return curious_; }

  enum class Advice : std::uint8_t { kWait, kAskServer, kReset };
  // A segment of a client that belongs to nothing and acknowledges `ack`. `hash`: of the flow,
  // keyed; `now_ms`: of the worker's clock modulo 2^32.
  [[nodiscard]] Advice client(std::uint64_t hash, std::uint32_t ack, std::uint32_t now_ms) {
    ++looks_;
    Place* p = place_for(hash, now_ms);
    if (p == nullptr) return Advice::kWait;
    // Nothing of the server has passed, so the client cannot acknowledge more than it did. This is
    // the next connection between the same ports.
    if (p->client_known && p->client_ack != ack) begin(*p, p->tag, now_ms);
    p->client_ack = ack;
    p->client_known = true;
    if (p->server_knows || now_ms - p->since_ms >= kPatienceMs) {
      return resets_.take(now_ms) ? Advice::kReset : Advice::kWait;
    }
    const bool soon = p->asked && now_ms - p->asked_ms < kAskAgainMs;
    PerSecond& asks = in_vain_ < kAsksInVain ? asks_ : doubtful_asks_;
    if (soon || !asks.take(now_ms)) return Advice::kWait;
    ++in_vain_;
    p->asked = true;
    p->asked_ms = now_ms;
    return Advice::kAskServer;
  }

  struct ToClient {
    bool known = false;  // the client's number is
    std::uint32_t seq = 0;
  };
  // A segment of a server that belongs to nothing. False: enough were told in this second.
  [[nodiscard]] bool server(std::uint64_t hash, std::uint32_t now_ms, ToClient& out) {
    if (!resets_.take(now_ms)) return false;
    Place* p = place_for(hash, now_ms);
    if (p == nullptr) return true;
    if (p->asked) in_vain_ = 0;
    p->server_knows = true;
    out = {.known = p->client_known, .seq = p->client_ack};
    return true;
  }

 private:
  struct Place {
    std::uint32_t tag = 0;  // 0: empty
    std::uint32_t since_ms = 0;
    std::uint32_t asked_ms = 0;
    std::uint32_t client_ack = 0;
    bool asked = false;
    bool client_known = false;
    bool server_knows = false;
  };

  // nullptr: another connection has its place, and it came only now.
  [[nodiscard]] Place* place_for(std::uint64_t hash, std::uint32_t now_ms) {
    const std::uint32_t tag = static_cast<std::uint32_t>(hash) | 1U;
    Place& p = places_[(hash >> 32) % kPlaces];
    const std::uint32_t age = now_ms - p.since_ms;
    if (p.tag == tag && age < kMemoryMs) return &p;
    if (p.tag != 0 && p.tag != tag && age < kKeepsPlaceMs) return nullptr;
    begin(p, tag, now_ms);
    return &p;
  }
  static void begin(Place& p, std::uint32_t tag, std::uint32_t now_ms) {
    p = Place{};
    p.tag = tag;
    p.since_ms = now_ms;
  }

  std::unique_ptr<Place[]> places_;
  PerSecond asks_{kAsksPerSecond};
  PerSecond doubtful_asks_{kDoubtfulAsksPerSecond};
  std::uint64_t in_vain_ = 0;  // keepalives since the server has last confirmed a connection
  PerSecond resets_{kResetsPerSecond};
  std::uint32_t looked_ms_ = 0;
  std::uint32_t looks_ = 0;  // in that millisecond
  bool curious_ = false;
};

}  // namespace synproxy
