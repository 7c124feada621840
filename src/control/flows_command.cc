// SPDX-License-Identifier: BSD-3-Clause
// `synproxy flows`.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <utility>

#include "base/errors.h"
#include "control/commands.h"
#include "control/control_client.h"
#include "control/flow_filter.h"
#include "control/flow_text.h"
#include "control/flow_wire.h"
#include "control/service_sections.h"
#include "control/values.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kPiece = 1 << 20;
constexpr std::size_t kUsualTop = 10;

constexpr std::array kFlowsFlags = {
    CommandFlag{.name = "src",
                .form = "PREFIX",
                .accepts = "an address or a prefix, as 203.0.113.0/24 or 2001:db8::/32",
                .help = "the client is there"},
    CommandFlag{.name = "dst",
                .form = "PREFIX",
                .accepts = "an address or a prefix, as 203.0.113.0/24 or 2001:db8::/32",
                .help = "the server is there"},
    CommandFlag{.name = "sport",
                .form = "PORT[-PORT]",
                .accepts = "1 to 65535, or a range as 8000-8080",
                .help = "the client's port"},
    CommandFlag{.name = "dport",
                .form = "PORT[-PORT]",
                .accepts = "1 to 65535, or a range as 8000-8080",
                .help = "the server's port"},
    CommandFlag{.name = "service",
                .form = "NAME|ADDRESS[/LEN][:PORT[-PORT]]",
                .accepts = "the name of a service, or what --protect takes, as 192.0.2.10:443",
                .help = "the server is of that service, or there"},
    CommandFlag{.name = "state",
                .form = "STATE",
                .accepts = "syn-sent, established, closing, finished, given-up or outbound-syn",
                .help = "one of the states below; repeatable",
                .repeat = true},
    CommandFlag{.name = "older",
                .form = "DURATION",
                .accepts = "a time as 90s, 10m or 2h, 49 days at most",
                .help = "began at least so long ago"},
    CommandFlag{.name = "idle",
                .form = "DURATION",
                .accepts = "a time as 90s, 10m or 2h, 49 days at most",
                .help = "silent for at least so long"},
    CommandFlag{.name = "count", .help = "print only how many there are"},
    CommandFlag{.name = "top-sources",
                .form = "N",
                .accepts = "1 to 1000000 sources",
                .help = "print the N clients' addresses that have most of them (10)",
                .alone = true},
    CommandFlag{.name = "delete",
                .help = "end them, with a RST to both ends; wants a filter or --all"},
    CommandFlag{.name = "all", .help = "with --delete and without a filter: every connection"},
    kJsonFlag,
    kNameFlag};

struct Flows {
  std::vector<FlowInfo> list;  // those that the filter lets through
  std::vector<unsigned> workers;
  std::vector<std::string> rules;
  std::vector<std::string> names;  // of the services of the rules
};

template <typename Wanted>
void keep(Flows& flows, Wanted&& wanted) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < flows.list.size(); ++i) {
    if (!wanted(flows.list[i])) continue;
    flows.list[kept] = flows.list[i];
    flows.workers[kept++] = flows.workers[i];
  }
  flows.list.resize(kept);
  flows.workers.resize(kept);
}

// What --service takes besides names. Throws UsageError.
std::optional<ProtectRule> rule_of(const std::string* service) {
  if (service == nullptr || service->empty() || is_service_name(*service)) return std::nullopt;
  try {
    return parse_protect_rule(*service);
  } catch (const std::invalid_argument& error) {
    throw UsageError("--service " + *service + ": " + error.what() +
                     "; give the name of a service, or what --protect takes, as 192.0.2.10:443");
  }
}

// Leaves those of one service.
void keep_service(Flows& flows, const std::string& service) {
  if (std::ranges::find(flows.names, service) == flows.names.end() || service.empty()) {
    std::vector<std::string> names;
    for (const std::string& name : flows.names) {
      if (!name.empty() && std::ranges::find(names, name) == names.end()) names.push_back(name);
    }
    throw UsageError("--service " + (service.empty() ? "''" : service) +
                     ": is no service of this proxy; " + services_there_are(names));
  }
  const Services services(flows.rules, flows.names);
  keep(flows, [&](const FlowInfo& flow) { return services.of(flow) == service; });
}

Flows read_flows(ControlClient& client, const CommandLine& line, const FlowFilter& filter,
                 const std::optional<ProtectRule>& there) {
  const std::string name = line.name();
  Flows flows;
  const Json head =
      read_table<FlowInfo>(client, name, "flows", [&](FlowInfo& flow, unsigned worker) {
        if (!filter.matches(flow) || (there && !is_server_at(flow, *there))) return;
        flows.list.push_back(flow);
        flows.workers.push_back(worker);
      });
  flows.rules = head.at("protect").get<std::vector<std::string>>();
  flows.names = head.at("services").get<std::vector<std::string>>();
  const std::string* const service = line.value("service");
  if (service != nullptr && !there) keep_service(flows, *service);
  return flows;
}

// Deletes no flow. Who may not delete is told so even where no flow fits.
void ask_whether_one_may(ControlClient& client) {
  static_cast<void>(client.ask({{"command", "delete-flows"}, {"flows", Json::array()}}));
}

