// SPDX-License-Identifier: BSD-3-Clause
#include "control/lists.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>

#include "base/errors.h"

namespace synproxy::control {
namespace {

// 16 million take half a gigabyte while they are read: a larger file is no list.
constexpr std::size_t kMostPrefixes = std::size_t{1} << 24;

std::string read_file(const std::string& where, const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    throw UsageError(where + ": is a directory; name a file of one prefix a line");
  }
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::string text;
  if (in) text.assign(std::istreambuf_iterator<char>(in), {});
  if (!in || in.bad()) {
    throw UsageError(where + ": cannot be read: " + std::strerror(errno != 0 ? errno : EIO) +
                     "; name a readable file of one prefix a line");
  }
  return text;
}

// For an error line: what could break it or the terminal is a '?'.
std::string shown(std::string_view text) {
  constexpr std::size_t kMost = 64;
  std::string out(text.substr(0, kMost));
  std::ranges::replace_if(
      out, [](char c) { return c < ' ' || c > '~'; }, '?');
  return text.size() > kMost ? out + "..." : out;
}

void read_list(const std::string& flag, const std::string& path, std::vector<Prefix>& out) {
  constexpr std::string_view kBlank = " \t\r\v\f";
  const std::string where = flag + " " + path;
  const std::string text = read_file(where, path);
  std::string_view rest = text;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    line = line.substr(0, line.find_first_of("#;"));
    const std::size_t first = line.find_first_not_of(kBlank);
    if (first == std::string_view::npos) continue;
    line = line.substr(first, line.find_last_not_of(kBlank) + 1 - first);
    const auto refuse = [&](const std::string& why) {
      std::string said = where;
      said.append(":").append(std::to_string(number)).append(": ").append(shown(line));
      throw UsageError(said.append(": ").append(why));
    };
    if (line.find_first_of(kBlank) != std::string_view::npos) {
      refuse("is more than one word; write one address or prefix a line");
    }
    if (out.size() == kMostPrefixes) refuse("is one prefix too many; at most 16777216 are kept");
    try {
      out.push_back(parse_prefix(line));
    } catch (const std::invalid_argument& error) {
      refuse(error.what());
    }
  }
}

std::vector<Prefix> read_lists(const std::string& flag, const std::vector<std::string>& paths) {
  std::vector<Prefix> prefixes;
  for (const std::string& path : paths) read_list(flag, path, prefixes);
  return prefixes;
}

void compare(const char* flag, bool same, std::size_t was, std::size_t is,
             std::vector<std::string>& changes) {
  if (same && was == is) return;
  changes.push_back(std::string(flag) + " of " + std::to_string(is) +
                    (was == is ? " other prefixes" : " prefixes, before " + std::to_string(was)));
}

}  // namespace

std::unique_ptr<const SourceLists> load_lists(const Config& config) {
  const std::vector<Prefix> allow = read_lists("--allow-file", config.allow_files);
  const std::vector<Prefix> deny = read_lists("--deny-file", config.deny_files);
  return std::make_unique<const SourceLists>(make_source_lists(allow, deny, config.bogons));
}

std::vector<std::string> list_changes(const SourceLists& now, const SourceLists& next) {
  std::vector<std::string> changes;
  const bool same_allowed = now.allowed == next.allowed;
  compare("allow-file", same_allowed, now.allow_count, next.allow_count, changes);
  // What is allowed is taken out of it, so it may change by that.
  compare("deny-file", !same_allowed || now.denied == next.denied, now.deny_count, next.deny_count,
          changes);
  return changes;
}

}  // namespace synproxy::control
