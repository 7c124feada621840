// SPDX-License-Identifier: BSD-3-Clause
#include "control/reload.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/errors.h"
#include "control/flags.h"
#include "control/lists.h"
#include "control/options.h"
#include "control/secret.h"

namespace synproxy::control {
namespace {

[[noreturn]] void refuse_shape(const std::string& what, const std::string& now,
                               const std::string& next) {
  throw UsageError(what + " " + next + ": needs a restart, it runs with " + now +
                   "; restart it, or put the old value back");
}

// Adds a text if the value of the key has changed. Throws UsageError if such a key needs a restart.
void compare(const Key& key, const Config& now, const Config& next,
             std::vector<std::string>& changes) {
  const std::string was = in_words(values_of(key, now));
  const std::string is = in_words(values_of(key, next));
  if (was == is) return;
  if (key.flag->change == Change::kRestart) {
    refuse_shape((key.service.empty() ? "--" : "") + key.text(), was, is);
  }
  changes.push_back(key.text() + " " + was + " -> " + is);
}

std::vector<std::string> compare(const Config& now, const Config& next) {
  const auto names = [](const Config& config) {
    const std::string all = names_of_services(config);
    return all.empty() ? "none" : all;
  };
  if (names(now) != names(next)) refuse_shape("services", names(now), names(next));
  std::vector<std::string> changes;
  for (const Flag& flag : flags()) {
    if (flag.kind != FlagKind::kBare) compare({.flag = &flag}, now, next, changes);
  }
  for (const NamedService& service : now.services) {
    for (const Flag& flag : flags()) {
      const Key key{.flag = &flag, .service = service.name};
      // What changes together with the value for all was said already.
      const auto follows = [&](const Config& config) {
        return flag.change == Change::kReload && values_of(key, config) == flag.value.print(config);
      };
      if (flag.per_service && !(follows(now) && follows(next))) compare(key, now, next, changes);
    }
  }
  return changes;
}

// A start may read a pipe. A reload would wait for its other end, and the keys of the next epoch
// with it.
void refuse_pipe(const std::string& flag, const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status) || std::filesystem::is_regular_file(status)) return;
  throw UsageError(flag + " " + path +
                   ": is not a regular file, which cannot be read again; start it with a file");
}

// How an error line names it.
std::string typed(const Key& key) { return (key.service.empty() ? "--" : "") + key.text(); }

Key key_to_set(const std::string& text, const Config& config) {
  Key key = key_called(text, config);
  if (key.flag->change == Change::kRestart) {
    throw UsageError(typed(key) +
                     ": needs a restart, it cannot be set; change it on the command line or in the "
                     "file of --config, and restart the proxy");
  }
  return key;
}

std::unique_ptr<const SourceLists> read_lists(const Config& config) {
  const auto look = [](const std::string& of, const ListFiles& files) {
    for (const std::string& path : files.allow) refuse_pipe(of + "allow-file", path);
    for (const std::string& path : files.deny) refuse_pipe(of + "deny-file", path);
  };
  look("--", config.lists);
  for (const NamedService& service : config.services) look(service.name + ".", service.lists);
  return load_lists(config);
}

bool lists_differ(const Config& a, const Config& b) {
  return a.lists != b.lists || !std::ranges::equal(a.services, b.services, {}, &NamedService::lists,
                                                   &NamedService::lists);
}

bool is_of(const Setting& s, const Key& key) {
  return s.flag == key.flag && s.service == key.service;
}

std::vector<Setting> without(std::vector<Setting> settings, const Key& key) {
  std::erase_if(settings, [&](const Setting& s) { return is_of(s, key); });
  return settings;
}

}  // namespace

std::string in_words(const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) text += (text.empty() ? "" : " ") + value;
  return text.empty() ? "none" : text;
}

Reload Reloader::read() const {
  if (running_.config_file.empty() && running_.secret_file.empty() && !has_lists(running_)) {
    throw UsageError(
        "neither --config nor --secret-file, --allow-file or --deny-file was given, there is "
        "nothing to read");
  }
  refuse_pipe("--config", running_.config_file);
  Invocation again = parse_command_line(arguments_);
  Reload next;
  next.config = std::move(again.config);
  next.given = std::move(again.settings);
  next.set = set_;
  if (!set_.empty()) {
    std::vector<std::string> eal_arguments = std::move(next.config.eal_arguments);
    next.config = build_config(merge(set_, next.given));
    next.config.eal_arguments = std::move(eal_arguments);
  }
  next.changes = compare(running_, next.config);
  if (!next.config.secret_file.empty()) next.secret = load_secret(next.config);
  next.lists = read_lists(next.config);
  return next;
}

Reload Reloader::set(const std::string& key, const std::vector<std::string>& values) const {
  const Key to = key_to_set(key, running_);
  const Flag& flag = *to.flag;
  const std::string name = typed(to);
  if (values.empty()) {
    throw UsageError(name + ": has no value; give " + std::string(flag.accepts));
  }
  if (values.size() > 1 && flag.kind != FlagKind::kRepeat) {
    throw UsageError(name + ": takes one value; give " + std::string(flag.accepts));
  }
  std::vector<Setting> set = without(set_, to);
  for (const std::string& value : values) {
    set.push_back({.flag = &flag,
                   .value = value,
                   .where = name + " " + (value.empty() ? "''" : value),
                   .origin = Setting::Origin::kSet,
                   .service = to.service});
  }
  return with(std::move(set));
}

Reload Reloader::unset(const std::string& key) const {
  std::vector<Setting> set = without(set_, key_to_set(key, running_));
  if (set.size() == set_.size()) {
    throw UsageError("'" + key +
                     "': was not set, there is nothing to take back; see synproxy "
                     "config");
  }
  return with(std::move(set));
}

Reload Reloader::with(std::vector<Setting> set) const {
  Reload next;
  next.config = build_config(merge(set, given_));
  next.config.eal_arguments = running_.eal_arguments;
  next.changes = compare(running_, next.config);
  if (lists_differ(running_, next.config)) next.lists = read_lists(next.config);
  next.given = given_;
  next.set = std::move(set);
  return next;
}

void Reloader::applied(const Reload& reload) {
  running_ = reload.config;
  given_ = reload.given;
  set_ = reload.set;
}

std::vector<Setting> Reloader::settings_of(const Key& key) const {
  for (const auto* source : {&set_, &given_}) {
    std::vector<Setting> found;
    for (const Setting& s : *source) {
      if (is_of(s, key)) found.push_back(s);
    }
    if (!found.empty()) return found;
  }
  return {};
}

}  // namespace synproxy::control
