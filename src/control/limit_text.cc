// SPDX-License-Identifier: BSD-3-Clause
#include "control/limit_text.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "control/values.h"
#include "synproxy/policy/limit_rules.h"

namespace synproxy::control {
namespace {

constexpr std::uint32_t kMostPerUnit = 1'000'000;
constexpr std::uint32_t kMostBurst = 1'000'000;
constexpr std::uint32_t kMostConns = 1U << 28;  // as --max-flows
constexpr std::uint32_t kMostReplies = 10'000'000;
constexpr std::uint32_t kMostBacklog = 65'535;  // as listen() and net.core.somaxconn take it

struct Unit {
  std::string_view name;
  std::uint32_t ms;
};
constexpr auto kUnits = std::to_array<Unit>(
    {{"second", 1000}, {"minute", 60'000}, {"hour", 3'600'000}, {"day", 86'400'000}});

struct Monitored {
  std::string_view name;
  std::uint16_t rule;
};
constexpr auto kMonitored = std::to_array<Monitored>({{"limit-rate", kMonitorLimitRate},
                                                      {"limit-conns", kMonitorLimitConns},
                                                      {"reply-rate", kMonitorReplyRate},
                                                      {"deny", kMonitorDeny},
                                                      {"deny-file", kMonitorDeny},
                                                      {"bogons", kMonitorBogons},
                                                      {"min-ttl", kMonitorMinTtl},
                                                      {"strict-window", kMonitorStrictWindow},
                                                      {"server-backlog", kMonitorServerBacklog},
                                                      {"tight-cookies", kMonitorTightCookies},
                                                      {"unknown", kMonitorUnknown},
                                                      {"fragments", kMonitorFragments},
                                                      {"mode", kMonitorMode}});

[[noreturn]] void wrong(const std::string& what) { throw std::invalid_argument(what); }

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

// Takes the part before the next comma away.
std::string_view next_part(std::string_view& text) {
  const std::size_t comma = text.find(',');
  const std::string_view part = text.substr(0, comma);
  text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  return part;
}

std::uint64_t number(std::string_view name, std::string_view text, std::uint64_t min,
                     std::uint64_t max) {
  try {
    return parse_integer(text, min, max);
  } catch (const std::invalid_argument& error) {
    wrong(std::string(name) + " " + error.what());
  }
}

// `set(name, value)` returns whether it knows the name.
template <typename Set>
void parse_options(std::string_view text, std::string_view names, SourceMask& mask, Set&& set) {
  std::string seen = ",";
  while (!text.empty()) {
    const std::string_view part = next_part(text);
    const std::size_t equals = part.find('=');
    const std::string_view name = part.substr(0, equals);
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    const std::string mark = "," + std::string(name) + ",";
    if (seen.find(mark) != std::string::npos) wrong("has " + std::string(name) + " twice");
    seen += std::string(name) + ",";
    if (name == "mask4") {
      mask.ipv4 = static_cast<std::uint8_t>(number(name, value, 0, 32));
    } else if (name == "mask6") {
      mask.ipv6 = static_cast<std::uint8_t>(number(name, value, 0, 128));
    } else if (!set(name, value)) {
      wrong("has " + quoted(part) + ", which is none of " + std::string(names));
    }
  }
}

std::uint32_t unit_ms(std::string_view text) {
  const auto unit = std::ranges::find_if(
      kUnits, [&](const Unit& u) { return !text.empty() && u.name.starts_with(text); });
  if (unit == kUnits.end()) wrong("has no unit: second, minute, hour or day");
  return unit->ms;
}

template <typename Limit>
void add(LimitList<Limit>& list, const Limit& limit) {
  if (list.count == kMaxLimits) {
    wrong("is one more than the " + std::to_string(kMaxLimits) +
          " that there may be; leave it out");
  }
  list.limits[list.count++] = limit;
}

std::string mask_text(const SourceMask& mask) {
  return ",mask4=" + std::to_string(mask.ipv4) + ",mask6=" + std::to_string(mask.ipv6);
}

}  // namespace

void add_limit(LimitList<RateLimit>& list, std::string_view text) {
  RateLimit limit;
  const std::string_view rate = next_part(text);
  const std::size_t slash = rate.find('/');
  limit.connections =
      static_cast<std::uint32_t>(number("its rate", rate.substr(0, slash), 1, kMostPerUnit));
  limit.period_ms =
      unit_ms(slash == std::string_view::npos ? std::string_view() : rate.substr(slash + 1));
  parse_options(text, "burst, mask4 and mask6", limit.mask,
                [&](std::string_view name, std::string_view value) {
                  if (name != "burst") return false;
                  limit.burst = static_cast<std::uint32_t>(number(name, value, 1, kMostBurst));
                  return true;
                });
  if (rate_rule(limit).most_ahead() >= kMaxBurstUnits) {
    wrong("has a burst that takes years to earn back; give a smaller burst");
  }
  for (const RateLimit& other : list.in_use()) {
    const bool same =
        other.mask == limit.mask && std::uint64_t{other.connections} * limit.period_ms ==
                                        std::uint64_t{limit.connections} * other.period_ms;
    if (same) wrong("repeats a rate with the same masks; leave one of them out");
  }
  add(list, limit);
}

void add_limit(LimitList<ConnsLimit>& list, std::string_view text) {
  ConnsLimit limit;
  limit.connections =
      static_cast<std::uint32_t>(number("its number", next_part(text), 1, kMostConns));
  parse_options(text, "mask4 and mask6", limit.mask,
                [](std::string_view, std::string_view) { return false; });
  for (const ConnsLimit& other : list.in_use()) {
    if (other.mask == limit.mask) wrong("has the masks of another one; leave the larger one out");
  }
  add(list, limit);
}

ReplyRate parse_reply_rate(std::string_view text) {
  ReplyRate rate;
  const std::string_view first = next_part(text);
  if (first == "off") {
    if (!text.empty()) wrong("is off and has masks; leave one of the two out");
    rate.per_second = 0;
    return rate;
  }
  rate.per_second = static_cast<std::uint32_t>(number("its number", first, 1, kMostReplies));
  parse_options(text, "mask4 and mask6", rate.mask,
                [](std::string_view, std::string_view) { return false; });
  return rate;
}

ServerBacklog parse_server_backlog(std::string_view text) {
  ServerBacklog backlog;
  const std::string_view first = next_part(text);
  if (first == "off") {
    if (!text.empty()) wrong("is off and has masks; leave one of the two out");
    return backlog;
  }
  backlog.learned = first == "auto";
  if (!backlog.learned) {
    backlog.connections = static_cast<std::uint32_t>(number("its number", first, 1, kMostBacklog));
  }
  parse_options(text, "mask4 and mask6", backlog.mask,
                [](std::string_view, std::string_view) { return false; });
  return backlog;
}

std::string server_backlog_text(const ServerBacklog& backlog) {
  if (!backlog.bounds()) return "off";
  return (backlog.learned ? "auto" : std::to_string(backlog.connections)) + mask_text(backlog.mask);
}

std::string reply_rate_text(const ReplyRate& rate) {
  return rate.per_second == 0 ? "off" : std::to_string(rate.per_second) + mask_text(rate.mask);
}

std::string limit_text(const RateLimit& limit) {
  const auto unit = std::ranges::find(kUnits, limit.period_ms, &Unit::ms);
  return std::to_string(limit.connections) + "/" + std::string(unit->name) +
         ",burst=" + std::to_string(limit.burst) + mask_text(limit.mask);
}

std::string limit_text(const ConnsLimit& limit) {
  return std::to_string(limit.connections) + mask_text(limit.mask);
}

std::uint16_t parse_monitored(std::string_view text) {
  if (text == "off") return 0;
  unsigned rules = 0;
  do {
    const std::string_view part = next_part(text);
    const auto known = std::ranges::find(kMonitored, part, &Monitored::name);
    if (known == kMonitored.end()) wrong("names " + quoted(part) + ", which is no such rule");
    rules |= known->rule;
  } while (!text.empty());
  return static_cast<std::uint16_t>(rules);
}

std::string monitored_text(std::uint16_t rules) {
  std::string text;
  for (const Monitored& m : kMonitored) {
    if ((rules & m.rule) == 0) continue;
    text += (text.empty() ? "" : ",") + std::string(m.name);
    rules = static_cast<std::uint16_t>(rules & ~m.rule);  // some have two names
  }
  return text;
}

std::string prefix_text(const RefusedSource& source) {
  std::array<char, INET6_ADDRSTRLEN> address{};
  ::inet_ntop(source.ipv6 ? AF_INET6 : AF_INET, source.prefix.data(), address.data(),
              address.size());
  const std::string text = address.data();
  const bool whole = source.length == (source.ipv6 ? 128 : 32);
  return whole ? text : text + "/" + std::to_string(source.length);
}

}  // namespace synproxy::control
