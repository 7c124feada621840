// SPDX-License-Identifier: BSD-3-Clause
// Every flag is one row. The parser, --help, docs/flags.md, the reload and the test of the defaults
// are made from the rows. A new flag is a field in base/config.h and a row in flag_rows_*.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"

namespace synproxy::control {

enum class FlagGroup : std::uint8_t {
  kPorts,
  kProtection,
  kAdaptive,
  kOffer,
  kLimits,
  kSources,
  kLists,
  kRunning,
  kOther
};

enum class FlagKind : std::uint8_t {
  kValue,   // takes a value, once
  kRepeat,  // takes a value, any number of times
  kSwitch,  // takes a word; alone it means on
  kBare,    // takes no value, and has no place in a Config
};

enum class Change : std::uint8_t {
  kReload,   // tuning: a reload applies it
  kRestart,  // shape: needs a new process
};

// From text to Config and back.
struct FlagValue {
  // Throws std::invalid_argument. Its text says what is wrong and completes "--flag value: ...".
  void (*apply)(Config& config, std::string_view text) = nullptr;
  // The values that, applied to a Config{}, give the setting of `config`. None: Config{} has that
  // setting already.
  std::vector<std::string> (*print)(const Config& config) = nullptr;
  // Of what may be off: makes it so, before a service has its own.
  void (*clear)(Config& config) = nullptr;
};

struct Flag {
  std::string_view name{};     // without the dashes; the key in a configuration file
  std::string_view form{};     // placeholder of the value; empty for kBare
  std::string_view example{};  // a good value that is not the default
  FlagGroup group = FlagGroup::kOther;
  FlagKind kind = FlagKind::kBare;
  Change change = Change::kRestart;
  bool required = false;
  bool per_service = false;    // may stand in a [service NAME] too
  std::string_view accepts{};  // completes "give ..." in an error line
  std::string_view help{};     // for --help: what it does, with its unit
  std::string_view reason{};   // for docs/flags.md: why this default, and why these limits
  FlagValue value{};
};

struct GroupTitle {
  FlagGroup group;
  std::string_view title;
};

[[nodiscard]] std::span<const Flag> flags();
[[nodiscard]] std::span<const GroupTitle> group_titles();
// nullptr: no flag has this name.
[[nodiscard]] const Flag* find_flag(std::string_view name);
// The flag as --help and the docs write it: "--mss BYTES|auto", "--ecn [on|off|auto]".
[[nodiscard]] std::string flag_term(const Flag& flag);
// The default, as the user would type it. Empty: there is none.
[[nodiscard]] std::string default_text(const Flag& flag);

}  // namespace synproxy::control
