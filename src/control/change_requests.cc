// SPDX-License-Identifier: BSD-3-Clause
#include "control/change_requests.h"

#include <utility>

#include "base/errors.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;
using Kind = Requests::Kind;

const char* name_of(Setting::Origin origin) {
  switch (origin) {
    case Setting::Origin::kTyped:
      return "flag";
    case Setting::Origin::kFile:
      return "file";
    case Setting::Origin::kSet:
      return "set";
  }
  return "";
}

// "proxy.conf:3" of "proxy.conf:3: mss 1400".
std::string place_of(const Setting& setting) {
  const std::string tail = ": " + std::string(setting.flag->name) + " ";
  const std::size_t at = setting.where.rfind(tail);
  return at == std::string::npos ? setting.where : setting.where.substr(0, at);
}

// The shape cannot have changed since the start.
Json describe(const Key& key, const Reloader& reloader, const Config& started) {
  const bool tuning = key.flag->change == Change::kReload;
  const auto settings = reloader.settings_of(key);
  const char* const otherwise = key.service.empty() ? "default" : "all services";
  Json entry{{"key", key.text()},
             {"values", values_of(key, tuning ? reloader.running() : started)},
             {"from", settings.empty() ? otherwise : name_of(settings.front().origin)}};
  if (!key.service.empty()) entry["service"] = key.service;
  if (!settings.empty() && settings.front().origin == Setting::Origin::kFile) {
    entry["where"] = place_of(settings.front());
  }
  entry["change"] = tuning ? "reload" : "restart";
  return entry;
}

std::vector<std::string> values_asked(const Json& request) {
  const auto found = request.find("values");
  if (found == request.end() || !found->is_array()) {
    throw UsageError("the request has no list 'values'");
  }
  std::vector<std::string> values;
  for (const Json& value : *found) {
    if (!value.is_string()) throw UsageError("a value of the request is no text");
    values.push_back(value.get<std::string>());
  }
  return values;
}

}  // namespace

void add_change_requests(Requests& requests, Supervisor& supervisor, Reloader& reloader,
                         const Config& started, const ProgramClock& clock) {
  requests.add("get", Kind::kReading, [&](const Json& request, const Peer&) {
    const auto held = supervisor.hold();
    return describe(key_called(text_field(request, "key"), reloader.running()), reloader, started);
  });
  requests.add("config", Kind::kReading, [&](const Json&, const Peer&) {
    const auto held = supervisor.hold();
    Json all = Json::array();
    for (const Flag& flag : flags()) {
      if (flag.kind != FlagKind::kBare) all.push_back(describe({.flag = &flag}, reloader, started));
    }
    // Of a service, what it has of its own.
    for (const NamedService& service : started.services) {
      for (const Flag& flag : flags()) {
        const Key key{.flag = &flag, .service = service.name};
        if (!reloader.settings_of(key).empty()) all.push_back(describe(key, reloader, started));
      }
    }
    return all;
  });
  requests.add("set", Kind::kChanging, [&](const Json& request, const Peer& peer) -> Json {
    const std::string key = text_field(request, "key");
    return supervisor.set(reloader, key, values_asked(request), peer.text());
  });
  requests.add("unset", Kind::kChanging, [&](const Json& request, const Peer& peer) -> Json {
    return supervisor.unset(reloader, text_field(request, "key"), peer.text());
  });
  requests.add("reload", Kind::kChanging, [&](const Json&, const Peer& peer) -> Json {
    auto outcome = supervisor.reload(reloader, clock.now_ms(), peer.text());
    if (outcome.done) return std::move(outcome.text);
    if (outcome.usage) throw UsageError(outcome.text);
    throw RuntimeFailure(outcome.text);
  });
}

}  // namespace synproxy::control
