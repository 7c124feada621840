// SPDX-License-Identifier: BSD-3-Clause
#include "control/lists.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string_view>
#include <utility>

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

std::string named(std::string flag, const std::string& path) {
  return flag.append(" ").append(path);
}

void read_list(const std::string& flag, const std::string& path, std::vector<Prefix>& out) {
  constexpr std::string_view kBlank = " \t\r\v\f";
  const std::string where = named(flag, path);
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

// Each file is read once, however many services name it.
class Files {
 public:
  SourceSets sets(const std::string& of_whom, const ListFiles& files) {
    const std::vector<Prefix> allow = all_of(of_whom + "allow-file", files.allow);
    const std::vector<Prefix> deny = all_of(of_whom + "deny-file", files.deny);
    return make_source_sets(allow, deny, files.bogons);
  }

 private:
  std::vector<Prefix> all_of(const std::string& flag, const std::vector<std::string>& paths) {
    std::vector<Prefix> prefixes;
    for (const std::string& path : paths) {
      const auto [file, fresh] = read_.try_emplace(path);
      std::vector<Prefix>& held = file->second;
      if (fresh) read_list(flag, path, held);
      if (prefixes.size() + held.size() > kMostPrefixes) {
        throw UsageError(named(flag, path) +
                         ": makes them too many prefixes; at most 16777216 are kept");
      }
      prefixes.insert(prefixes.end(), held.begin(), held.end());
    }
    return prefixes;
  }

  std::map<std::string, std::vector<Prefix>> read_;
};

void compare(const std::string& flag, bool same, std::size_t was, std::size_t is,
             std::vector<std::string>& changes) {
  if (same && was == is) return;
  changes.push_back(flag + " of " + std::to_string(is) +
                    (was == is ? " other prefixes" : " prefixes, before " + std::to_string(was)));
}

void compare(const std::string& of, const SourceSets& now, const SourceSets& next,
             std::vector<std::string>& changes) {
  const bool same_allowed = now.allowed == next.allowed;
  compare(of + "allow-file", same_allowed, now.allow_count, next.allow_count, changes);
  // Allowed sources are taken out of the denied ones, so these may change with the allowed ones.
  compare(of + "deny-file", !same_allowed || now.denied == next.denied, now.deny_count,
          next.deny_count, changes);
}

}  // namespace

std::unique_ptr<const SourceLists> load_lists(const Config& config) {
  Files files;
  SourceLists lists{files.sets("--", config.lists), {}, {}};
  std::vector<const ListFiles*> made;  // in the order of lists.own
  for (std::size_t i = 0; i < config.services.size(); ++i) {
    const NamedService& service = config.services[i];
    if (service.lists == config.lists) continue;
    const auto same =
        std::ranges::find_if(made, [&](const ListFiles* other) { return *other == service.lists; });
    lists.place.at(i + 1) = static_cast<std::uint8_t>(same - made.begin() + 1);
    if (same != made.end()) continue;
    lists.own.push_back(files.sets(service.name + ".", service.lists));
    made.push_back(&service.lists);
  }
  return std::make_unique<const SourceLists>(std::move(lists));
}

std::vector<std::string> list_changes(const SourceLists& now, const SourceLists& next,
                                      std::span<const NamedService> services) {
  std::vector<std::string> changes;
  compare("", now, next, changes);
  for (std::size_t i = 0; i < services.size(); ++i) {
    const auto id = static_cast<NamedServiceId>(i + 1);
    if (now.place[id] == 0 || next.place[id] == 0) continue;
    compare(services[i].name + ".", now.of(id), next.of(id), changes);
  }
  return changes;
}

}  // namespace synproxy::control
