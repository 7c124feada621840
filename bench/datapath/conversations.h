// SPDX-License-Identifier: BSD-3-Clause
// Whole short connections, many at once and each at another point of its life: ten received
// packets, from the SYN to the last ACK.
#pragma once

#include <vector>

#include "datapath/cases.h"

namespace synproxy::bench {

class Conversations {
 public:
  static constexpr unsigned kPackets = 10;

  // `early`: the client's request follows its handshake ACK at once, as with real clients, and
  // waits in the proxy until the server has answered. Otherwise it comes after the splice. `first`:
  // number of the first connection; those of a bed are far below 2^40.
  Conversations(std::size_t at_once, bool early, std::uint64_t first);

  // Begins a pass: each connection will get one turn, in random order. They start one tenth after
  // the other, so that later some are at each step.
  void begin_pass();
  // The next connection sends a packet. False: all have had their turn.
  bool add_one(Bed& bed);
  // Call it after a pass: reads the cookies from the SYN-ACKs. Throws if a SYN was not answered.
  void read_cookies(Bed& bed);

  // The number of SYNs in this pass, before read_cookies().
  [[nodiscard]] std::size_t syns() const { return asked_.size(); }
  [[nodiscard]] std::uint64_t finished() const { return finished_; }

 private:
  struct Conversation {
    std::uint64_t n = 0;
    unsigned step = 0;
    Connection numbers;
  };
  struct Asked {  // a SYN in this pass
    std::size_t packet;
    std::size_t conversation;
  };

  void add_next(Bed& bed, std::size_t which);

  std::vector<Conversation> all_;
  std::vector<std::size_t> order_;
  std::vector<Asked> asked_;
  std::size_t turn_ = 0;
  std::size_t begun_ = 0;
  bool early_;
  std::uint64_t next_;
  std::uint64_t finished_ = 0;
  Random random_{14};
};

}  // namespace synproxy::bench
