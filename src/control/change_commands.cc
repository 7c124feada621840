// SPDX-License-Identifier: BSD-3-Clause
// `synproxy get`, `set`, `unset`, `reload` and `config`.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "control/commands.h"
#include "control/control_client.h"
#include "control/flow_text.h"
#include "control/flow_wire.h"
#include "control/reload.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kNameOnly = {kNameFlag};
constexpr std::array kNameAndJson = {kJsonFlag, kNameFlag};
constexpr std::size_t kManyWords = 1000;
constexpr std::size_t kRemarkColumn = 34;

Json ask(const CommandLine& line, const Json& request) {
  return ControlClient(line.name()).ask(request);
}

// Whether the entry's values would be read by --config as they stand.
std::string lines_of(const Json& entry, const std::string& remark) {
  std::string text;
  for (const Json& value : entry.at("values")) {
    auto key = entry.at("key").get<std::string>();
    if (entry.contains("service")) key = key.substr(key.rfind('.') + 1);
    // A file may not name a file.
    std::string line = (key == "config" ? "# " : "") + key + " = " + value.get<std::string>();
    if (!remark.empty()) {
      line += std::string(line.size() < kRemarkColumn ? kRemarkColumn - line.size() : 1, ' ') +
              "# " + remark;
    }
    text += line + "\n";
  }
  return text;
}

std::string origin_of(const Json& entry) {
  const auto from = entry.at("from").get<std::string>();
  if (from == "file") return "file " + entry.at("where").get<std::string>();
  return from == "set" ? "set, until the restart" : from;
}

// What the flag's `auto` means for this server. Empty: that is not known yet.
std::string learned_value(std::string_view key, const ServiceInfo& info) {
  const auto on_off = [](unsigned ability) { return ability != 0 ? "on" : "off"; };
  if (key == "mss") return info.mss != 0 ? std::to_string(info.mss) : "";
  if (key == "wscale") return std::to_string(info.window_scale);
  if (key == "sack-perm") return on_off(info.sack);
  if (key == "timestamp") return on_off(info.timestamps);
  return key == "ecn" ? on_off(info.ecn) : "";
}

std::string service_text(const ServiceInfo& info) {
  std::string address = address_text(info.address, info.ipv6 != 0);
  if (info.port == 0) return address;
  return (info.ipv6 != 0 ? "[" + address + "]:" : address + ":") + std::to_string(info.port);
}

// Adds to the entries whose value is `auto` what was learned.
void add_learned(const CommandLine& line, Json& all) {
  std::vector<ServiceInfo> services;
  ControlClient client(line.name());
  static_cast<void>(read_table<ServiceInfo>(
      client, line.name(), "services",
      [&](const ServiceInfo& info, unsigned) { services.push_back(info); }));
  for (Json& entry : all) {
    if (entry.at("values") != Json::array({"auto"})) continue;
    const auto key = entry.at("key").get<std::string>();
    for (const ServiceInfo& info : services) {
      const std::string value = learned_value(key, info);
      if (value.empty()) continue;
      entry["learned"].push_back({{"service", service_text(info)},
                                  {"vlan", vlan_text(VlanStack{info.vlan})},
                                  {"worker", info.worker},
                                  {"value", value}});
    }
  }
}

// "; learned: 10.0.0.2:80 1460, [2001:db8::2]:80 1440". All workers' values of a service.
std::string learned_text(const Json& entry) {
  constexpr std::size_t kShown = 4;
  std::vector<std::string> texts;
  for (const Json& one : entry.value("learned", Json::array())) {
    const auto vlan = one.at("vlan").get<std::string>();
    std::string text = one.at("service").get<std::string>() + (vlan == "-" ? "" : " vlan " + vlan) +
                       " " + one.at("value").get<std::string>();
    if (std::ranges::find(texts, text) == texts.end()) texts.push_back(std::move(text));
  }
  std::string all;
  for (std::size_t i = 0; i < std::min(texts.size(), kShown); ++i) {
    all += (i == 0 ? "; learned: " : ", ") + texts[i];
  }
  if (texts.size() > kShown) all += ", and " + std::to_string(texts.size() - kShown) + " more";
  return all;
}

