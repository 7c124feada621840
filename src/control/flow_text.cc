// SPDX-License-Identifier: BSD-3-Clause
#include "control/flow_text.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include "control/flow_filter.h"

namespace synproxy::control {
namespace {

constexpr std::array<std::size_t, 11> kColumns = {13, 24, 24, 18, 8, 11, 11, 28, 8, 5, 11};

std::string end_text(const AddressBytes& address, bool ipv6, std::uint16_t port) {
  const std::string text = address_text(address, ipv6);
  return (ipv6 ? "[" + text + "]:" : text + ":") + std::to_string(port);
}

// "0.250", "7200.000".
std::string seconds_of(std::uint32_t ms) {
  std::string text = std::to_string(ms / 1000) + ".";
  return text + std::to_string(1000 + ms % 1000).substr(1);
}

bool has(std::uint32_t bits, unsigned bit) { return (bits & bit) != 0; }

bool is_spliced(const FlowInfo& f) {
  return FlowRecord::has_spliced_part(static_cast<FlowState>(f.state));
}

bool scales(const FlowInfo& f) {
  return has(f.options, kFlowClientScales) && (!is_spliced(f) || has(f.options, kFlowServerScales));
}

// What was agreed with the client, and what the server took back.
std::vector<const char*> options_of(const FlowInfo& f) {
  std::vector<const char*> names;
  if (has(f.options, kFlowTimestamps)) names.push_back("timestamps");
  if (has(f.options, kFlowSack) && !has(f.options, kFlowUntranslated)) names.push_back("sack");
  if (has(f.options, kFlowEcn)) names.push_back("ecn");
  if (has(f.options, kFlowClientScales)) names.push_back("wscale");
  return names;
}

std::vector<const char*> flags_of(const FlowInfo& f) {
  std::vector<const char*> names;
  const bool untranslated = has(f.options, kFlowUntranslated);
  const bool watched = untranslated && has(f.options, kFlowWatched);
  if (watched) names.push_back("watched");
  if (untranslated && !watched) names.push_back("outbound");
  if (!untranslated && has(f.options, kFlowServerNoSack)) names.push_back("server-no-sack");
  if (has(f.options, kFlowServerNoEcn) && has(f.options, kFlowEcn))
    names.push_back("server-no-ecn");
  if (has(f.progress, kFlowClientFin)) names.push_back("client-fin");
  if (!is_spliced(f)) return names;
  if (has(f.progress, kFlowServerFin)) names.push_back("server-fin");
  if (has(f.progress, kFlowProbed)) names.push_back("probed");
  return names;
}

std::string joined(const std::vector<const char*>& names, const char* between) {
  std::string text;
  for (const char* name : names) text += (text.empty() ? "" : between) + std::string(name);
  return text;
}

std::string scales_text(const FlowInfo& f) {
  if (!scales(f)) return "-";
  return std::to_string(f.scales & 15U) + "/" + std::to_string(f.offered_scale) + "/" +
         (is_spliced(f) ? std::to_string(f.scales >> 4) : "?");
}

std::string row_of(std::span<const std::string> cells) {
  std::string row;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    row += cells[i];
    if (i + 1 == cells.size()) break;
    const std::size_t width = i < kColumns.size() ? kColumns[i] : 1;
    row += std::string(cells[i].size() < width ? width - cells[i].size() : 1, ' ');
  }
  return row + "\n";
}

// Our own text has nothing that JSON would have to escape.
void field(std::string& out, const char* name, const std::string& text) {
  out += out.size() == 1 ? "\"" : ",\"";
  out += name;
  out += "\":\"";
  out += text;
  out += '"';
}
void field(std::string& out, const char* name, std::uint64_t number) {
  out += out.size() == 1 ? "\"" : ",\"";
  out += name;
  out += "\":";
  out += std::to_string(number);
}
void field(std::string& out, const char* name, const std::vector<const char*>& names) {
  out += ",\"";
  out += name;
  out += names.empty() ? "\":[" : "\":[\"";
  out += joined(names, "\",\"");
  out += names.empty() ? "]" : "\"]";
}

struct AddressHash {
  std::size_t operator()(const std::pair<AddressBytes, bool>& key) const {
    return std::hash<std::string_view>()(
        {reinterpret_cast<const char*>(key.first.data()), key.first.size()});
  }
};

}  // namespace

Services::Services(const std::vector<std::string>& rules, const std::vector<std::string>& names) {
  // Rules of services with names count before the others.
  for (const bool named : {true, false}) {
    for (std::size_t i = 0; i < rules.size(); ++i) {
      const std::string& name = i < names.size() ? names[i] : std::string();
      if (name.empty() == named) continue;
      rules_.push_back(parse_protect_rule(rules[i]));
      texts_.push_back(named ? name : rules[i]);
    }
  }
  texts_.emplace_back("-");
}

