// SPDX-License-Identifier: BSD-3-Clause
// Every flag in one list: the parser, --help and docs/flags.md are made from it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace synproxy::control {

enum class FlagGroup : std::uint8_t { kPorts, kProtection, kOffer, kLimits, kRunning, kOther };

enum class FlagKind : std::uint8_t {
  kValue,   // takes a value, once
  kRepeat,  // takes a value, any number of times
  kSwitch,  // on, off, or auto as well; alone it means on
  kBare,    // takes no value
};

struct Flag {
  std::string_view name;     // without the dashes; the key in a configuration file
  std::string_view value;    // placeholder of the value; empty for kBare
  std::string_view initial;  // what holds when the flag is not given, as the user would type it
  FlagGroup group;
  FlagKind kind;
  std::string_view accepts;  // completes "give ..." in an error line
  std::string_view help;     // for --help: what it does, with its unit
  std::string_view reason;   // for docs/flags.md: why this default, and why these limits
};

struct GroupTitle {
  FlagGroup group;
  std::string_view title;
};

struct Command {
  std::string_view usage;
  std::string_view help;
};

[[nodiscard]] std::span<const Flag> flags();
[[nodiscard]] std::span<const GroupTitle> group_titles();
[[nodiscard]] std::span<const Command> commands();
// nullptr: no flag has this name.
[[nodiscard]] const Flag* find_flag(std::string_view name);

}  // namespace synproxy::control
