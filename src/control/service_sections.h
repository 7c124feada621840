// SPDX-License-Identifier: BSD-3-Clause
// Services with names: the [service NAME] of the file of --config, what its lines mean, and the
// keys NAME.KEY of `synproxy get` and `set`.
//
// A service has the number of its place in Config::services, from 1 on: the order of the file.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "control/settings.h"

namespace synproxy::control {

// The sections of a file while its lines are read. Throws UsageError.
class Sections {
 public:
  // True: the line begins a section. `place`: how an error names the line.
  [[nodiscard]] bool begins(std::string_view line, const std::string& place);
  // Empty: no section has begun.
  [[nodiscard]] const std::string& current() const { return current_; }
  // A line of the current section.
  void take(const Setting& setting);
  // The file ends.
  void end() const;

 private:
  std::vector<std::string> names_;
  std::string current_;
  std::string header_;  // of the current section: "proxy.conf:7: [service web]"
  bool protects_ = false;
};

// Whether such a name may be given.
[[nodiscard]] bool is_service_name(std::string_view name);

// Puts the settings of services into `config`, which has all others. Throws UsageError: an address
// and port is in two services.
void apply_sections(Config& config, std::span<const Setting> settings);

// A flag, or that of one service.
struct Key {
  const Flag* flag = nullptr;
  std::string service{};

  [[nodiscard]] std::string text() const;  // "mss", "web.protect"
};
// The key of this name that has a place in a Config with such services. Throws UsageError.
[[nodiscard]] Key key_called(const std::string& key, const Config& config);
// As FlagValue::print().
[[nodiscard]] std::vector<std::string> values_of(const Key& key, const Config& config);
// What a section may have: "protect, mode, ...".
[[nodiscard]] std::string keys_of_sections();
// "web, dns".
[[nodiscard]] std::string names_of_services(const Config& config);
// What to give instead of a name that is none: "give one of web, dns".
[[nodiscard]] std::string services_there_are(const std::vector<std::string>& names);

}  // namespace synproxy::control
