// SPDX-License-Identifier: BSD-3-Clause
// Finds connections that were there before the proxy, so that they go on (--adopt).
//
// Theory of operation. For a while after the start, segments that belong to nothing pass, and what
// each side has shown last stands here. What the server shows can be trusted: it answers nothing
// but a RST on a connection that it does not have. What a client shows may be forged. When it
// agrees with the server's numbers, both have the same connection, and it is *adopted*: the flow
// is watched from then on. So forged segments make no flow, and only existing connections do.
//
// What agrees: a client may acknowledge what was seen of the server and no more. What is under way
// was sent before the proxy looked, so a busy client agrees one round trip later.
//
// What does not agree: an earlier proxy may have translated the connection. Then the client counts
// the server's stream differently, each end answers the other's ACKs with ACKs, and both have to be
// told. The client's own numbers are the same on both sides, so a client that shows the very number
// that the server waits for is believed at once. A forged segment would need that number, and with
// it could end the connection by itself. Any other client is asked: an ACK with the server's
// numbers brings the true ones out of a client whose segments were forged. If what it shows does
// not agree a while later, both are told.
//
// The table has a fixed size, and its buckets follow from a keyed hash. A newcomer takes the place
// of what is there; but a client's segment does not take the place of a server that has spoken
// lately. A flood of forged segments can make a connection be noticed later. It passes meanwhile,
// unless more pass than kPassedPerSecond: clients' segments that agree with nothing that is known
// are dropped then.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>

#include "synproxy/base/config.h"
#include "synproxy/base/packet.h"
#include "synproxy/proxy/per_second.h"
#include "synproxy/wire/seq_num.h"

namespace synproxy {

class Adoption {
 public:
  static constexpr std::uint32_t kPlaces = 1U << 14;
  static constexpr std::uint32_t kWays = 8;  // a thousand that wake at once all have their place
  static constexpr std::uint32_t kMemoryMs = 60'000;
  static constexpr std::uint32_t kKeepsPlaceMs = 4000;
  // Segments of clients that pass unproven, of all workers together.
  static constexpr std::uint32_t kPassedPerSecond = 10'000;
  static constexpr std::uint32_t kResetsPerSecond = 1000;
  // An ACK may be so far from what was seen of the other side: reordering, keepalives, zero-window
  // probes. Numbers that have nothing to do with each other are as near in one of 32,768 cases.
  static constexpr std::uint32_t kNear = 1U << 16;
  // More is never under way.
  static constexpr std::uint32_t kUnderWay = 1U << 26;
  static constexpr std::uint32_t kAskAgainMs = 200;
  // How long a client may contradict the server: far beyond what is under way, and otherwise.
  static constexpr std::uint32_t kPatienceMs = 1000;
  static constexpr std::uint32_t kLongPatienceMs = 2000;

  // What a segment with ACK shows of its sender.
  struct Shown {
    SeqNum seq;
    SeqNum end;  // one past its last number
    SeqNum ack;
    bool fin = false;
  };
  enum class Verdict : std::uint8_t {
    kPass,
    kShed,   // enough have passed in this second
    kAdopt,  // `other` is what the other side has shown
    kAsk,    // passes, and the client is to be asked what it has
    kReset,  // both ends are to be told; `other` is what the client has shown
  };

  // Allocates 1 MB if anything is to be adopted, which is touched when it is used. Throws
  // std::bad_alloc.
  explicit Adoption(const EngineShape& shape)
      : time_ms_(shape.adopt_ms),
        places_(shape.adopt_ms != 0 ? new Place[kPlaces] : nullptr),
        passing_(std::max(1U, kPassedPerSecond / std::max(1U, shape.workers))) {}

  // Whether the time goes on; it begins with the first call. No other function may be called before
  // or afterwards. `now_ms`: of the worker's clock.
  [[nodiscard]] bool goes_on(std::uint64_t now_ms) {
    if (!began_) {
      began_ = true;
      until_ms_ = now_ms + time_ms_;
    }
    return now_ms < until_ms_;
  }

  // A segment with ACK that belongs to no flow. `hash`: of its key; from here on `now_ms` is modulo
  // 2^32.
  [[nodiscard]] Verdict client(std::uint64_t hash, const Shown& shown, std::uint32_t now_ms,
                               Shown& other) {
    Place* p = find(hash, now_ms);
    if (p != nullptr && p->server_known && agrees(*p, shown)) {
      other = p->server;
      *p = {};
      return Verdict::kAdopt;
    }
    if (!passing_.take(now_ms)) return Verdict::kShed;
    if (p == nullptr) p = begin(hash, Role::kClient, now_ms);
    if (p == nullptr) return Verdict::kPass;
    p->client = shown;
    p->client_known = true;
    p->client_answered = p->asked;
    return Verdict::kPass;
  }
  [[nodiscard]] Verdict server(std::uint64_t hash, const Shown& shown, std::uint32_t now_ms,
                               Shown& other) {
    Place* p = find(hash, now_ms);
    if (p == nullptr) p = begin(hash, Role::kServer, now_ms);
    note_server(*p, shown);
    if (!p->client_known) return Verdict::kPass;
    other = p->client;
    if (agrees(*p, p->client)) {
      *p = {};
      return Verdict::kAdopt;
    }
    return contradicted(*p, now_ms);
  }

