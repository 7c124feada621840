// SPDX-License-Identifier: BSD-3-Clause
// The settings of the command line and of the configuration file. Their flags are known; their
// values are still text.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "control/flags.h"

namespace synproxy::control {

struct Setting {
  enum class Origin : char { kTyped, kFile, kSet };

  const Flag* flag = nullptr;
  std::string value;  // "on" for a switch alone; empty for a bare flag
  std::string where;  // how an error line names it: "--mss 70000" or "proxy.conf:3: mss 70000"
  Origin origin = Origin::kTyped;
  std::string service{};  // of a line in [service NAME]; empty: of all

  // "mss", or "web.protect".
  [[nodiscard]] std::string key() const {
    return (service.empty() ? "" : service + ".") + std::string(flag->name);
  }
  [[nodiscard]] bool same_key(const Setting& other) const {
    return flag == other.flag && service == other.service;
  }
};

// `arguments`: without the program's name and what follows `--`. Throws UsageError.
[[nodiscard]] std::vector<Setting> read_arguments(const std::vector<std::string>& arguments);

// Reads lines `key = value`; # begins a comment. Lines behind [service NAME] are of that service
// alone. Throws UsageError, whose text names `path`.
[[nodiscard]] std::vector<Setting> read_config(std::istream& in, const std::string& path);
[[nodiscard]] std::vector<Setting> read_config_file(const std::string& path);

// Joins both. A flag that was typed hides all lines of the file with its name, except those of
// services.
[[nodiscard]] std::vector<Setting> merge(std::vector<Setting> typed, std::vector<Setting> file);

}  // namespace synproxy::control
