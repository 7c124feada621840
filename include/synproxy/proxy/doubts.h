// SPDX-License-Identifier: BSD-3-Clause
// Remembers which services have lately refused a connection or kept silent, so that their clients
// learn it as they would directly: by a RST or by silence, and not by a connection that is reset
// after its handshake.
//
// Theory of operation. A service comes in doubt when it refuses our SYN, by a RST or an ICMP error,
// or leaves it unanswered for 1.4 s. While it is in doubt, its clients' SYNs are not answered. Each
// is passed to the server as it came, and the SYN-ACK that it would have been given waits here. So
// every SYN is a probe, and the server itself decides:
//   - a RST or an ICMP error is passed back: the client sees what it would see directly;
//   - silence is silence;
//   - a SYN-ACK ends the doubt. The client gets the SYN-ACK that was kept for it, one round trip to
//     the server late. The server waits half open for our SYN, which it takes for a repeat. If none
//     comes, its SYN-ACK of three seconds later is answered by a RST, as every one without a flow.
//     If it has agreed to more than the client was promised, the RST comes at once.
// Doubt can therefore not make a live service look dead. A client that a server's filter refuses
// brings its service in doubt, and costs the next client that round trip. Above kAsksPerSecond,
// SYNs are answered as if there were no doubt: a flood gains nothing by the doubt, and cannot use
// up the probes of real clients. SYNs are also answered once kFoundAlivePerSecond of them have
// found their service alive: an attacker who brings a live service in doubt again and again gets no
// more forged SYNs past the proxy.
//
// A RST from memory would be wrong for every client that the server would take after all: one that
// its filter lets through, or one that tries again as soon as the server has restarted.
//
// Each worker doubts alone. The table has a fixed size and a keyed hash; a service that has lost
// its place counts as alive.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "synproxy/flow/identity.h"
#include "synproxy/flow/index_hash.h"
#include "synproxy/proxy/synack_repeats.h"

namespace synproxy {

class Doubts {
 public:
  static constexpr std::uint32_t kMemoryMs = 30'000;  // without news of the service
  static constexpr std::uint32_t kAnswerMs = 4000;    // later, nobody waits for an answer
  static constexpr std::uint32_t kCopiesMs = 1500;    // for so long copies of a SYN-ACK may come
  static constexpr std::uint32_t kAsksPerSecond = 1000;
  static constexpr std::uint32_t kFoundAlivePerSecond = 50;
  static constexpr std::size_t kServices = 512;
  static constexpr std::size_t kAsked = 1024;

  // Throws std::bad_alloc. A page is touched when it is first used.
  explicit Doubts(const IndexKey& secret);

  // --- What was seen of a service. Times are of the worker's clock modulo 2^32.
  // It refused, or it has not answered for a while. True: it comes in doubt by this.
  bool dead(const KeyView& key, std::uint32_t now_ms);
  // It has answered. True: this ends a doubt.
  bool alive(const KeyView& key);

  // --- What becomes of a SYN.
  [[nodiscard]] bool any() const { return in_doubt_ != 0; }
  [[nodiscard]] bool doubted(const KeyView& key, std::uint32_t now_ms) const;
  // For a service in doubt. A place for the SYN-ACK of a SYN that asks; the caller fills in all but
  // `deadline_ms`. nullptr: enough was asked in this second. `hash`: of the flow.
  [[nodiscard]] SynAckRepeats::Entry* ask(const KeyView& key, std::uint64_t hash,
                                          std::uint32_t now_ms);

  // --- Answers. Not for a flow's own segments.
  [[nodiscard]] bool asking() const { return asking_; }
  // The SYN-ACK that waits for the server's answer to the SYN `isn`; nullptr: none.
  [[nodiscard]] const SynAckRepeats::Entry* asked(const KeyView& key, std::uint64_t hash,
                                                  SeqNum isn, std::uint32_t now_ms) const;
  // That SYN has been answered by a SYN-ACK, or refused.
  void found_alive(std::uint64_t hash, std::uint32_t now_ms);
  void found_dead(std::uint64_t hash) { asked_[hash % kAsked].syn_ack.flags = 0; }

 private:
  static constexpr std::size_t kWays = 4;
  struct Service {
    AddressBytes server{};
    std::uint32_t vlan_and_family = 0;
    std::uint32_t seen_ms = 0;  // of the last evidence
    std::uint16_t port = 0;
    bool used = false;
  };
  struct Name {
    AddressBytes server;
    std::uint32_t vlan_and_family;
    std::uint16_t port;
  };

  [[nodiscard]] static Name name_of(const KeyView& key);
  [[nodiscard]] std::size_t bucket_of(const Name& name) const;
  [[nodiscard]] const Service* find(const Name& name) const;
  [[nodiscard]] Service* find(const Name& name) {
    return const_cast<Service*>(static_cast<const Doubts*>(this)->find(name));
  }
  Service& place_for(const Name& name, std::uint32_t now_ms);

  IndexKey secret_;
  std::vector<Service> services_;
  std::unique_ptr<SynAckRepeats::Entry[]> asked_;
  std::uint32_t in_doubt_ = 0;
  std::uint32_t second_began_ = 0;
  std::uint32_t asks_ = 0;         // in that second
  std::uint32_t found_alive_ = 0;  // likewise
  bool asking_ = false;            // some SYN has asked since the start
};

}  // namespace synproxy
