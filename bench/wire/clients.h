// SPDX-License-Identifier: BSD-3-Clause
// The played clients: a row of TCP ends, each with one connection at a time.
//
// Theory of operation. A client's port is its place in the row; its address is drawn anew for every
// connection. It connects, sends a request and takes the response. Then it closes or waits for its
// next turn, by its habit. It repeats lost segments as Linux does: a SYN after 1, 2, 4 ... s,
// anything else after 0.2, 0.4, 0.8 ... s. There is no timer object: visit() walks the row once in
// kRound and looks at the deadlines. Every number that comes back is checked.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "faults.h"
#include "latency.h"
#include "outbox.h"
#include "stand.h"
#include "step.h"

namespace synproxy::generator {

// Counted over all clients of a habit.
struct Tally {
  std::uint64_t begun = 0;      // connections
  std::uint64_t opened = 0;     // of these
  std::uint64_t responses = 0;  // whole ones
  std::uint64_t done = 0;       // connections closed by both ends
  std::uint64_t resent = 0;     // segments
  std::uint64_t resets = 0;     // connections that ended by a RST
  std::uint64_t skipped = 0;    // turns at which the last response was still missing
};

class Clients {
 public:
  enum class Habit : std::uint8_t {
    kHasty,   // one connection after another, as fast as they go
    kSteady,  // one connection for good, a request every kPeriod
    kOnce,    // one connection, one page
  };

  Clients(const Step& step, Outbox& out);

  // Adds clients to the row. Their first turns are spread evenly over `span` ticks, from `from` on.
  void join(Habit habit, std::uint32_t count, std::uint64_t from, std::uint64_t span);

  // From now on nobody connects.
  void retire() { retired_ = true; }
  // How many connections there are, in any state.
  [[nodiscard]] std::uint32_t busy() const { return busy_; }

  // Call it all the time.
  void visit(std::uint64_t at);
  void on_segment(const Incoming& in, std::uint64_t at);

  [[nodiscard]] const Tally& tally(Habit habit) const {
    return tallies_[static_cast<std::size_t>(habit)];
  }
  [[nodiscard]] const FaultCount& faults() const { return faults_; }
  // Times from the first SYN to the whole page, of the clients that came once.
  [[nodiscard]] const Histogram& page_times() const { return page_times_; }

  // How many of them were answered at their first SYN, their second and so on.
  [[nodiscard]] const auto& syns_needed() const { return syns_needed_; }

  static constexpr double kPeriod = 0.1;
  static constexpr std::uint8_t kMostTries = 7;

 private:
  enum class State : std::uint8_t { kIdle, kSynSent, kOpen, kWaiting, kClosing, kGone };

  struct Client {
    std::uint64_t deadline = 0;  // for the next repeat, or the next turn
    std::uint64_t begun = 0;     // first SYN; of a steady one: its turn
    Tuple tuple;
    Numbers numbers;
    std::uint32_t seq = 0;    // first byte that is not acknowledged
    std::uint32_t ack = 0;    // next byte expected
    std::uint32_t tsval = 0;  // the other end's
    State state = State::kIdle;
    Habit habit = Habit::kHasty;
    bool timestamps = false;
    std::uint8_t tries = 0;
  };

  [[nodiscard]] Tally& tally(const Client& c) {
    return tallies_[static_cast<std::size_t>(c.habit)];
  }
  void begin(Client& c, std::uint64_t at);
  void send(const Client& c);  // what the state asks for
  void send_ack(const Client& c);
  void expect_answer(Client& c, std::uint64_t at);
  void request(Client& c, std::uint64_t at);
  void act(Client& c, std::uint64_t at);  // its deadline has come
  void end(Client& c, std::uint64_t at);
  [[nodiscard]] Fault judge(Client& c, const Incoming& in, std::uint64_t at);
  [[nodiscard]] Fault on_syn_ack(Client& c, const Incoming& in, const Options& options,
                                 std::uint64_t at);
  void on_response(Client& c, std::uint64_t at);

  const bool ipv6_;
  const Offer offer_;
  const Payload request_;
  const std::uint32_t response_;
  const std::uint32_t check_mask_;
  const std::uint64_t round_;
  const std::uint64_t period_;
  Outbox& out_;
  Random random_;
  std::vector<Client> row_;
  std::size_t next_ = 0;       // to be visited
  std::uint64_t visited_ = 0;  // when
  bool retired_ = false;
  std::uint32_t busy_ = 0;
  std::uint32_t looked_ = 0;
  Tally tallies_[3];
  FaultCount faults_;
  Histogram page_times_;
  std::array<std::uint64_t, kMostTries> syns_needed_{};
};

}  // namespace synproxy::generator
