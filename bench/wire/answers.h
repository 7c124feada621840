// SPDX-License-Identifier: BSD-3-Clause
// Counts and checks what comes back from a flood, and proves cookies.
//
// Theory of operation. A cookie is well-formed if the proxy takes it back. For one SYN in `prove`
// (its ISN decides which) the generator acknowledges the SYN-ACK. The proxy must then open a
// connection to the server with the client's own ISN, which the server refuses, and the client must
// get a RST. For as many others the acknowledgement is wrong by one or two, and nothing may open.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "faults.h"
#include "latency.h"
#include "outbox.h"
#include "stand.h"
#include "step.h"

namespace synproxy::generator {

class Answers {
 public:
  Answers(const Step& step, const Stand& stand, bool timed);

  // Takes a burst from each link, and sends the answers.
  std::uint16_t receive();
  void receive_server();
  // A segment that another receiver took from the link: an answer of the proxy to the flood.
  void take(const Incoming& in) { faults_.add(judge_syn_ack(in)); }

  [[nodiscard]] std::uint64_t answered() const { return answered_; }
  // Waits for answers that are still under way, at most that long.
  void settle(std::uint64_t expected, std::uint64_t ticks);
  // This process did not run until `at`: latencies that began earlier do not count.
  void paused(std::uint64_t at) { clean_since_ = at; }
  // Finds the faults that no single frame shows. Call it once, after settle().
  void conclude(std::uint64_t sent);

  [[nodiscard]] const FaultCount& faults() const { return faults_; }
  [[nodiscard]] nlohmann::json report() const;

 private:
  [[nodiscard]] Fault judge_client(std::span<const std::uint8_t> frame);
  [[nodiscard]] Fault judge_echo(const Incoming& in);
  [[nodiscard]] Fault judge_syn_ack(const Incoming& in);
  [[nodiscard]] Fault judge_server(std::span<const std::uint8_t> frame);
  [[nodiscard]] bool full_look() { return (++looked_ & check_mask_) == 0; }
  [[nodiscard]] bool valid_one(std::uint32_t isn) const {
    return proving_ && (isn & prove_mask_) == 0;
  }
  void time(std::uint32_t planned);
  void prove(const Incoming& in, const Options& options, const Numbers& client);

  const Stand& stand_;
  const Offer offer_;
  const bool timed_;
  const std::uint32_t check_mask_;
  const bool proving_;
  const std::uint32_t prove_mask_;
  Outbox to_proxy_;
  Outbox to_server_link_;
  FaultCount faults_;
  Latency latency_;
  std::uint64_t clean_since_ = 0;
  std::uint64_t at_ = 0;  // when the present burst was taken
  std::uint32_t looked_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t checked_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t forged_ = 0;
  std::uint64_t opened_ = 0;
  std::uint64_t refused_ = 0;
};

// The faults that occurred, by name.
[[nodiscard]] nlohmann::json report_of(const FaultCount& faults);

}  // namespace synproxy::generator
