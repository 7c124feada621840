// SPDX-License-Identifier: BSD-3-Clause
// Reads the files of --allow-file and --deny-file.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/config.h"
#include "synproxy/policy/source_lists.h"

namespace synproxy::control {

// One address or prefix a line; # and ; begin a comment. Throws UsageError, whose text names the
// flag, the file and the line.
[[nodiscard]] std::unique_ptr<const SourceLists> load_lists(const Config& config);

[[nodiscard]] inline bool has_lists(const Config& config) {
  return config.lists.any() ||
         std::ranges::any_of(config.services, [](const NamedService& s) { return s.lists.any(); });
}

// What a reload says of new lists: "deny-file of 7 prefixes, before 5", "web.deny-file of 2
// prefixes, before 1". `services`: those of the configuration. A service that goes from the lists
// of all to its own, or back, is named with its files.
[[nodiscard]] std::vector<std::string> list_changes(const SourceLists& now, const SourceLists& next,
                                                    std::span<const NamedService> services = {});

}  // namespace synproxy::control
