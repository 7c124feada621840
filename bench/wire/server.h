// SPDX-License-Identifier: BSD-3-Clause
// The played web server. It keeps nothing: its own numbers follow from the client's address and
// port, everything else from the segment at hand, and so it sees at once when a number that passed
// the proxy is not what it must be.
#pragma once

#include <cstdint>

#include "faults.h"
#include "outbox.h"
#include "step.h"

namespace synproxy::generator {

class Server {
 public:
  // Every request is answered with that many bytes.
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
