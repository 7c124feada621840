// SPDX-License-Identifier: BSD-3-Clause
#include "control/options.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "base/errors.h"
#include "control/flags.h"
#include "control/port_name.h"
#include "control/service_sections.h"

namespace synproxy::control {
namespace {

// Adds what to do, if the sentence does not say it. That of a --protect rule often does.
[[noreturn]] void refuse(const Setting& s, const std::string& wrong) {
  const bool advises = wrong.find("; ") != std::string::npos;
  throw UsageError(s.where + ": " + wrong +
                   (advises ? "" : "; give " + std::string(s.flag->accepts)));
}

bool given(const std::vector<Setting>& settings, const Flag& flag) {
  return std::ranges::any_of(settings, [&](const Setting& s) { return s.flag == &flag; });
}
bool given_for_all(const std::vector<Setting>& settings, const Flag& flag) {
  return std::ranges::any_of(
      settings, [&](const Setting& s) { return s.flag == &flag && s.service.empty(); });
}

// `off` of a flag that may be given several times stands alone.
void refuse_off_beside_others(const std::vector<Setting>& settings) {
  for (const Setting& s : settings) {
    if (s.flag->kind != FlagKind::kRepeat || s.value != "off") continue;
    const bool alone = std::ranges::count_if(settings, [&](const Setting& other) {
                         return other.flag == s.flag && other.service == s.service;
                       }) == 1;
    if (!alone) throw UsageError(s.where + ": is off, and others are given; leave one of them out");
  }
}

void check_required(const std::vector<Setting>& settings) {
  for (const Flag& flag : flags()) {
    if (flag.required && !given(settings, flag)) {
      const std::string name = "--" + std::string(flag.name);
      std::string text = name + ": is missing; give it, as in ";
      text += name;
      text += ' ';
      text += flag.example;
      throw UsageError(text);
    }
  }
}

void check_adaptive(const std::string& of, const AdaptiveTuning& adaptive) {
  if (adaptive.end_percent < adaptive.start_percent) return;
  throw UsageError(of + "adaptive-end " + std::to_string(adaptive.end_percent) + ": is not below " +
                   of + "adaptive-start " + std::to_string(adaptive.start_percent) +
                   "; give less, so that cookies do not come and go");
}

void check_whole(const Config& config) {
  if (same_device(config.client_port, config.server_port)) {
    throw UsageError("--server-port " + config.server_port.text +
                     ": is the device of --client-port " + config.client_port.text +
                     "; name two different ones");
  }
  if (config.take_over && config.fresh) {
    throw UsageError(
        "--take-over: goes on with the connections of the running proxy, and --fresh starts "
        "without any; give one of them");
  }
  check_adaptive("--", config.engine.tuning.adaptive);
  for (const NamedService& service : config.services) {
    check_adaptive(service.name + ".", service.tuning.adaptive);
  }
  if (config.engine.shape.max_flows < config.workers.size()) {
    throw UsageError("--max-flows " + std::to_string(config.engine.shape.max_flows) +
                     ": is less than one for each of the " + std::to_string(config.workers.size()) +
                     " workers; give more flows or fewer workers");
  }
}

// Those of the command line, and of the file of --config.
std::vector<Setting> all_settings(const std::vector<std::string>& arguments) {
  auto settings = read_arguments(arguments);
  const auto config_file =
      std::ranges::find(settings, "config", [](const Setting& s) { return s.flag->name; });
  if (config_file == settings.end()) return settings;
  return merge(settings, read_config_file(config_file->value));
}

Invocation run_invocation(const std::vector<std::string>& arguments) {
  Invocation invocation;
  const auto dashes = std::ranges::find(arguments, "--");
  auto settings = all_settings({arguments.begin(), dashes});
  invocation.config = build_config(settings);
  invocation.settings = std::move(settings);
  if (dashes != arguments.end()) {
    invocation.config.eal_arguments.assign(dashes + 1, arguments.end());
  }
  return invocation;
}

// --help and --version work whatever else was typed.
bool asks_for(const std::vector<std::string>& arguments, std::string_view flag) {
  const auto end = std::ranges::find(arguments, "--");
  return std::find(arguments.begin(), end, flag) != end;
}

}  // namespace

void apply_setting(Config& config, const Setting& s) {
  try {
    s.flag->value.apply(config, s.value);
  } catch (const std::invalid_argument& error) {
    refuse(s, error.what());
  }
}

Config loose_config(const std::vector<std::string>& arguments) {
  Config config;
  const auto dashes = std::ranges::find(arguments, "--");
  const std::vector<Setting> settings = all_settings({arguments.begin(), dashes});
  for (const Setting& s : settings) {
    if (s.service.empty()) apply_setting(config, s);
  }
  apply_sections(config, settings);
  return config;
}

Config build_config(const std::vector<Setting>& settings) {
  Config config;
  for (const Setting& s : settings) {
    if (s.service.empty()) apply_setting(config, s);
  }
  // Its own connections are older than the proxy, and none may break.
  if (config.server_port.kind == PortName::Kind::kHost &&
      !given_for_all(settings, *find_flag("unknown"))) {
    config.engine.tuning.unknown = Unknown::kForward;
  }
  apply_sections(config, settings);
  refuse_off_beside_others(settings);
  check_required(settings);
  check_whole(config);
  return config;
}

Invocation parse_command_line(const std::vector<std::string>& arguments) {
  Invocation invocation;
  const bool starts = arguments.empty() || arguments.front().starts_with('-');
  const Command* command = starts ? nullptr : find_command(arguments.front());
  if (asks_for(arguments, "--help") || asks_for(arguments, "-h")) {
    invocation.action = Invocation::Action::kHelp;
    invocation.command = command;
  } else if (asks_for(arguments, "--version")) {
    invocation.action = Invocation::Action::kVersion;
  } else if (starts) {
    invocation = run_invocation(arguments);
  } else if (command != nullptr) {
    invocation.action = Invocation::Action::kCommand;
    invocation.command = command;
    invocation.line = read_command_line(*command, {arguments.begin() + 1, arguments.end()});
  } else {
    throw UsageError("'" + arguments.front() + "': unknown command; there are " +
                     names_of_commands() +
                     ", and without a command the proxy starts, see synproxy --help");
  }
  return invocation;
}

}  // namespace synproxy::control
