// SPDX-License-Identifier: BSD-3-Clause
// The client end of DPDK's telemetry socket. It is a SEQPACKET socket: one packet carries a
// command, one packet the JSON reply.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace synproxy::control {

class TelemetryClient {
 public:
  // Throws RuntimeFailure: not running, or no permission, or no answer, or too many others ask.
  explicit TelemetryClient(const std::string& name);
  // Connects to the first of `paths` that answers.
  TelemetryClient(const std::string& name, const std::vector<std::string>& paths);
  ~TelemetryClient();
  TelemetryClient(const TelemetryClient&) = delete;
  TelemetryClient& operator=(const TelemetryClient&) = delete;

  // Returns what the reply holds under the command's name. Throws RuntimeFailure.
  [[nodiscard]] nlohmann::ordered_json ask(const std::string& command);

 private:
  [[nodiscard]] bool greeted(const std::vector<std::string>& paths);
  // Empty: the other side hung up.
  [[nodiscard]] std::string receive() const;

  std::string name_;
  int fd_ = -1;
  std::size_t max_reply_ = 16384;
};

}  // namespace synproxy::control