bool is_server_at(const FlowInfo& flow, const ProtectRule& rule) {
  return covers({rule.address, rule.prefix_length, rule.ipv6}, flow.server.data(),
                flow.ipv6 != 0) &&
         rule.first_port <= flow.server_port && flow.server_port <= rule.last_port;
}

const std::string& Services::of(const FlowInfo& flow) const {
  const auto found = std::ranges::find_if(
      rules_, [&](const ProtectRule& rule) { return is_server_at(flow, rule); });
  return texts_[static_cast<std::size_t>(found - rules_.begin())];
}

std::string address_text(const AddressBytes& address, bool ipv6) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(ipv6 ? AF_INET6 : AF_INET, address.data(), text.data(), text.size());
  return text.data();
}

std::string vlan_text(VlanStack vlan) {
  if (vlan.tags() == 0) return "-";
  return (vlan.tags() > 1 ? std::to_string(vlan.outer()) + "." : "") + std::to_string(vlan.inner());
}

std::string flow_header() {
  const std::array<std::string, 12> cells = {"STATE", "CLIENT",  "SERVER", "SERVICE", "AGE", "IDLE",
                                             "DELTA", "OPTIONS", "SCALES", "VLAN",    "IN",  "OUT"};
  return row_of(cells);
}

std::string flow_row(const FlowInfo& f, const std::string& service) {
  const bool ipv6 = f.ipv6 != 0;
  std::vector<const char*> notes = options_of(f);
  for (const char* flag : flags_of(f)) notes.push_back(flag);
  const std::array<std::string, 12> cells = {std::string(state_name(f.state)),
                                             end_text(f.client, ipv6, f.client_port),
                                             end_text(f.server, ipv6, f.server_port),
                                             service,
                                             std::to_string(f.age_seconds),
                                             seconds_of(f.idle_ms),
                                             std::to_string(f.delta),
                                             notes.empty() ? "-" : joined(notes, ","),
                                             scales_text(f),
                                             vlan_text(VlanStack{f.vlan}),
                                             std::to_string(f.from_client),
                                             std::to_string(f.from_server)};
  return row_of(cells);
}

std::string flow_json(const FlowInfo& f, const std::string& service) {
  const bool ipv6 = f.ipv6 != 0;
  std::string out = "{";
  out.reserve(512);
  field(out, "state", std::string(state_name(f.state)));
  field(out, "client", address_text(f.client, ipv6));
  field(out, "sport", f.client_port);
  field(out, "server", address_text(f.server, ipv6));
  field(out, "dport", f.server_port);
  field(out, "vlan", vlan_text(VlanStack{f.vlan}));
  field(out, "service", service);
  field(out, "age_seconds", f.age_seconds);
  out += ",\"idle_seconds\":" + seconds_of(f.idle_ms);
  field(out, "delta", f.delta);
  field(out, "ts_delta", f.ts_delta);
  field(out, "options", options_of(f));
  field(out, "flags", flags_of(f));
  if (scales(f)) {
    field(out, "client_scale", f.scales & 15U);
    field(out, "offered_scale", f.offered_scale);
    if (is_spliced(f)) field(out, "server_scale", f.scales >> 4);
  }
  field(out, "bytes_from_client", f.from_client);
  field(out, "bytes_from_server", f.from_server);
  field(out, "worker", f.worker);
  return out + "}";
}

std::vector<SourceCount> top_sources(std::span<const FlowInfo> flows, std::size_t most) {
  std::unordered_map<std::pair<AddressBytes, bool>, SourceCount, AddressHash> counts;
  for (const FlowInfo& f : flows) {
    SourceCount& source = counts[{f.client, f.ipv6 != 0}];
    ++source.flows;
    source.established += f.state == static_cast<std::uint8_t>(FlowState::kEstablished) ? 1U : 0U;
  }
  std::vector<SourceCount> all;
  all.reserve(counts.size());
  for (auto& [key, count] : counts) {
    count.address = address_text(key.first, key.second);
    all.push_back(std::move(count));
  }
  const auto rank = [](const SourceCount& a, const SourceCount& b) {
    return a.flows != b.flows ? a.flows > b.flows : a.address < b.address;
  };
  const auto end = all.begin() + static_cast<std::ptrdiff_t>(std::min(most, all.size()));
  std::partial_sort(all.begin(), end, all.end(), rank);
  all.erase(end, all.end());
  return all;
}

}  // namespace synproxy::control