std::size_t remove(ControlClient& client, const Flows& flows) {
  std::size_t deleted = 0;
  for (std::size_t at = 0; at < flows.list.size();) {
    Json names = Json::array();
    for (; at < flows.list.size() && names.size() < kFlowsToDelete; ++at) {
      const FlowInfo& f = flows.list[at];
      names.push_back({{"worker", flows.workers[at]},
                       {"index", f.index},
                       {"client", address_text(f.client, f.ipv6 != 0)},
                       {"sport", f.client_port},
                       {"server", address_text(f.server, f.ipv6 != 0)},
                       {"dport", f.server_port},
                       {"vlan", f.vlan}});
    }
    deleted += client.ask({{"command", "delete-flows"}, {"flows", names}})
                   .at("deleted")
                   .get<std::size_t>();
  }
  return deleted;
}

void print_list(const Flows& flows, bool json, const Print& print) {
  const Services services(flows.rules, flows.names);
  std::string text = json ? "[" : flow_header();
  for (std::size_t i = 0; i < flows.list.size(); ++i) {
    const FlowInfo& flow = flows.list[i];
    if (json) {
      text += (i == 0 ? "\n" : ",\n") + flow_json(flow, services.of(flow));
    } else {
      text += flow_row(flow, services.of(flow));
    }
    if (text.size() >= kPiece) print(std::exchange(text, {}));
  }
  print(text + (json ? "\n]\n" : ""));
}

void print_top(const std::vector<SourceCount>& sources, bool json, const Print& print) {
  Json all = Json::array();
  std::string text = "FLOWS       ESTABLISHED SOURCE\n";
  for (const auto& [address, count, established] : sources) {
    all.push_back({{"source", address}, {"flows", count}, {"established", established}});
    std::string row = std::to_string(count);
    row.resize(std::max<std::size_t>(row.size() + 1, 12), ' ');
    row += std::to_string(established);
    row.resize(std::max<std::size_t>(row.size() + 1, 24), ' ');
    text += row + address + "\n";
  }
  print(json ? all.dump(2) + "\n" : text);
}

std::size_t how_many(const CommandLine& line) {
  const std::string* value = line.value("top-sources");
  if (value == nullptr) return kUsualTop;
  try {
    return parse_integer(*value, 1, 1'000'000);
  } catch (const std::invalid_argument& error) {
    throw UsageError("--top-sources " + *value + ": " + error.what() +
                     "; give 1 to 1000000 sources");
  }
}

// One thing at a time.
void check_together(const CommandLine& line, const FlowFilter& filter) {
  std::string first;
  for (const char* flag : {"count", "top-sources", "delete"}) {
    if (!line.has(flag)) continue;
    if (!first.empty()) {
      throw UsageError("--" + std::string(flag) + ": does not go with --" + first + "; give one");
    }
    first = flag;
  }
  if (line.has("all") && !line.has("delete")) {
    throw UsageError("--all: goes with --delete; without it all are listed anyway");
  }
  if (line.has("all") && !filter.matches_all()) {
    throw UsageError("--all: does not go with a filter; give one of them");
  }
  if (line.has("delete") && filter.matches_all() && !line.has("all")) {
    throw UsageError(
        "--delete: would end every connection; give a filter, as --src 203.0.113.7, "
        "or --all");
  }
}

void run_flows(const CommandLine& line, const Print& print) {
  const FlowFilter filter(line);
  const std::size_t top = how_many(line);
  check_together(line, filter);
  const std::optional<ProtectRule> there = rule_of(line.value("service"));
  const bool json = line.has("json");
  ControlClient client(line.name());
  try {
    if (line.has("delete")) ask_whether_one_may(client);
    const Flows flows = read_flows(client, line, filter, there);
    if (line.has("count")) {
      const std::string count = std::to_string(flows.list.size());
      return print(json ? "{\"count\":" + count + "}\n" : count + "\n");
    }
    if (line.has("top-sources")) return print_top(top_sources(flows.list, top), json, print);
    if (!line.has("delete")) return print_list(flows, json, print);
    const std::string deleted = std::to_string(remove(client, flows));
    print(json ? "{\"deleted\":" + deleted + "}\n" : deleted + " deleted\n");
  } catch (const Json::exception&) {
    throw_other_version(line.name());
  }
}

}  // namespace

Command flows_command() {
  return {.name = "flows",
          .usage = "[FILTER...] [--count | --top-sources[=N] | --delete] [--json] [--name NAME]",
          .help = "the connections that the proxy knows, as ss and conntrack -L list them",
          .flags = kFlowsFlags,
          .notes = R"(
States
  syn-sent      the client has proven its address, the server has not answered yet
  established   both handshakes are done
  closing       both ends have said FIN, or one has sent a RST
  finished      closed; late segments are still translated
  given-up      ended by the proxy; what still comes is answered with a RST
  outbound-syn  the protected server has sent a SYN of its own, nobody has answered it

Columns
  SERVICE  the name of the server's service, else the rule of --protect that covers it
  AGE      seconds since it began: since the valid cookie, or since the proxy knows it
  IDLE     seconds since the last segment; from the first keepalive on ("probed"), since that
  DELTA    what is added to the client's acknowledgement numbers: server's ISN less cookie
  OPTIONS  agreed with the client: timestamps, sack, ecn, wscale; and what else is known
  SCALES   window scales: the client's, the one offered to it in the server's name, the server's
  IN, OUT  bytes of payload from the client and from the server, modulo 4 GB

Packets of a connection are not counted, so not shown. While the list is read, connections come and
go: one may be missing, or be there twice. Reading is for the group of --control-group too; --delete
for root and the user that the proxy runs as.

  synproxy flows --dport 443 --state established --older 10m
  synproxy flows --top-sources=5
  synproxy flows --src 203.0.113.7 --delete
)",
          .run = run_flows};
}

}  // namespace synproxy::control