  // A client's RST that belongs to no flow: whether it passes.
  [[nodiscard]] bool client_reset(std::uint32_t now_ms) { return passing_.take(now_ms); }
  // A server's RST: whether it passes. The client may be ahead of its own handshake ACK, and the
  // RST would end its new connection. Such a client is known by its segments of the last second,
  // and the server has shown nothing else. Any other RST is right, or is sent again when its client
  // speaks again.
  [[nodiscard]] bool server_reset(std::uint64_t hash, std::uint32_t now_ms) {
    const Place* p = find(hash, now_ms);
    return p == nullptr || p->server_known || now_ms - p->since_ms >= kPatienceMs;
  }

 private:
  struct alignas(64) Place {
    std::uint32_t tag = 0;  // 0: empty
    std::uint32_t since_ms = 0;
    std::uint32_t asked_ms = 0;        // the last time
    std::uint32_t first_asked_ms = 0;  // the first time
    Shown client;                      // its last segment
    Shown server;                      // from its lowest number to its highest, and its last ACK
    bool client_known = false;
    bool server_known = false;
    bool asked = false;
    bool client_answered = false;  // it has spoken since
  };
  static_assert(sizeof(Place) == 64);

  [[nodiscard]] static std::uint32_t tag_of(std::uint64_t hash) {
    return static_cast<std::uint32_t>(hash) | 1U;
  }
  [[nodiscard]] std::span<Place> bucket_of(std::uint64_t hash) {
    return {&places_[(hash >> 32) % (kPlaces / kWays) * kWays], kWays};
  }
  [[nodiscard]] static bool is_free(const Place& p, std::uint32_t now_ms) {
    return p.tag == 0 || now_ms - p.since_ms >= kMemoryMs;
  }
  [[nodiscard]] Place* find(std::uint64_t hash, std::uint32_t now_ms) {
    for (Place& p : bucket_of(hash)) {
      if (p.tag == tag_of(hash) && !is_free(p, now_ms)) return &p;
    }
    return nullptr;
  }
  // The place of a newcomer: a free one, or that of the entry that came first. nullptr: all that
  // are there must stay.
  [[nodiscard]] Place* begin(std::uint64_t hash, Role sender, std::uint32_t now_ms) {
    Place* taken = nullptr;
    for (Place& p : bucket_of(hash)) {
      if (is_free(p, now_ms)) {
        taken = &p;
        break;
      }
      const std::uint32_t age = now_ms - p.since_ms;
      const bool stays = sender == Role::kClient && p.server_known && age < kKeepsPlaceMs;
      if (!stays && (taken == nullptr || age > now_ms - taken->since_ms)) taken = &p;
    }
    if (taken == nullptr) return nullptr;
    *taken = {};
    taken->tag = tag_of(hash);
    taken->since_ms = now_ms;
    return taken;
  }

  [[nodiscard]] static bool within(SeqNum n, SeqNum from, SeqNum to, std::uint32_t slack) {
    return (n - from) + slack <= (to - from) + 2 * slack;
  }
  [[nodiscard]] static bool agrees(const Place& p, const Shown& client) {
    return within(client.ack, p.server.seq, p.server.end, kNear) &&
           within(client.seq, p.server.ack, p.server.ack, kUnderWay);
  }
  static void note_server(Place& p, const Shown& s) {
    // Far from what was seen, it is of another connection.
    if (!p.server_known || !within(s.seq, p.server.seq, p.server.end, kUnderWay)) {
      p.server = s;
      p.server_known = true;
      return;
    }
    if (s.end.after(p.server.end)) p.server.end = s.end;
    if (p.server.seq.after(s.seq)) p.server.seq = s.seq;
    p.server.ack = s.ack;
    p.server.fin = p.server.fin || s.fin;
  }

  [[nodiscard]] Verdict contradicted(Place& p, std::uint32_t now_ms) {
    const bool own_is_right = p.server.ack == p.client.seq || p.server.ack == p.client.end ||
                              p.server.ack == p.client.seq + 1;  // of a keepalive
    const bool far = !within(p.client.ack, p.server.seq, p.server.end, kUnderWay);
    const std::uint32_t patience = far ? kPatienceMs : kLongPatienceMs;
    const bool over = p.client_answered && now_ms - p.first_asked_ms >= patience;
    if ((own_is_right && far) || over) {
      if (!resets_.take(now_ms)) return Verdict::kPass;
      p = {};
      return Verdict::kReset;
    }
    if (p.asked && now_ms - p.asked_ms < kAskAgainMs) return Verdict::kPass;
    if (!p.asked) p.first_asked_ms = now_ms;
    p.asked = true;
    p.asked_ms = now_ms;
    return Verdict::kAsk;
  }

  const std::uint32_t time_ms_;
  std::unique_ptr<Place[]> places_;
  PerSecond passing_;
  PerSecond resets_{kResetsPerSecond};
  std::uint64_t until_ms_ = 0;
  bool began_ = false;
};

}  // namespace synproxy
