// SPDX-License-Identifier: BSD-3-Clause
#include "control/check.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/errors.h"
#include "control/commands.h"
#include "control/options.h"
#include "control/telemetry_client.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;
using State = Finding::State;

// A worker's clock moves each millisecond; but on a busy machine it may have no CPU for a moment.
constexpr std::chrono::milliseconds kBetween{300};
constexpr int kLooks = 5;

std::string_view word_of(State state) {
  switch (state) {
    case State::kRight:
      return "right";
    case State::kPoor:
      return "poor";
    case State::kWrong:
      return "wrong";
  }
  return "";
}

Json ask_running(const std::string& name) {
  TelemetryClient client(name);
  return stat_document([&](const std::string& command) { return client.ask(command); });
}

bool one_stands_still(const Findings& findings) {
  return std::ranges::any_of(
      findings, [](const Finding& f) { return f.what == "worker" && f.state == State::kWrong; });
}

Findings look(const CommandLine& line) {
  if (!line.has("live")) {
    const Invocation start = parse_command_line(line.words);
    return check_before(start.config, LinuxHost(), LinuxMachine());
  }
  const std::string name = loose_config(line.words).name;
  try {
    const Json before = ask_running(name);
    Findings out;
    int looks = 0;
    do {
      std::this_thread::sleep_for(kBetween);
      out = check_live(before, ask_running(name));
    } while (++looks < kLooks && one_stands_still(out));
    return out;
  } catch (const RuntimeFailure& failure) {
    Findings out;
    add_refusal("running", failure.what(), out);
    return out;
  }
}

void run_check(const CommandLine& line, const Print& print) {
  const Findings findings = look(line);
  print(line.has("json") ? check_document(findings).dump(2) + "\n" : check_text(findings));
  if (!any_wrong(findings)) return;
  const auto count = std::ranges::count(findings, State::kWrong, &Finding::state);
  throw RuntimeFailure("check: " + std::to_string(count) + " of " +
                       std::to_string(findings.size()) + " are wrong");
}

constexpr std::array kCheckFlags = {
    CommandFlag{.name = "live", .help = "whether the running proxy runs, has its links and moves"},
    CommandFlag{.name = "json", .help = "print the lines as one JSON document"}};

}  // namespace

Findings check_before(const Config& config, const Host& host, const Machine& machine) {
  Findings out;
  check_start(config, host, out);
  Config settled = config;
  try {
    settled = check_host(config, host);
  } catch (const UsageError&) {  // told above; the rest may tell why
  }
  check_ports(settled, host, machine, out);
  check_cpus(settled, host, machine, out);
  check_memory(settled, host, machine, out);
  return out;
}

Findings check_live(const Json& before, const Json& after) {
  Findings out;
  out.push_back({"running", "", State::kRight,
                 after.at("name").get<std::string>() + ", for " +
                     std::to_string(after.at("uptime_seconds").get<std::uint64_t>()) + " s",
                 ""});
  for (const char* side : {"client", "server"}) {
    const Json& port = after.at("ports").at(side);
    const bool up = port.at("link_up").get<bool>();
    out.push_back({"link", port.at("name").get<std::string>(), up ? State::kRight : State::kWrong,
                   up ? "up" : "down or gone",
                   up ? "" : "look at the cable and at the other end: `ip link`"});
  }
  const Json& then = before.at("workers");
  const Json& now = after.at("workers");
  for (std::size_t w = 0; w < now.size(); ++w) {
    const auto clock = [&](const Json& workers) {
      return w < workers.size() ? workers[w].at("io").value("clock_ms", std::uint64_t{0}) : 0;
    };
    const bool moves = clock(now) != clock(then);
    out.push_back({"worker", "", moves ? State::kRight : State::kWrong,
                   "worker " + std::to_string(w) + " on CPU " +
                       std::to_string(now[w].at("cpu").get<unsigned>()) +
                       (moves ? " moves" : " stands still"),
                   moves ? "" : "restart the proxy; systemd's watchdog does it by itself"});
  }
  return out;
}

bool any_wrong(const Findings& findings) {
  return std::ranges::any_of(findings, [](const Finding& f) { return f.state == State::kWrong; });
}

std::string check_text(const Findings& findings) {
  std::string text;
  for (const Finding& f : findings) {
    std::string line(word_of(f.state));
    line.resize(7, ' ');
    line += f.what;
    if (!f.port.empty()) line += " " + f.port;
    line += ": " + f.found;
    if (!f.mend.empty()) line += "; " + f.mend;
    text += line + "\n";
  }
  return text;
}

Json check_document(const Findings& findings) {
  Json checks = Json::array();
  for (const Finding& f : findings) {
    checks.push_back({{"check", f.what},
                      {"port", f.port},
                      {"state", word_of(f.state)},
                      {"found", f.found},
                      {"mend", f.mend}});
  }
  return {{"ok", !any_wrong(findings)}, {"checks", std::move(checks)}};
}

Command check_command() {
  return {.name = "check",
          .usage = "[--live] [--json] [the flags of the start]",
          .help =
              "what decides success on this machine, a line each: right, poor, or wrong with "
              "the command that mends it; exit status 1 if any is wrong. With --live: whether "
              "the running proxy has its links and its workers move (--name NAME)",
          .flags = kCheckFlags,
          .takes_start_flags = true,
          .run = run_check};
}

}  // namespace synproxy::control
