// SPDX-License-Identifier: BSD-3-Clause
#include "control/commands.h"

#include <algorithm>
#include <stdexcept>

#include "base/config.h"
#include "base/errors.h"
#include "control/values.h"

namespace synproxy::control {
namespace {

using Words = std::vector<std::string>;

std::string see_help(const Command& command) {
  return "see synproxy " + std::string(command.name) + " --help";
}

const CommandFlag& flag_called(const Command& command, std::string_view name) {
  const auto found = std::ranges::find(command.flags, name, &CommandFlag::name);
  if (found != command.flags.end()) return *found;
  throw UsageError("--" + std::string(name) + ": is not a flag of this command; " +
                   see_help(command));
}

void check_words(const Command& command, const Words& words) {
  if (words.size() < command.min_words) {
    throw UsageError("synproxy " + std::string(command.name) + ": something is missing; give " +
                     std::string(command.usage) + ", " + see_help(command));
  }
  if (words.size() > command.max_words) {
    throw UsageError("'" + words[command.max_words] +
                     "': stands alone, no flag takes it; flags begin with --, " +
                     see_help(command));
  }
}

void check_name(const std::string& name) {
  try {
    static_cast<void>(parse_name(name));
  } catch (const std::invalid_argument& error) {
    throw UsageError("--name " + name + ": " + error.what() + "; give " +
                     std::string(kNameFlag.accepts));
  }
}

// Takes the flag at `at`, and its value, which may be the next argument.
void take_flag(const Command& command, const Words& arguments, std::size_t& at, CommandLine& line) {
  const std::string text = arguments[at].substr(2);
  const std::size_t sign = text.find('=');
  const std::string name = text.substr(0, sign);
  const CommandFlag& flag = flag_called(command, name);
  const bool attached = sign != std::string::npos;
  if (line.has(name) && !flag.repeat) {
    throw UsageError("--" + name + ": was given before; give it once");
  }
  Words& values = line.flags[name];
  if (flag.form.empty()) {
    if (attached) {
      throw UsageError("--" + name + ": takes no value; leave out what follows the =");
    }
  } else if (attached) {
    if (sign + 1 == text.size()) {
      throw UsageError("--" + name + ": its value is empty; give " + std::string(flag.accepts));
    }
    values.push_back(text.substr(sign + 1));
  } else if (!flag.alone) {
    if (at + 1 == arguments.size() || arguments[at + 1].starts_with("--")) {
      throw UsageError("--" + name + ": has no value; give " + std::string(flag.accepts));
    }
    values.push_back(arguments[++at]);
  }
}

// Of its own such a command has only flags without values.
CommandLine with_start_flags(const Command& command, const Words& arguments) {
  CommandLine line;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const bool flag = arguments[i].starts_with("--") && arguments[i].size() > 2;
    const bool own =
        flag && std::ranges::find(command.flags, arguments[i].substr(2, arguments[i].find('=') - 2),
                                  &CommandFlag::name) != command.flags.end();
    if (arguments[i] == "--") {
      line.words.insert(line.words.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i),
                        arguments.end());
      break;
    }
    if (own) {
      take_flag(command, arguments, i, line);
    } else {
      line.words.push_back(arguments[i]);
    }
  }
  return line;
}

}  // namespace

const std::string* CommandLine::value(std::string_view flag) const {
  const auto all = values(flag);
  return all.empty() ? nullptr : &all.back();
}

std::span<const std::string> CommandLine::values(std::string_view flag) const {
  const auto found = flags.find(flag);
  if (found == flags.end()) return {};
  return found->second;
}

std::string CommandLine::name() const {
  const std::string* given = value("name");
  return given != nullptr ? *given : Config().name;
}

std::span<const Command> commands() {
  static const std::vector<Command> all = {
      bypass_command(),  check_command(),  stat_command(),   get_command(),   set_command(),
      unset_command(),   reload_command(), config_command(), flows_command(), host_command(),
      capture_command(), top_command(),    report_command()};
  return all;
}

const Command* find_command(std::string_view name) {
  const auto all = commands();
  const auto found = std::ranges::find(all, name, &Command::name);
  return found == all.end() ? nullptr : &*found;
}

std::string names_of_commands() {
  std::string names;
  const auto all = commands();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i != 0) names += i + 1 == all.size() ? " and " : ", ";
    names += all[i].name;
  }
  return names;
}

std::string flag_term(const CommandFlag& flag) {
  const std::string form(flag.form);
  const std::string tail = form.empty() ? "" : flag.alone ? "[=" + form + "]" : " " + form;
  return "--" + std::string(flag.name) + tail;
}

CommandLine read_command_line(const Command& command, const Words& arguments) {
  CommandLine line;
  if (command.takes_start_flags) return with_start_flags(command, arguments);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--") {
      line.words.insert(line.words.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                        arguments.end());
      break;
    }
    if (arguments[i].starts_with("--")) {
      take_flag(command, arguments, i, line);
    } else {
      line.words.push_back(arguments[i]);
    }
  }
  check_words(command, line.words);
  if (const std::string* name = line.value("name")) check_name(*name);
  return line;
}

}  // namespace synproxy::control
