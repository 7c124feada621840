// SPDX-License-Identifier: BSD-3-Clause
#include "control/options.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <stdexcept>

#include "base/errors.h"
#include "control/port_name.h"
#include "control/values.h"
#include "synproxy/wire/option_list.h"

namespace synproxy::control {
namespace {

constexpr std::uint64_t kMinMss = 88;
constexpr std::uint64_t kMaxWindow = 65535;
constexpr std::uint64_t kMaxFlows = 1ULL << 28;
constexpr std::uint64_t kMaxEarlyMemory = 64ULL << 30;

using Apply = std::function<void(Config&, const std::string&)>;

// What each flag does to the configuration. Reasons of the limits: docs/flags.md.
const std::map<std::string_view, Apply, std::less<>>& appliers() {
  static const std::map<std::string_view, Apply, std::less<>> map = {
      {"client-port", [](Config& c, const auto& v) { c.client_port = parse_port_name(v); }},
      {"server-port", [](Config& c, const auto& v) { c.server_port = parse_port_name(v); }},
      {"protect", [](Config& c, const auto& v) { c.protect.push_back(parse_protect_rule(v)); }},
      {"sack-perm", [](Config& c, const auto& v) { c.engine.tuning.offer.sack = parse_offer(v); }},
      {"timestamp",
       [](Config& c, const auto& v) { c.engine.tuning.offer.timestamps = parse_offer(v); }},
      {"ecn", [](Config& c, const auto& v) { c.engine.tuning.offer.ecn = parse_offer(v); }},
      {"wscale",
       [](Config& c, const auto& v) {
         c.engine.tuning.offer.window_scale =
             v == "auto" ? kAutoScale
                         : static_cast<std::uint8_t>(parse_integer(v, 0, kMaxWindowScale));
       }},
      {"mss",
       [](Config& c, const auto& v) {
         constexpr std::uint64_t kMax = std::numeric_limits<std::uint16_t>::max();
         c.engine.tuning.offer.mss =
             v == "auto" ? 0 : static_cast<std::uint16_t>(parse_integer(v, kMinMss, kMax));
       }},
      {"early-window",
       [](Config& c, const auto& v) {
         c.engine.tuning.early_window = static_cast<std::uint32_t>(parse_size(v, kMaxWindow));
       }},
      {"synack-repeats",
       [](Config& c, const auto& v) {
         c.engine.tuning.synack_repeats = static_cast<std::uint32_t>(parse_integer(v, 0, 3));
       }},
      {"hide-rtt", [](Config& c, const auto& v) { c.engine.tuning.hide_rtt = parse_on(v); }},
      {"fragments",
       [](Config& c, const auto& v) { c.engine.tuning.forward_fragments = parse_forward(v); }},
      {"tcp-auth",
       [](Config& c, const auto& v) { c.engine.tuning.forward_tcp_auth = parse_forward(v); }},
      {"syn-shed", [](Config& c, const auto& v) { c.shed_syns = parse_auto(v); }},
      {"max-flows",
       [](Config& c, const auto& v) {
         c.engine.shape.max_flows = static_cast<std::uint32_t>(parse_integer(v, 1, kMaxFlows));
       }},
      {"early-data-memory",
       [](Config& c, const auto& v) {
         c.engine.shape.early_data_memory = parse_size(v, kMaxEarlyMemory);
       }},
      {"server-timeout",
       [](Config& c, const auto& v) {
         c.engine.tuning.server_timeout_ms = parse_seconds(v, 200, 600'000);
       }},
      {"idle-timeout",
       [](Config& c, const auto& v) {
         c.engine.tuning.idle_timeout_ms = parse_seconds(v, 1000, 604'800'000);
       }},
      {"close-timeout",
       [](Config& c, const auto& v) {
         c.engine.tuning.close_timeout_ms = parse_seconds(v, 1000, 3'600'000);
       }},
      {"epoch", [](Config& c,
                   const auto& v) { c.engine.shape.epoch_ms = parse_seconds(v, 1000, 3'600'000); }},
      {"secret-file",
       [](Config& c, const auto& v) {
         if (v.empty()) {
           throw std::invalid_argument("is empty");
         }
         c.secret_file = v;
       }},
      {"idle-sleep",
       [](Config& c, const auto& v) {
         c.idle_sleep_us = static_cast<std::uint32_t>(parse_integer(v, 0, 1000));
       }},
      {"workers", [](Config& c, const auto& v) { c.workers = parse_cpus(v); }},
      {"name", [](Config& c, const auto& v) { c.name = parse_name(v); }},
      {"stats-interval",
       [](Config& c, const auto& v) {
         c.stats_interval = static_cast<unsigned>(parse_integer(v, 0, 86'400));
       }},
      {"log-level", [](Config& c, const auto& v) { c.log_level = parse_log_level(v); }},
      {"config", [](Config&, const auto&) {}},  // read before
  };
  return map;
}

// Not every sentence says what to do; that of a --protect rule often does.
[[noreturn]] void refuse(const Setting& s, const std::string& wrong) {
  const bool advises = wrong.find("; ") != std::string::npos;
  throw UsageError(s.where + ": " + wrong +
                   (advises ? "" : "; give " + std::string(s.flag->accepts)));
}

bool given(const std::vector<Setting>& settings, std::string_view name) {
  return std::ranges::any_of(settings, [&](const Setting& s) { return s.flag->name == name; });
}

void require(const std::vector<Setting>& settings, std::string_view name,
             std::string_view example) {
  if (!given(settings, name)) {
    const std::string flag = "--" + std::string(name);
    throw UsageError(flag + ": is missing; give it, as in " + flag + " " + std::string(example));
  }
}

void check_whole(const Config& config) {
  if (same_device(config.client_port, config.server_port)) {
    throw UsageError("--server-port " + config.server_port.text +
                     ": is the device of --client-port " + config.client_port.text +
                     "; name two different ones");
  }
  if (config.engine.shape.max_flows < config.workers.size()) {
    throw UsageError("--max-flows " + std::to_string(config.engine.shape.max_flows) +
                     ": is less than one for each of the " + std::to_string(config.workers.size()) +
                     " workers; give more flows or fewer workers");
  }
}

Config run_config(const std::vector<std::string>& arguments) {
  const auto dashes = std::ranges::find(arguments, "--");
  auto settings = read_arguments({arguments.begin(), dashes});
  const auto config_file =
      std::ranges::find(settings, "config", [](const Setting& s) { return s.flag->name; });
  if (config_file != settings.end()) {
    settings = merge(settings, read_config_file(config_file->value));
  }
  Config config = build_config(settings);
  if (dashes != arguments.end()) {
    config.eal_arguments.assign(dashes + 1, arguments.end());
  }
  return config;
}

Invocation stat_invocation(const std::vector<std::string>& arguments) {
  Invocation invocation{.action = Invocation::Action::kStat, .config = {}, .json = false};
  for (const Setting& s : read_arguments(arguments, {"json", "name"})) {
    if (s.flag->name == "json") {
      invocation.json = true;
      continue;
    }
    try {
      invocation.config.name = parse_name(s.value);
    } catch (const std::invalid_argument& error) {
      refuse(s, error.what());
    }
  }
  return invocation;
}

// --help and --version answer whatever else was typed.
bool asks_for(const std::vector<std::string>& arguments, std::string_view flag) {
  const auto end = std::ranges::find(arguments, "--");
  return std::find(arguments.begin(), end, flag) != end;
}

}  // namespace

Config build_config(const std::vector<Setting>& settings) {
  Config config;
  for (const Setting& s : settings) {
    try {
      appliers().at(s.flag->name)(config, s.value);
    } catch (const std::invalid_argument& error) {
      refuse(s, error.what());
    }
  }
  require(settings, "client-port", "eth1");
  require(settings, "server-port", "eth2");
  require(settings, "protect", "203.0.113.10:80");
  check_whole(config);
  return config;
}

Invocation parse_command_line(const std::vector<std::string>& arguments) {
  Invocation invocation;
  if (asks_for(arguments, "--help") || asks_for(arguments, "-h")) {
    invocation.action = Invocation::Action::kHelp;
  } else if (asks_for(arguments, "--version")) {
    invocation.action = Invocation::Action::kVersion;
  } else if (arguments.empty() || arguments.front().starts_with('-')) {
    invocation.config = run_config(arguments);
  } else if (arguments.front() == "stat") {
    invocation = stat_invocation({arguments.begin() + 1, arguments.end()});
  } else {
    throw UsageError("'" + arguments.front() +
                     "': unknown command; there is stat, and without a command the proxy starts, "
                     "see synproxy --help");
  }
  return invocation;
}

}  // namespace synproxy::control
