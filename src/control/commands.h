// SPDX-License-Identifier: BSD-3-Clause
// The commands to a proxy that runs: `synproxy stat`. Each is one row, from which the parser,
// --help and docs/flags.md are made. A new command is a file with its row, and its name in
// commands.cc.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace synproxy::control {

// A flag of a command.
struct CommandFlag {
  std::string_view name{};     // without the dashes
  std::string_view form{};     // placeholder of the value; empty: it takes none
  std::string_view accepts{};  // completes "give ..." in an error line
  std::string_view help{};
  bool alone = false;   // may stand without its value, which then has to be attached: --flag=VALUE
  bool repeat = false;  // any number of times
};

// Of nearly every command.
inline constexpr CommandFlag kNameFlag{
    .name = "name",
    .form = "NAME",
    .accepts = "1 to 48 of the characters A-Z a-z 0-9 _ . - and no . or - first",
    .help = "the proxy that was started with this --name"};
inline constexpr CommandFlag kJsonFlag{.name = "json", .help = "print JSON"};

// What was typed behind the name of a command. The flags are known to the command; their values are
// still text.
struct CommandLine {
  std::vector<std::string> words;  // that no flag took
  std::map<std::string, std::vector<std::string>, std::less<>> flags;

  [[nodiscard]] bool has(std::string_view flag) const { return flags.contains(flag); }
  // The value that was given last; nullptr: the flag was not given, or without a value.
  [[nodiscard]] const std::string* value(std::string_view flag) const;
  [[nodiscard]] std::span<const std::string> values(std::string_view flag) const;
  // Of --name, or the default.
  [[nodiscard]] std::string name() const;
};

// Prints text on standard output; throws RuntimeFailure where that cannot be written.
using Print = std::function<void(const std::string&)>;

struct Command {
  std::string_view name;
  std::string_view usage;  // what may follow the name
  std::string_view help;   // one sentence, without its full stop
  std::span<const CommandFlag> flags;
  std::size_t min_words = 0;  // that no flag takes
  std::size_t max_words = 0;
  // All that is none of `flags` becomes words, in its order and with its dashes: flags of the
  // start.
  bool takes_start_flags = false;
  std::string_view notes{};  // more for `synproxy COMMAND --help`; lines of at most 100 columns
  // Throws UsageError or RuntimeFailure.
  void (*run)(const CommandLine& line, const Print& print) = nullptr;
};

[[nodiscard]] std::span<const Command> commands();
// nullptr: no command has this name.
[[nodiscard]] const Command* find_command(std::string_view name);
// "stat, get and set".
[[nodiscard]] std::string names_of_commands();
// "--src PREFIX", "--top-sources[=N]".
[[nodiscard]] std::string flag_term(const CommandFlag& flag);

// Throws UsageError. Checks everything but the values, and of those --name.
[[nodiscard]] CommandLine read_command_line(const Command& command,
                                            const std::vector<std::string>& arguments);

// The rows, each in the file of its command.
[[nodiscard]] Command bypass_command();
[[nodiscard]] Command check_command();
[[nodiscard]] Command host_command();
[[nodiscard]] Command stat_command();
[[nodiscard]] Command get_command();
[[nodiscard]] Command set_command();
[[nodiscard]] Command unset_command();
[[nodiscard]] Command reload_command();
[[nodiscard]] Command config_command();
[[nodiscard]] Command flows_command();
[[nodiscard]] Command capture_command();
[[nodiscard]] Command top_command();
[[nodiscard]] Command report_command();

}  // namespace synproxy::control
