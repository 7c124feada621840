// SPDX-License-Identifier: BSD-3-Clause
// The two links between the hosts and the proxy, and what is under way on them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dice.h"
#include "plan.h"
#include "support/decoded_frame.h"
#include "synproxy/base/packet.h"

namespace synproxy::test::sim {

// The conversation (ISN of the client's SYN) to which a frame belongs, as its sender knows.
using Conversation = std::optional<std::uint32_t>;

struct QuotedError;

struct Flight {
  Bytes bytes;
  std::optional<DecodedFrame> frame;  // of `bytes`; empty if these are not whole TCP
  Conversation conversation;
  std::shared_ptr<const QuotedError> error;  // what an ICMP error quotes
  bool corrupt = false;
  bool made = false;       // by the proxy itself
  bool untouched = false;  // the proxy has passed the segment on byte for byte
  bool unknown = false;    // the same, because it knew no connection of it
};

class Links {
 public:
  Links(const Plan& plan, std::uint64_t seed);

  // Sends on `side` of the proxy. Frames are lost, doubled, delayed and damaged as the plan says.
  void launch(Role side, bool to_proxy, Flight flight, std::uint64_t now);
  [[nodiscard]] bool empty() const { return heap_.empty(); }
  [[nodiscard]] std::uint64_t next_at() const { return heap_.empty() ? kNever : heap_[0].at; }

  struct Arrival {
    Role side;
    bool to_proxy;
    Flight flight;
  };
  // Where the next frame arrives; the heap must not be empty.
  [[nodiscard]] Role next_side() const { return heap_[0].side; }
  [[nodiscard]] bool next_to_proxy() const { return heap_[0].to_proxy; }
  [[nodiscard]] Arrival take();
  void clear();

 private:
  struct Entry {
    std::uint64_t at;
    std::uint64_t order;
    std::uint32_t slot;
    Role side;
    bool to_proxy;
    bool operator<(const Entry& b) const { return at != b.at ? at > b.at : order > b.order; }
  };
  void damage(Flight& flight);
  void mark_ce(Flight& flight);
  void push(Role side, bool to_proxy, Flight flight, std::uint64_t at);

  const Plan& plan_;
  Dice dice_;
  std::vector<Entry> heap_;
  std::vector<Flight> slots_;
  std::vector<std::uint32_t> free_;
  std::uint64_t order_ = 0;
};

}  // namespace synproxy::test::sim