void print_all(const CommandLine& line, const Print& print, bool origins) {
  Json all = ask(line, {{"command", "config"}});
  try {
    if (origins) add_learned(line, all);
    if (line.has("json")) return print(all.dump(2) + "\n");
    std::string text;
    std::string section;
    for (const Json& entry : all) {
      if (const std::string service = entry.value("service", ""); service != section) {
        text += "\n[service " + service + "]\n";
        section = service;
      }
      text += lines_of(entry, origins ? origin_of(entry) + learned_text(entry) : "");
    }
    print(text);
  } catch (const Json::exception&) {
    throw_other_version(line.name());
  }
}

void get(const CommandLine& line, const Print& print) {
  if (line.words.empty()) return print_all(line, print, false);
  const Json entry = ask(line, {{"command", "get"}, {"key", line.words[0]}});
  if (line.has("json")) return print(entry.dump(2) + "\n");
  std::string text;
  for (const Json& value : entry.at("values")) text += value.get<std::string>() + "\n";
  print(text);
}

void set(const CommandLine& line, const Print& print) {
  const std::vector<std::string> values(line.words.begin() + 1, line.words.end());
  const Json done = ask(line, {{"command", "set"}, {"key", line.words[0]}, {"values", values}});
  print(done.get<std::string>() + "\n");
}

}  // namespace

Command get_command() {
  return {.name = "get",
          .usage = "[KEY] [--json] [--name NAME]",
          .help =
              "the value that is in force of the flag KEY, without its dashes; without KEY all "
              "of them, as lines of a file for --config",
          .flags = kNameAndJson,
          .max_words = 1,
          .run = get};
}

Command set_command() {
  return {.name = "set",
          .usage = "KEY VALUE... [--name NAME]",
          .help =
              "gives the flag KEY another value at once, until the restart; only what a reload "
              "may change, and only by root or the user that the proxy runs as",
          .flags = kNameOnly,
          .min_words = 2,
          .max_words = kManyWords,
          .notes = R"(
The value is checked as on the command line. Packets that arrive afterwards are decided by it. It
wins over the command line and over the file of --config, and a reload keeps it. `synproxy unset
KEY` takes it back; a restart forgets it, so what is to stay belongs into the file as well. The
proxy prints what was changed and who asked. A flag that may be given several times takes several
values here, which replace all that it had.

  synproxy set idle-timeout 600
  synproxy set sack-perm off
)",
          .run = set};
}

Command unset_command() {
  return {
      .name = "unset",
      .usage = "KEY [--name NAME]",
      .help =
          "takes back what set has given to KEY: the command line, the file or the default "
          "is in force again",
      .flags = kNameOnly,
      .min_words = 1,
      .max_words = 1,
      .run = [](const CommandLine& line, const Print& print) {
        print(ask(line, {{"command", "unset"}, {"key", line.words[0]}}).get<std::string>() + "\n");
      }};
}

Command reload_command() {
  return {.name = "reload",
          .usage = "[--name NAME]",
          .help =
              "reads the files of --config and --secret-file again, as SIGHUP does, and prints "
              "what became of it",
          .flags = kNameOnly,
          .notes = R"(
If anything is wrong in a file, or needs a restart, nothing changes, and the exit status is 2.
What was `set` stays as it is.
)",
          .run = [](const CommandLine& line, const Print& print) {
            print(ask(line, {{"command", "reload"}}).get<std::string>() + "\n");
          }};
}

Command config_command() {
  return {
      .name = "config",
      .usage = "[--json] [--name NAME]",
      .help =
          "what is in force, and where each value comes from: default, flag, file or set; for `auto`, what was "
          "learned of each server",
      .flags = kNameAndJson,
      .notes = R"(
Each line is one for the file of --config, with its origin as a comment. With --json, "change" says
what changes the value: "reload" (also `synproxy set`) or "restart". Each worker learns alone, so
"learned" has an entry for each of them.
)",
      .run = [](const CommandLine& line, const Print& print) { print_all(line, print, true); }};
}

}  // namespace synproxy::control
