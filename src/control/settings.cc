// SPDX-License-Identifier: BSD-3-Clause
#include "control/settings.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/config.h"
#include "base/errors.h"
#include "control/service_sections.h"

namespace synproxy::control {
namespace {

namespace po = boost::program_options;

constexpr std::string_view kSeeHelp = "see synproxy --help";

// Values stay text. Boost only splits the words into flags and values.
po::options_description describe(const std::vector<std::string_view>& names) {
  po::options_description all;
  for (const std::string_view name : names) {
    const std::string copy(name);
    switch (find_flag(name)->kind) {
      case FlagKind::kValue:
      case FlagKind::kRepeat:
      case FlagKind::kSwitch:
        all.add_options()(copy.c_str(), po::value<std::string>(), "");
        break;
      case FlagKind::kBare:
        all.add_options()(copy.c_str(), "");
        break;
    }
  }
  return all;
}

std::vector<std::string_view> names_of_flags() {
  std::vector<std::string_view> names;
  for (const Flag& flag : flags()) {
    names.push_back(flag.name);
  }
  return names;
}

// "--mss 1460" becomes "--mss=1460". Otherwise Boost takes an optional value only if it is
// attached, and takes the next flag as the value where one is missing.
std::vector<std::string> attach_values(const std::vector<std::string>& arguments) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const Flag* flag =
        word.starts_with("--") ? find_flag(std::string_view(word).substr(2)) : nullptr;
    if (flag == nullptr || flag->kind == FlagKind::kBare) {
      out.push_back(word);
      continue;
    }
    const bool has_next = i + 1 < arguments.size() && !arguments[i + 1].starts_with("--");
    if (has_next) {
      out.push_back(word + "=" + arguments[++i]);
    } else if (flag->kind == FlagKind::kSwitch) {
      out.push_back(word + "=on");
    } else {
      throw UsageError(word + ": has no value; give " + std::string(flag->accepts));
    }
  }
  return out;
}

std::string in_quotes(const std::string& text) { return "'" + text + "'"; }

void refuse_repeats(const std::vector<Setting>& settings) {
  for (auto it = settings.begin(); it != settings.end(); ++it) {
    const auto same = [&](const Setting& s) { return s.same_key(*it); };
    if (it->flag->kind != FlagKind::kRepeat && std::any_of(settings.begin(), it, same)) {
      throw UsageError(it->where + ": was given before; give it once");
    }
  }
}

// `word` is not a flag that this command takes.
[[noreturn]] void refuse_flag(const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  throw UsageError(name + ": unknown flag; " + std::string(kSeeHelp));
}

// The word of `arguments` that Boost could not take as any flag's value.
[[noreturn]] void refuse_stray(const std::string& word) {
  if (word.starts_with('-') && word != "-") {
    refuse_flag(word);
  }
  throw UsageError(in_quotes(word) + ": stands alone, no flag takes it; flags begin with --, " +
                   std::string(kSeeHelp));
}

[[noreturn]] void refuse_syntax(const po::invalid_syntax& error) {
  std::string name = error.get_option_name();
  const auto letter = name.find_first_not_of('-');
  const Flag* flag = letter == std::string::npos ? nullptr : find_flag(name.substr(letter));
  if (flag == nullptr) {
    throw UsageError(name + ": cannot be read; " + std::string(kSeeHelp));
  }
  if (flag->kind == FlagKind::kBare) {
    throw UsageError(name + ": takes no value; leave out what follows the =");
  }
  throw UsageError(name + ": its value is empty; give " + std::string(flag->accepts));
}

std::vector<po::option> split(const std::vector<std::string>& arguments,
                              const po::options_description& known) {
  namespace style = po::command_line_style;
  try {
    return po::command_line_parser(arguments)
        .options(known)
        .style(style::allow_long | style::long_allow_adjacent)
        .run()
        .options;
  } catch (const po::unknown_option& error) {
    refuse_flag(error.get_option_name());
  } catch (const po::invalid_syntax& error) {
    refuse_syntax(error);
  } catch (const po::error&) {
    throw UsageError("the command line cannot be read; " + std::string(kSeeHelp));
  }
}

}  // namespace

std::vector<Setting> read_arguments(const std::vector<std::string>& arguments) {
  const auto known = describe(names_of_flags());
  std::vector<Setting> settings;
  for (const po::option& option : split(attach_values(arguments), known)) {
    if (option.string_key.empty()) {
      refuse_stray(option.original_tokens.empty() ? "" : option.original_tokens.front());
    }
    Setting setting{.flag = find_flag(option.string_key), .value = {}, .where = {}};
    setting.where = "--" + option.string_key;
    if (setting.flag->kind != FlagKind::kBare) {
      setting.value = option.value.empty() ? "" : option.value.front();
      setting.where += " " + (setting.value.empty() ? "''" : setting.value);
    }
    settings.push_back(std::move(setting));
  }
  refuse_repeats(settings);
  return settings;
}

std::vector<Setting> read_config(std::istream& in, const std::string& path) {
  po::options_description known = describe(names_of_flags());
  std::vector<Setting> settings;
  Sections sections;
  std::string line;
  for (unsigned number = 1; std::getline(in, line); ++number) {
    const std::string place = path + ":" + std::to_string(number) + ": ";
    try {
      if (sections.begins(line, place)) continue;
      std::istringstream one(line);
      for (const po::option& option : po::parse_config_file(one, known, true).options) {
        const std::string& key = option.string_key;
        const Flag* flag = find_flag(key);
        if (flag == nullptr || flag->kind == FlagKind::kBare || key == "config") {
          throw UsageError(place + "unknown key " + in_quotes(key) +
                           "; the keys are the flags without their dashes, " +
                           std::string(kSeeHelp));
        }
        const std::string value = option.value.empty() ? "" : option.value.front();
        settings.push_back({.flag = flag,
                            .value = value,
                            .where = place + key + " " + (value.empty() ? "''" : value),
                            .origin = Setting::Origin::kFile,
                            .service = sections.current()});
        sections.take(settings.back());
      }
    } catch (const po::error&) {
      throw UsageError(place + in_quotes(line) + " is not a setting; write key = value");
    }
  }
  sections.end();
  refuse_repeats(settings);
  return settings;
}

std::vector<Setting> read_config_file(const std::string& path) {
  const auto refuse = [&](const std::string& why) {
    throw UsageError("--config " + (path.empty() ? "''" : path) + ": " + why);
  };
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::directory) {
    refuse("is a directory; name a file of lines key = value");
  }
  std::ifstream in(path);
  if (!in) {
    refuse("cannot be opened: " + std::string(std::strerror(errno)) +
           "; name a readable file of lines key = value");
  }
  return read_config(in, path);
}

std::vector<Setting> merge(std::vector<Setting> typed, std::vector<Setting> file) {
  const std::size_t count = typed.size();
  for (Setting& line : file) {
    const auto begin = typed.begin();
    const bool hidden = std::any_of(begin, begin + static_cast<std::ptrdiff_t>(count),
                                    [&](const Setting& s) { return s.same_key(line); });
    if (!hidden) {
      typed.push_back(std::move(line));
    }
  }
  return typed;
}

}  // namespace synproxy::control
