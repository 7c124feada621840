// SPDX-License-Identifier: BSD-3-Clause
// The played web server. It keeps no state: its own numbers follow from the client's address and
// port, and everything else from the present segment. So it sees at once if a number that passed
// the proxy is wrong.
#pragma once

#include <cstdint>

#include "faults.h"
#include "outbox.h"
#include "step.h"

namespace synproxy::generator {

class Server {
 public:
  // Answers every request with that many bytes.
  Server(const Step& step, Outbox& out);

  void on_frame(std::span<const std::uint8_t> frame);

  [[nodiscard]] const FaultCount& faults() const { return faults_; }

 private:
  [[nodiscard]] Fault judge(std::span<const std::uint8_t> frame);
  [[nodiscard]] Fault on_syn(const Incoming& in, const Options& options);
  [[nodiscard]] Fault on_segment(const Incoming& in, const Options& options);

  const std::uint32_t check_mask_;
  const Payload response_;
  Outbox& out_;
  FaultCount faults_;
  std::uint32_t looked_ = 0;
};

}  // namespace synproxy::generator
