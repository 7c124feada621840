// SPDX-License-Identifier: BSD-3-Clause
// The asking end of the control socket (control_server.h).
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/descriptor.h"

namespace synproxy::control {

class ControlClient {
 public:
  // Throws RuntimeFailure: not running, or no permission, or no answer.
  explicit ControlClient(const std::string& name);
  // Connects to the first of `paths` that answers.
  ControlClient(const std::string& name, const std::vector<std::string>& paths);
  ~ControlClient();
  ControlClient(const ControlClient&) = delete;
  ControlClient& operator=(const ControlClient&) = delete;

  // Returns the result of the request. Throws UsageError or RuntimeFailure, as the proxy says.
  [[nodiscard]] nlohmann::ordered_json ask(const nlohmann::ordered_json& request);

  // What follows the first line of a long answer. Throw RuntimeFailure.
  [[nodiscard]] nlohmann::ordered_json next_line();
  void read(void* out, std::size_t bytes);
  // The open files that have come along with what was read.
  [[nodiscard]] std::vector<Descriptor> take_descriptors() { return std::exchange(files_, {}); }

 private:
  void fill();

  std::string name_;
  int fd_ = -1;
  std::vector<Descriptor> files_;
  std::string got_;  // received, from `at_` on not read yet
  std::size_t at_ = 0;
};

}  // namespace synproxy::control
