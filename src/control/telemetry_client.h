// SPDX-License-Identifier: BSD-3-Clause
// The other end of DPDK's telemetry socket: SEQPACKET, a command per packet, JSON in one packet
// back.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace synproxy::control {

// Where a proxy of this name puts its socket: first as EAL of this user would, then as root's.
[[nodiscard]] std::vector<std::string> socket_paths(const std::string& name);

class TelemetryClient {
 public:
  // Throws RuntimeFailure: not running, or no permission, or no answer.
  explicit TelemetryClient(const std::string& name);
  // Of the paths in their order, the first that answers.
  TelemetryClient(const std::string& name, const std::vector<std::string>& paths);
  ~TelemetryClient();
  TelemetryClient(const TelemetryClient&) = delete;
  TelemetryClient& operator=(const TelemetryClient&) = delete;

  // What stands in the reply under the command's own name. Throws RuntimeFailure.
  [[nodiscard]] nlohmann::ordered_json ask(const std::string& command);

 private:
  [[nodiscard]] nlohmann::ordered_json receive();

  std::string name_;
  int fd_ = -1;
  std::size_t max_reply_ = 16384;
};

}  // namespace synproxy::control
