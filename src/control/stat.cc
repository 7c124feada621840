// SPDX-License-Identifier: BSD-3-Clause
#include "control/stat.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "base/config.h"
#include "base/errors.h"
#include "control/commands.h"
#include "control/felt.h"
#include "control/service_counts.h"
#include "control/telemetry_client.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kSections = {"counters", "gauges", "io"};

void add_to(Json& sum, const Json& values) {
  for (const auto& [name, value] : values.items()) {
    sum[name] = sum.value(name, std::uint64_t{0}) + value.get<std::uint64_t>();
  }
}

// At least eight digits, more if the number needs them.
std::string hexadecimal(std::uint64_t value) {
  std::array<char, 16> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
  const std::string text(digits.data(), end);
  return text.size() < 8 ? std::string(8 - text.size(), '0') + text : text;
}

// From "192.0.2.0/24 limit-rate refused 9".
Json limited_source(const std::string& line) {
  std::istringstream in(line);
  std::string source;
  std::string rule;
  std::string how;
  std::uint64_t count = 0;
  in >> source >> rule >> how >> count;
  return {
      {"source", source}, {"rule", rule}, {"monitored", how == "monitored"}, {"refused", count}};
}

// By name, in the order of the file of --config.
Json services(const Ask& ask) {
  Json all = Json::object();
  for (const Json& name : ask("/synproxy/services")) {
    Json& service = all[name.get<std::string>()];
    service["counters"] = ask("/synproxy/service," + name.get<std::string>());
    for (const ServiceGaugeInfo& gauge : kServiceGauges) {
      const std::string key(gauge.name);
      service["gauges"][key] = service["counters"].at(key);
      service["counters"].erase(key);
    }
  }
  return all;
}

// From "120 9.5 20.1 50.0 118 2.5 4.0 5.0 3 192.0.2.10:80".
Json felt_of(const std::string& line) {
  std::istringstream in(line);
  const auto times = [&in] {
    Json json;
    std::uint64_t count = 0;
    in >> count;
    json["count"] = count;
    for (const FeltShare& share : kFeltShares) {
      double ms = 0;
      in >> ms;
      json[share.name] = count == 0 ? Json() : Json(ms);
    }
    return json;
  };
  Json felt{{"service", ""}};
  felt["handshake_ms"] = times();
  felt["first_byte_ms"] = times();
  std::uint64_t repeats = 0;
  std::string service;
  in >> repeats >> std::ws;
  std::getline(in, service);
  felt["syn_repeats"] = repeats;
  felt["service"] = service;
  return felt;
}

Json compose(const Ask& ask) {
  const Json info = ask("/synproxy/info");
  Json document;
  for (const char* key : {"name", "version", "uptime_seconds"}) {
    document[key] = info.at(key);
  }
  for (const char* side : {"client", "server"}) {
    document["ports"][side] = ask(std::string("/synproxy/port,") + side);
    for (const char* yes_or_no : {"link_up", "rss", "rss_owner", "rx_checksum"}) {
      Json& value = document["ports"][side].at(yes_or_no);
      value = value.get<int>() != 0;  // DPDK's telemetry has no booleans
    }
  }
  document["mbufs"]["in_use"] = info.at("mbufs_in_use");
  document["mbufs"]["total"] = info.at("mbufs_total");
  document["cycles_per_second"] = info.at("cycles_per_second");
  document["log"]["lines_lost"] = info.at("log_lines_lost");
  Json total;
  for (const char* section : kSections) {
    total[section] = Json::object();
  }
  Json workers = Json::array();
  for (unsigned i = 0; i < info.at("workers").get<unsigned>(); ++i) {
    Json worker;
    worker["worker"] = i;
    worker["cpu"] = info.at("cpus").at(i);
    for (const char* section : kSections) {
      worker[section] = ask("/synproxy/" + std::string(section) + "," + std::to_string(i));
      add_to(total[section], worker[section]);
    }
    workers.push_back(std::move(worker));
  }
  document["services"] = services(ask);
  document["limited"] = Json::array();
  for (const Json& line : ask("/synproxy/limited")) {
    document["limited"].push_back(limited_source(line.get<std::string>()));
  }
  document["felt"] = Json::array();
  for (const Json& line : ask("/synproxy/felt")) {
    document["felt"].push_back(felt_of(line.get<std::string>()));
  }
  document["total"] = std::move(total);
  document["workers"] = std::move(workers);
  return document;
}

constexpr std::array kStatFlags = {
    CommandFlag{.name = "json",
                .help = "every counter, per worker and summed, as one JSON document"},
    kNameFlag};

}  // namespace

Command stat_command() {
  return {.name = "stat",
          .usage = "[--json] [--name NAME]",
          .help =
              "the table of /proc/net/stat/synproxy of the running proxy: same columns, "
              "hexadecimal, a row per worker; with --json every counter",
          .flags = kStatFlags,
          .run = [](const CommandLine& line, const Print& print) {
            print(stat_text(line.name(), line.has("json")));
          }};
}

Json stat_document(const Ask& ask) {
  try {
    return compose(ask);
  } catch (const Json::exception&) {
    throw RuntimeFailure(
        "stat: what answers under this name is no synproxy, or one of another version; use the "
        "program that was started");
  }
}

std::string stat_table(const Json& document) {
  std::string text =
      "entries\t\tsyn_received\tcookie_invalid\tcookie_valid\tcookie_retrans\tconn_reopened\n";
  for (const Json& worker : document.at("workers")) {
    const Json& counters = worker.at("counters");
    std::array<std::uint64_t, 6> row = {worker.at("gauges").value("flows", std::uint64_t{0})};
    std::size_t at = 1;
    for (const char* name :
         {"syn_received", "cookie_invalid", "cookie_valid", "cookie_retrans", "conn_reopened"}) {
      row[at++] = counters.value(name, std::uint64_t{0});
    }
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += hexadecimal(row[i]) + (i + 1 < row.size() ? '\t' : '\n');
    }
  }
  return text;
}

std::string stat_text(const std::string& name, bool json) {
  TelemetryClient client(name);
  const Json document =
      stat_document([&](const std::string& command) { return client.ask(command); });
  return json ? document.dump(2) + "\n" : stat_table(document);
}

}  // namespace synproxy::control
