// SPDX-License-Identifier: BSD-3-Clause
// What both ends of the requests "flows", "services" and "delete-flows" have to agree on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/errors.h"
#include "control/control_client.h"

namespace synproxy::control {

// Of the layout of FlowInfo and ServiceInfo. A command of another version has another one.
inline constexpr unsigned kFlowFormat = 2;
// How many flows one request to delete may name, so that it fits into the limit of a request.
inline constexpr std::size_t kFlowsToDelete = 80;

[[noreturn]] inline void throw_other_version(const std::string& name) {
  throw RuntimeFailure("--name " + name +
                       ": runs another version of synproxy; use the program that was started");
}

// Asks for a table, calls take(info, worker) for each of its entries, and returns what the first
// line says. Throws RuntimeFailure, and Json::exception for what no synproxy answers.
template <typename Info, typename Take>
nlohmann::ordered_json read_table(ControlClient& client, const std::string& name,
                                  const char* command, Take&& take) {
  using Json = nlohmann::ordered_json;
  Json head = client.ask({{"command", command}});
  if (head.at("format") != kFlowFormat || head.at("size") != sizeof(Info)) {
    throw_other_version(name);
  }
  std::vector<Info> part;
  for (Json line = client.next_line(); !line.contains("end"); line = client.next_line()) {
    const auto worker = line.at("worker").get<unsigned>();
    part.resize(line.at("count").get<std::uint32_t>());
    client.read(part.data(), part.size() * sizeof(Info));
    for (Info& info : part) {
      info.worker = static_cast<std::uint8_t>(worker);
      take(info, worker);
    }
  }
  return head;
}

}  // namespace synproxy::control
