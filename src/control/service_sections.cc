// SPDX-License-Identifier: BSD-3-Clause
#include "control/service_sections.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "base/errors.h"
#include "control/flags.h"
#include "control/limit_text.h"
#include "control/options.h"
#include "control/rule_text.h"

namespace synproxy::control {
namespace {

constexpr std::string_view kBlank = " \t\r";
constexpr std::size_t kLongestName = 32;

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// "web" of "[service web]". Empty: it is no such header.
std::string_view name_in(std::string_view header) {
  constexpr std::string_view kBegin = "[service";
  if (!header.starts_with(kBegin) || !header.ends_with(']')) return {};
  const std::string_view inside = header.substr(kBegin.size(), header.size() - kBegin.size() - 1);
  const bool apart = !inside.empty() && kBlank.find(inside.front()) != std::string_view::npos;
  return apart ? trimmed(inside) : std::string_view{};
}

// From 1 on. 0: there is none.
std::size_t number_of(const Config& config, std::string_view name) {
  const auto found = std::ranges::find(config.services, name, &NamedService::name);
  return found == config.services.end()
             ? 0
             : static_cast<std::size_t>(found - config.services.begin()) + 1;
}

struct PlacedRule {
  ProtectRule rule;
  const Setting* setting;
};

ProtectRule rule_of(const Setting& s) {
  try {
    return parse_protect_rule(s.value);
  } catch (const std::invalid_argument& error) {
    throw UsageError(s.where + ": " + error.what());
  }
}

void refuse_overlap(const PlacedRule& rule, std::span<const PlacedRule> before) {
  for (const PlacedRule& other : before) {
    if (other.rule.service == rule.rule.service || !overlap(other.rule, rule.rule)) continue;
    const std::string by =
        other.setting->value == rule.setting->value ? "" : ", by " + rule_text(other.rule) + ",";
    throw UsageError(rule.setting->where + ": is in the service " + rule.setting->service + " and" +
                     by + " in the service " + other.setting->service +
                     "; give each address and port to one of them");
  }
}

void refuse_monitor_of_all(const Setting& s, const Config& own) {
  const std::uint16_t of_all = own.engine.tuning.limits.monitored & kMonitorOfAllAlone;
  if (of_all == 0) return;
  throw UsageError(s.where + ": names " + monitored_text(of_all) +
                   ", which is for all services together; put that above the first [service NAME]");
}

}  // namespace

bool is_service_name(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto allowed = [&](char c) {
    return letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  };
  return !name.empty() && name.size() <= kLongestName && letter(name.front()) &&
         std::ranges::all_of(name, allowed);
}

bool Sections::begins(std::string_view line, const std::string& place) {
  const std::string_view header = trimmed(line.substr(0, line.find('#')));
  if (!header.starts_with('[')) return false;
  const std::string_view name = name_in(header);
  if (name.empty()) {
    throw UsageError(place + "'" + std::string(header) +
                     "' begins no section; write [service NAME], or key = value");
  }
  if (!is_service_name(name)) {
    throw UsageError(place + std::string(header) +
                     ": is no name of a service; give a letter, then letters, digits, '-', '_' and "
                     "'.', 32 in all at most");
  }
  end();
  current_ = name;
  header_ = place + "[service " + current_ + "]";
  protects_ = false;
  if (std::ranges::find(names_, current_) != names_.end()) {
    throw UsageError(header_ + ": was given before; put all its lines behind the first one");
  }
  if (names_.size() == kMostNamedServices) {
    throw UsageError(header_ + ": is one too many; give at most " +
                     std::to_string(kMostNamedServices) + " services");
  }
  names_.push_back(current_);
  return true;
}

void Sections::take(const Setting& setting) {
  if (current_.empty()) return;
  if (!setting.flag->per_service) {
    throw UsageError(setting.where + ": is not for one service alone; put it above the first " +
                     "[service NAME], which may have " + keys_of_sections());
  }
  protects_ |= setting.flag->name == "protect";
}

void Sections::end() const {
  if (current_.empty() || protects_) return;
  throw UsageError(header_ + ": protects nothing; add a line as protect = 203.0.113.10:80");
}

void apply_sections(Config& config, std::span<const Setting> settings) {
  std::vector<PlacedRule> rules;
  for (const Setting& s : settings) {
    if (s.service.empty() || s.flag->name != "protect") continue;
    if (number_of(config, s.service) == 0) config.services.push_back({.name = s.service});
    PlacedRule placed{.rule = rule_of(s), .setting = &s};
    placed.rule.service = static_cast<NamedServiceId>(number_of(config, s.service));
    refuse_overlap(placed, rules);
    config.protect.push_back(placed.rule);
    rules.push_back(placed);
  }
  // A row writes into a whole configuration, so each service has one for the while.
  for (NamedService& service : config.services) {
    Config own;
    own.engine.tuning = config.engine.tuning;
    own.lists = config.lists;
    for (const Setting& s : settings) {
      if (s.service == service.name && s.flag->value.clear != nullptr) s.flag->value.clear(own);
    }
    for (const Setting& s : settings) {
      if (s.service != service.name || s.flag->name == "protect") continue;
      apply_setting(own, s);
      if (s.flag->name == "monitor") refuse_monitor_of_all(s, own);
    }
    service.tuning = own.engine.tuning;
    service.lists = own.lists;
  }
}

std::string Key::text() const {
  return (service.empty() ? "" : service + ".") + std::string(flag->name);
}

Key key_called(const std::string& key, const Config& config) {
  const Flag* flag = find_flag(key);
  if (flag != nullptr && flag->kind != FlagKind::kBare) return {.flag = flag};
  const std::size_t dot = key.rfind('.');
  const Flag* of_service = dot == std::string::npos ? nullptr : find_flag(key.substr(dot + 1));
  if (of_service == nullptr) {
    throw UsageError("'" + key +
                     "': unknown key; the keys are the flags without their dashes, see synproxy "
                     "get");
  }
  const std::string service = key.substr(0, dot);
  if (number_of(config, service) == 0) {
    throw UsageError(
        "'" + key + "': there is no service '" + service + "'; there " +
        (config.services.empty() ? "is none with a name" : "are " + names_of_services(config)));
  }
  if (!of_service->per_service) {
    throw UsageError("'" + key + "': is not for one service alone; a service may have " +
                     keys_of_sections());
  }
  return {.flag = of_service, .service = service};
}

std::vector<std::string> values_of(const Key& key, const Config& config) {
  if (key.service.empty()) return key.flag->value.print(config);
  const std::size_t number = number_of(config, key.service);
  if (key.flag->name != "protect") {
    Config own;
    own.engine.tuning = config.services.at(number - 1).tuning;
    own.lists = config.services.at(number - 1).lists;
    std::vector<std::string> values = key.flag->value.print(own);
    // The service has nothing where all others have something.
    const bool off = values.empty() && key.flag->value.clear != nullptr;
    return off && !key.flag->value.print(config).empty() ? std::vector<std::string>{"off"} : values;
  }
  std::vector<std::string> texts;
  for (const ProtectRule& rule : config.protect) {
    if (number != 0 && rule.service == number) texts.push_back(rule_text(rule));
  }
  return texts;
}

std::string keys_of_sections() {
  std::string all;
  for (const Flag& flag : flags()) {
    if (flag.per_service) all += (all.empty() ? "" : ", ") + std::string(flag.name);
  }
  return all;
}

std::string names_of_services(const Config& config) {
  std::string all;
  for (const NamedService& s : config.services) all += (all.empty() ? "" : ", ") + s.name;
  return all;
}

std::string services_there_are(const std::vector<std::string>& names) {
  if (names.empty()) return "none has a name, see [service NAME] in synproxy.conf(5)";
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "give one of " : ", ") + name;
  return all;
}

}  // namespace synproxy::control
