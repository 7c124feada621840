// SPDX-License-Identifier: BSD-3-Clause
// Where answers to clients leave, when not the way that the client's frames came.
//
// A balancer may hand over frames whose answers belong to a router (direct server return), and
// routers may share the directions. The servers know: the Ethernet header of a server's segment
// shows the way back. It is remembered for the header of the client's frames of that connection, so
// that the next SYN-ACK, which belongs to no flow, takes the same way.
//
// A host on the servers' own network is answered at its own address even if it asked through the
// balancer. So a way counts for others only once two clients have shown it, and for its own client
// before that. It goes when eight connections in a row have shown other ways; so one neighbour with
// a forged address does not push it out.
#pragma once

#include <array>
#include <cstdint>

#include "synproxy/proxy/link_header.h"
#include "synproxy/wire/bytes.h"

namespace synproxy {

class AnswerWays {
 public:
  // `key`: random.
  explicit AnswerWays(const IndexKey& key) : key_(key) {}

  // Nearly everywhere answers go back where the question came from, and nobody has to look.
  [[nodiscard]] bool any() const { return used_ != 0; }

  // A server's segment with header `back` belongs to a connection whose client's frames have header
  // `frame`, and has as many tags. `usual`: the plain answer_to() that. `client`: a digest of its
  // address.
  void learn(const LinkHeader& frame, const LinkHeader& back, const LinkHeader& usual,
             std::uint32_t client) {
    const LinkHeader from = name_of(frame);
    Entry& e = entries_[place_of(from)];
    if (!(e.from == from)) {
      if (back == usual || (e.shared && ++e.misses < kMostMisses)) return;
      used_ += e.from.length == 0 ? 1U : 0U;
      e = {from, back, client, false, 0};
    } else if (e.back == back) {
      e.shared = e.shared || e.client != client;
      e.misses = 0;
    } else if (!e.shared || ++e.misses == kMostMisses) {
      e = {from, back, client, false, 0};
    }
  }
  // nullptr: no other way than the usual one is known.
  [[nodiscard]] const LinkHeader* find(const LinkHeader& frame, std::uint32_t client) const {
    if (!any()) return nullptr;
    const LinkHeader from = name_of(frame);
    const Entry& e = entries_[place_of(from)];
    return e.from == from && (e.shared || e.client == client) ? &e.back : nullptr;
  }

  // Whether find() may tell clients with such frames apart.
  [[nodiscard]] bool depends_on_client(const LinkHeader& frame) const {
    const LinkHeader from = name_of(frame);
    const Entry& e = entries_[place_of(from)];
    return e.from == from && !e.shared;
  }

 private:
  static constexpr std::size_t kEntries = 256;
  static constexpr std::uint8_t kMostMisses = 8;
  struct Entry {
    LinkHeader from;
    LinkHeader back;
    std::uint32_t client = 0;
    bool shared = false;
    std::uint8_t misses = 0;
  };
  // An answer in place does not show whether its packet went to a group.
  [[nodiscard]] static LinkHeader name_of(LinkHeader frame) {
    make_single_station(frame.destination());
    return frame;
  }
  [[nodiscard]] std::size_t place_of(const LinkHeader& h) const {
    return keyed_hash(key_, h) >> 32 & (kEntries - 1);
  }

  IndexKey key_;
  std::array<Entry, kEntries> entries_;
  std::uint32_t used_ = 0;
};

}  // namespace synproxy
