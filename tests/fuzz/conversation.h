// SPDX-License-Identifier: BSD-3-Clause
// Plays one fuzz input for the engine: hostile connections, command by command, with checks after
// each.
//
// The harness checks that two engines with differently poisoned buffers agree, that each packet has
// one fate, and checksums. Besides, after every burst:
//   - there are never more flows than allowed, and the gauges add up;
//   - every record that was opened is in use or was freed, every frame that left is counted;
//   - no SYN with timestamps goes to the server that a client with timestamps did not prove, where
//     they are always offered (their tag is too long to be hit by chance; the plain one is not);
//   - the bystander, an honest connection that no command addresses, gets each of its segments
//     through with the right numbers, whatever happens around it;
// At the end, after more time than any timeout, nothing is left.
#pragma once

#include <deque>
#include <set>
#include <string>
#include <vector>

#include "fuzz/command.h"
#include "fuzz/peer.h"
#include "support/proxy_harness.h"

namespace synproxy::fuzz {

class Conversation {
 public:
  explicit Conversation(Script script);
  void run();

 private:
  void step(const Command& c);
  void open(const Command& c);
  void close(const Command& c);
  void early_data(const Command& c);
  void replay(const Command& c);
  void flood(const Command& c);
  void leap(const Command& c);
  void raw(const Command& c);

  void send(Role side, const Bytes& frame, bool honest = true);
  void flush();
  // Tells the ends what came out, and checks what no frame may be.
  void read_output();
  void read_one(const Bytes& frame, Role side);
  void check();

  void open_bystander();
  void bystander_speaks(std::size_t length);
  DecodedFrame through(Role from, const Bytes& frame);

  [[nodiscard]] Peer& peer(const Command& c) { return peers_[(c.who & 15U) % Peer::kPeers]; }
  [[nodiscard]] std::uint64_t count(Reason r) const { return p_.count(r); }

  Script script_;
  test::HarnessOptions options_;
  test::ProxyHarness p_;
  std::vector<Peer> peers_;
  Peer bystander_;
  bool bystander_lives_ = false;
  std::uint64_t bystander_spoke_ = 0;

  std::vector<Bytes> burst_;
  std::size_t burst_size_ = 1;
  Role burst_side_ = Role::kClient;
  bool burst_honest_ = true;
  std::deque<std::pair<Role, Bytes>> history_;

  std::set<std::string> proven_;  // clients, with ISN, that were sent a SYN-ACK with timestamps
  std::uint64_t frames_out_ = 0;
  std::uint64_t refused_clients_ = 0;  // part of table_full: the rest are the server's own SYNs
};

}  // namespace synproxy::fuzz
