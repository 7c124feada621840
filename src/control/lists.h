// SPDX-License-Identifier: BSD-3-Clause
// Reads the files of --allow-file and --deny-file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/config.h"
#include "synproxy/policy/source_lists.h"

namespace synproxy::control {

// One address or prefix a line; # and ; begin a comment. Throws UsageError, whose text names the
// flag, the file and the line.
[[nodiscard]] std::unique_ptr<const SourceLists> load_lists(const Config& config);

[[nodiscard]] inline bool has_lists(const Config& config) {
  return !config.allow_files.empty() || !config.deny_files.empty();
}

// What a reload says of new lists: "deny-file of 7 prefixes, before 5".
[[nodiscard]] std::vector<std::string> list_changes(const SourceLists& now,
                                                    const SourceLists& next);

}  // namespace synproxy::control
