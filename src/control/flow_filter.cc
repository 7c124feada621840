// SPDX-License-Identifier: BSD-3-Clause
#include "control/flow_filter.h"

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>
#include <utility>

#include "base/errors.h"
#include "control/values.h"

namespace synproxy::control {
namespace {

// In the order of FlowState.
constexpr std::array<std::string_view, 7> kStates = {
    "free", "syn-sent", "established", "closing", "finished", "given-up", "outbound-syn"};

// Calls read(value) and names the flag and the value in what it throws.
template <typename Read>
void take(const CommandLine& line, std::string_view flag, const char* accepts, Read&& read) {
  for (const std::string& value : line.values(flag)) {
    try {
      read(std::string_view(value));
    } catch (const std::invalid_argument& error) {
      throw UsageError("--" + std::string(flag) + " " + value + ": " + error.what() + "; give " +
                       accepts);
    }
  }
}

}  // namespace

std::string_view state_name(std::uint8_t state) {
  return state < kStates.size() ? kStates[state] : "unknown";
}

std::string state_names() {
  std::string names;
  for (std::size_t i = 1; i < kStates.size(); ++i) {
    names += (i == 1 ? "" : i + 1 == kStates.size() ? " or " : ", ") + std::string(kStates[i]);
  }
  return names;
}

std::uint32_t parse_duration(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, std::uint64_t>, 5> kUnits = {
      {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
  std::uint64_t unit = 1000;
  for (const auto& [name, ms] : kUnits) {
    if (!text.ends_with(name)) continue;
    unit = ms;
    text.remove_suffix(name.size());
    break;
  }
  return static_cast<std::uint32_t>(
      parse_integer(text, 0, std::numeric_limits<std::uint32_t>::max() / unit) * unit);
}

FlowFilter::FlowFilter(const CommandLine& line)
    : all_(std::ranges::none_of(
          std::array{"src", "dst", "sport", "dport", "service", "state", "older", "idle"},
          [&](const char* flag) { return line.has(flag); })) {
  constexpr const char* kPrefix = "an address or a prefix, as 203.0.113.0/24 or 2001:db8::/32";
  constexpr const char* kPorts = "1 to 65535, or a range as 8000-8080";
  const auto ports = [](Ports& to) {
    return [&to](std::string_view text) {
      const std::size_t dash = text.find('-');
      to.first = static_cast<std::uint16_t>(parse_integer(text.substr(0, dash), 1, 65535));
      to.last = dash == std::string_view::npos
                    ? to.first
                    : static_cast<std::uint16_t>(parse_integer(text.substr(dash + 1), 1, 65535));
      if (to.last < to.first) throw std::invalid_argument("runs backwards");
    };
  };
  take(line, "src", kPrefix, [&](std::string_view text) { src_ = parse_prefix(text); });
  take(line, "dst", kPrefix, [&](std::string_view text) { dst_ = parse_prefix(text); });
  take(line, "sport", kPorts, ports(sport_));
  take(line, "dport", kPorts, ports(dport_));
  take(line, "state", state_names().c_str(), [&](std::string_view text) {
    const auto found = std::find(kStates.begin() + 1, kStates.end(), text);
    if (found == kStates.end()) throw std::invalid_argument("is not a state of a connection");
    states_ |= 1U << (found - kStates.begin());
  });
  constexpr const char* kTime = "a time as 90s, 10m or 2h, 49 days at most";
  take(line, "older", kTime, [&](std::string_view text) { older_ms_ = parse_duration(text); });
  take(line, "idle", kTime, [&](std::string_view text) { idle_ms_ = parse_duration(text); });
}

bool FlowFilter::matches(const FlowInfo& flow) const {
  const bool ipv6 = flow.ipv6 != 0;
  return (!src_ || covers(*src_, flow.client.data(), ipv6)) &&
         (!dst_ || covers(*dst_, flow.server.data(), ipv6)) && sport_.hold(flow.client_port) &&
         dport_.hold(flow.server_port) && (states_ == 0 || (states_ >> flow.state & 1U) != 0) &&
         std::uint64_t{flow.age_seconds} * 1000 >= older_ms_ && flow.idle_ms >= idle_ms_;
}

}  // namespace synproxy::control
