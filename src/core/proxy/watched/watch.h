// SPDX-License-Identifier: BSD-3-Clause
// What is needed to let connections pass that a client opens with the server itself (--mode
// adaptive and off): which services need cookies, and what the SYNs that passed have asked for.
#pragma once

#include <cstdint>

#include "flows/named_services.h"
#include "synproxy/base/config.h"
#include "synproxy/policy/activation.h"
#include "synproxy/policy/activation_list.h"
#include "synproxy/proxy/syn_notes.h"

namespace synproxy {

// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): its members are made in this order.
class Watch {
 public:
  // Throws std::bad_alloc.
  explicit Watch(const EngineConfig& config)
      : activation(config.tuning, config.shape.workers), mode_(config.tuning.mode) {}

  void retune(const NamedServices& services) {
    mode_ = services.mode();
    activation.retune(mode_);
    bool ended = !activation.adaptive();
    for (std::size_t i = 0; i <= kMostNamedServices; ++i) {
      const auto named = static_cast<NamedServiceId>(i);
      const ServiceTuning& of = services.tuning(named);
      ended |= activation.retune(named, of.adaptive, of.monitors(kMonitorMode));
    }
    if (ended) active.clear();
  }

  // Whether SYNs may pass.
  [[nodiscard]] bool on() const { return mode_ != Mode::kAlways; }
  // Whether a server may answer a SYN that has passed. After a change of the mode it still may.
  [[nodiscard]] bool expects_answers(std::uint32_t now_ms) const {
    return on() || notes.lately(now_ms);
  }

  Activation activation;
  SynNotes notes;
  ActiveServices active;  // those that `activation` has given cookies

 private:
  Mode mode_;
};

}  // namespace synproxy
