// SPDX-License-Identifier: BSD-3-Clause
// Which flows `synproxy flows` is about.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/commands.h"
#include "synproxy/policy/prefix_set.h"
#include "synproxy/proxy/flow_info.h"

namespace synproxy::control {

class FlowFilter {
 public:
  // Of --src, --dst, --sport, --dport, --state, --older and --idle. Throws UsageError.
  explicit FlowFilter(const CommandLine& line);

  [[nodiscard]] bool matches(const FlowInfo& flow) const;
  // Nor was --service, which flows_command judges itself. None was given.
  [[nodiscard]] bool matches_all() const { return all_; }

 private:
  struct Ports {
    std::uint16_t first = 0;
    std::uint16_t last = 65535;
    [[nodiscard]] bool hold(std::uint16_t port) const { return port >= first && port <= last; }
  };

  bool all_;
  std::optional<Prefix> src_;
  std::optional<Prefix> dst_;
  Ports sport_;
  Ports dport_;
  unsigned states_ = 0;  // bit n: FlowState n
  std::uint32_t older_ms_ = 0;
  std::uint32_t idle_ms_ = 0;
};

// As --state and the table write it: "established".
[[nodiscard]] std::string_view state_name(std::uint8_t state);
[[nodiscard]] std::string state_names();

// "500ms", "90", "90s", "10m", "2h", "7d" in milliseconds. Throws std::invalid_argument; its text
// completes "--older value: ...".
[[nodiscard]] std::uint32_t parse_duration(std::string_view text);

}  // namespace synproxy::control
