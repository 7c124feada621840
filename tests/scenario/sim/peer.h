// SPDX-License-Identifier: BSD-3-Clause
// One host of the simulation: a TCP stack with one address. An application (the world) uses one
// connection of it at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "plan.h"
#include "support/decoded_frame.h"

namespace synproxy::test::sim {

// A priority or a drop mark in the tag changes no VLAN.
[[nodiscard]] inline bool same_vlans(const std::vector<VlanTag>& a, const std::vector<VlanTag>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const VlanTag& x, const VlanTag& y) {
    return x.tpid == y.tpid && ((x.tci ^ y.tci) & 0xfffU) == 0;
  });
}

// A late copy of a SYN whose connection is over counts as lost at the server: it would begin a
// second conversation with the client's number of the first, but a plan has one for each.
class AnsweredSyns {
 public:
  void answered(std::uint32_t client_isn) { isns_.insert(client_isn); }
  // `current`: the client's ISN of the connection that the application waits for or has;
  // `is_over`: it had this one, and it has ended.
  [[nodiscard]] bool is_late(std::uint32_t client_isn, std::uint32_t current, bool is_over) const {
    if (client_isn == current) return is_over;
    return isns_.contains(client_isn);
  }

 private:
  std::set<std::uint32_t> isns_;
};

class Peer {
 public:
  virtual ~Peer() = default;

  // --- the application Begins the next connection; only TIME_WAIT is left of the one before. A
  // server listens, or (refuse) nobody listens.
  virtual void connect(const Part& part, const Bytes& data, std::uint64_t now) = 0;
  virtual void listen(const Part& part, bool refuse, std::uint64_t now) = 0;
  virtual void write(const Bytes& data, std::uint64_t now) = 0;
  virtual void close(std::uint64_t now) = 0;  // sends FIN behind what was written
  virtual void abort(std::uint64_t now) = 0;  // RST
  virtual void read(std::uint64_t now) = 0;   // takes what has arrived
  virtual void forget() = 0;  // restarts: every connection and TIME_WAIT is gone, silently

  // --- the network
  virtual void receive(const DecodedFrame& frame, std::uint64_t now) = 0;
  virtual void tick(std::uint64_t now) = 0;
  [[nodiscard]] virtual std::uint64_t next_timer() const = 0;  // kNever: none
  struct Outgoing {
    Bytes bytes;
    bool stale = false;  // an old frame again: does not show the present state
  };
  std::vector<Outgoing> out;  // for the link

  // --- the application's view
  Bytes received;            // in order, whether read or not
  bool opened = false;       // the handshake is done
  bool peer_closed = false;  // the peer's FIN has come, and all before it
  bool all_acked = false;    // our FIN and everything before it is acknowledged
  bool reset = false;        // the peer reset or refused, or the stack gave up
  // True while the peer must acknowledge something, so that a dead connection shows.
  [[nodiscard]] virtual bool outstanding() const = 0;
};

[[nodiscard]] std::unique_ptr<Peer> make_scripted_peer(const HostPlan& plan, std::uint64_t seed);
// nullptr: not built in. At most one at a time.
[[nodiscard]] std::unique_ptr<Peer> make_lwip_peer(const HostPlan& plan);
[[nodiscard]] bool lwip_is_there();

}  // namespace synproxy::test::sim
