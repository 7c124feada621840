// SPDX-License-Identifier: BSD-3-Clause
#include "control/bypass.h"

#include <exception>
#include <string_view>
#include <utility>
#include <vector>

#include "base/errors.h"
#include "base/port_errors.h"
#include "base/runtime_files.h"
#include "control/commands.h"
#include "control/host.h"
#include "control/host_end.h"
#include "control/log.h"
#include "control/options.h"
#include "control/run_program.h"
#include "control/telemetry_client.h"

namespace synproxy::control {
namespace {

using Words = std::vector<std::string>;

// Ours are known by this preference.
constexpr const char* kPreference = "29555";

std::string interface_of(const std::string& flag, const PortName& port) {
  if (port.text.empty()) {
    throw UsageError(flag + ": is missing; give it, as in " + flag + " eth1, or in --config FILE");
  }
  if (port.is_interface()) return port.device;
  throw UsageError(flag + " " + port.text +
                   ": is no Linux interface, the kernel cannot bypass it; use a second path or a "
                   "bypass card");
}

Ran tc(Words words) {
  words.insert(words.begin(), "tc");
  return run_program(words);
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

void must(const Words& words) {
  const Ran ran = run_program(words);
  if (ran.status == 0) return;
  std::string command;
  for (const std::string& word : words) command += (command.empty() ? "" : " ") + word;
  throw RuntimeFailure(
      "bypass: `" + command + "` fails: " +
      (ran.text.empty() ? "it cannot be run; install iproute2" : first_line(ran.text)));
}

void refuse_beside_a_proxy(const std::string& name) {
  try {
    const TelemetryClient client(name);
  } catch (const RuntimeFailure&) {
    return;
  }
  throw RuntimeFailure("bypass: the proxy " + name +
                       " runs, and forwards between these ports itself; stop it first");
}

// Where the server is this host, its addresses are on the NIC or not. A start takes them from
// there.
void bypass_host(const std::string& what, const Config& config, const Print& print) {
  if (what == "on") {
    refuse_beside_a_proxy(config.name);
    for (const std::string& line : restore_left_behind()) print(line + "\n");
  }
  bool away = !HostStateFile::in_use(record_directory()).empty();
  away = away || !HostStateFile::left_behind(record_directory()).empty();
  print("bypass " + config.client_port.text +
        " host: " + (away ? "off" : "on, the addresses are on the interface, unprotected") + "\n");
}

void run_bypass(const CommandLine& line, const Print& print) {
  const std::string what = line.words.empty() ? "" : line.words.front();
  if (what != "on" && what != "off" && what != "status") {
    throw UsageError("synproxy bypass '" + what +
                     "': is none of on, off and status; see synproxy "
                     "bypass --help");
  }
  const Config config = loose_config({line.words.begin() + 1, line.words.end()});
  if (config.server_port.kind == PortName::Kind::kHost) return bypass_host(what, config, print);
  const Bypass bypass(config);
  if (what == "on") {
    check_interfaces(config, LinuxHost());
    refuse_beside_a_proxy(config.name);
    refuse_used_interface(config.client_port, PortId::kClient);
    refuse_used_interface(config.server_port, PortId::kServer);
    bypass.on();
  } else if (what == "off") {
    bypass.off();
  }
  const Bypass::State state = bypass.state();
  print("bypass " + config.client_port.text + " " + config.server_port.text + ": " +
        (state == Bypass::State::kOn ? "on, traffic passes unprotected"
         : state == Bypass::State::kOff
             ? "off"
             : "in one direction only, or with another interface; `synproxy bypass on` or off") +
        "\n");
}

}  // namespace

Bypass::Bypass(const Config& config)
    : client_(interface_of("--client-port", config.client_port)),
      server_(interface_of("--server-port", config.server_port)) {}

Bypass::Way Bypass::way(const std::string& from, const std::string& to) {
  const Ran ran = tc({"filter", "show", "dev", from, "ingress", "pref", kPreference});
  if (ran.status != 0 || ran.text.empty()) return Way::kNone;
  constexpr std::string_view kTarget = "Redirect to device ";
  const std::size_t first = ran.text.find(kTarget);
  const bool one = first != std::string::npos && first == ran.text.rfind(kTarget);
  return one && ran.text.compare(first + kTarget.size(), to.size() + 1, to + ")") == 0
             ? Way::kRight
             : Way::kWrong;
}

Bypass::State Bypass::state() const {
  const Way there = way(client_, server_);
  const Way back = way(server_, client_);
  if (there == Way::kRight && back == Way::kRight) return State::kOn;
  return there == Way::kNone && back == Way::kNone ? State::kOff : State::kHalf;
}

void Bypass::join(const std::string& from, const std::string& to) {
  const Way before = way(from, to);
  if (before == Way::kWrong) part(from);
  if (before != Way::kRight) {
    // It may have that qdisc already, for other filters.
    static_cast<void>(tc({"qdisc", "add", "dev", from, "clsact"}));
    must({"tc",        "filter",   "add",    "dev",    from,       "ingress", "pref",
          kPreference, "protocol", "all",    "u32",    "match",    "u32",     "0",
          "0",         "action",   "mirred", "egress", "redirect", "dev",     to});
  }
  // Frames for other stations' MAC addresses. And if the redirect is there, whoever made it may
  // have been killed before this.
  must({"ip", "link", "set", "dev", from, "promisc", "on", "up"});
}

void Bypass::part(const std::string& from) {
  if (tc({"filter", "del", "dev", from, "ingress", "pref", kPreference}).status != 0) return;
  for (const char* way : {"ingress", "egress"}) {
    const Ran left = tc({"filter", "show", "dev", from, way});
    if (left.status != 0 || !left.text.empty()) return;
  }
  static_cast<void>(tc({"qdisc", "del", "dev", from, "clsact"}));
}

void Bypass::on() const {
  try {
    join(client_, server_);
    join(server_, client_);
  } catch (...) {
    part(client_);
    part(server_);
    throw;
  }
}

// Ends a bypass to other interfaces too: it takes frames away from these two.
void Bypass::off() const {
  for (const auto& [from, to] : {std::pair(client_, server_), std::pair(server_, client_)}) {
    if (way(from, to) == Way::kNone) continue;
    part(from);
    static_cast<void>(run_program({"ip", "link", "set", "dev", from, "promisc", "off"}));
    if (way(from, to) != Way::kNone) {
      std::string text = "bypass: cannot take the redirect away; run as root: `tc filter del dev ";
      text += from;
      text += " ingress pref ";
      text += kPreference;
      throw RuntimeFailure(text + "`");
    }
  }
}

BypassAway::BypassAway(const Config& config) {
  for (const PortName* port : {&config.client_port, &config.server_port}) {
    if (!port->is_interface()) return;
  }
  const Bypass bypass(config);
  const Bypass::State state = bypass.state();
  if (state == Bypass::State::kOff) return;
  bypass.off();
  // A half bypass helps nobody, so it is not put back.
  if (state == Bypass::State::kOn) bypass_ = bypass;
}

BypassAway::~BypassAway() {
  if (!bypass_ || served_) return;
  try {
    bypass_->on();
    say("the bypass between these ports is on again");
  } catch (const std::exception& error) {
    complain(error.what());
  }
}

Command bypass_command() {
  return {.name = "bypass",
          .usage = "on|off|status [the ports, as at the start, or --config FILE]",
          .help =
              "joins the two Linux interfaces in the kernel while no proxy runs, so that "
              "traffic passes unprotected; a start takes it away",
          .flags = {},
          .takes_start_flags = true,
          .run = run_bypass};
}

}  // namespace synproxy::control
