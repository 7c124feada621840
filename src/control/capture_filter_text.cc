// SPDX-License-Identifier: BSD-3-Clause
#include "control/capture_filter_text.h"

#include <algorithm>
#include <stdexcept>
#include <string_view>

#include "base/errors.h"
#include "control/rule_text.h"
#include "control/service_sections.h"
#include "control/values.h"
#include "synproxy/base/reasons.h"
#include "synproxy/policy/prefix_set.h"
#include "synproxy/policy/protect.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kWidth = 96;

// Calls read(value); what it throws is told with the flag and its value.
template <typename Read>
auto take(const char* flag, const std::string& value, const char* accepts, Read&& read) {
  try {
    return read(std::string_view(value));
  } catch (const std::invalid_argument& error) {
    throw UsageError("--" + std::string(flag) + " " + value + ": " + error.what() + "; give " +
                     accepts);
  }
}

std::string one_end(std::string_view text) {
  const ProtectRule rule = parse_protect_rule(text);
  const bool whole = rule.prefix_length == (rule.ipv6 ? 128 : 32);
  if (!whole || rule.whole_address() || rule.first_port != rule.last_port) {
    throw std::invalid_argument("'" + std::string(text) + "' is not one address with one port");
  }
  return rule_text(rule);
}

void add_flow(Json& request, std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) {
    throw std::invalid_argument("has no '-' between the two ends");
  }
  request["client"] = one_end(text.substr(0, dash));
  request["server"] = one_end(text.substr(dash + 1));
  const auto six = [](const Json& end) { return end.get<std::string>().starts_with('['); };
  if (six(request["client"]) != six(request["server"])) {
    throw std::invalid_argument("has one end of IPv4 and one of IPv6");
  }
  request["either_way"] = true;
}

void add_reason(Json& request, const std::string& name) {
  const auto found = std::ranges::find(kReasons, name, &ReasonInfo::name);
  if (found == kReasons.end() || found->kind != ReasonKind::DROP) {
    throw std::invalid_argument(found == kReasons.end() ? "no packet is dropped for that"
                                                        : "is counted, but nothing is dropped");
  }
  request["reasons"].push_back(name);
}

}  // namespace

Json capture_request(const CommandLine& line) {
  Json request{{"command", "capture"}};
  if (const std::string* flow = line.value("flow")) {
    for (const char* other : {"src", "service"}) {
      if (line.has(other)) {
        throw UsageError("--flow: says both ends, so it does not go with --" + std::string(other) +
                         "; give one of them");
      }
    }
    take("flow", *flow, "CLIENT:PORT-SERVER:PORT, as 203.0.113.7:40000-192.0.2.10:80",
         [&](std::string_view text) { add_flow(request, text); });
  }
  if (const std::string* src = line.value("src")) {
    request["client"] =
        take("src", *src, "an address or a prefix, as 203.0.113.0/24 or 2001:db8::/32",
             [](std::string_view text) {
               const Prefix prefix = parse_prefix(text);
               return rule_text({prefix.address, prefix.length, prefix.ipv6});
             });
  }
  if (const std::string* service = line.value("service")) {
    // No address is such a name. The proxy knows whether it is one of its own.
    if (is_service_name(*service)) {
      request["service"] = *service;
    } else {
      request["server"] =
          take("service", *service,
               "the name of a service, or what --protect takes, as 192.0.2.10:443 or 192.0.2.0/24",
               [](std::string_view text) { return rule_text(parse_protect_rule(text)); });
    }
  }
  for (const std::string& reason : line.values("drop-reason")) {
    take("drop-reason", reason, "one that 'synproxy capture --help' lists",
         [&](std::string_view) { add_reason(request, reason); });
  }
  if (const std::string* snaplen = line.value("snaplen")) {
    request["snaplen"] = take("snaplen", *snaplen, "14 to 65535 bytes",
                              [](std::string_view text) { return parse_integer(text, 14, 65535); });
  }
  return request;
}

std::string drop_reasons() {
  std::string text;
  std::string line;
  for (const ReasonInfo& reason : kReasons) {
    if (reason.kind != ReasonKind::DROP) continue;
    if (line.size() + 2 + reason.name.size() > kWidth) {
      text += line + "\n";
      line.clear();
    }
    line += "  " + std::string(reason.name);
  }
  return text + line + "\n";
}

}  // namespace synproxy::control
