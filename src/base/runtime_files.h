// SPDX-License-Identifier: BSD-3-Clause
// Small files that outlive a process, and are gone when the machine starts anew: what was changed
// on it.
#pragma once

#include <cstdint>
#include <filesystem>

namespace synproxy {

// Where this user's files stand; empty: nowhere.
[[nodiscard]] std::filesystem::path record_directory();

// Makes the directory if it is missing. False: there is none that only its owner may write. Root
// also believes another user, whose service may have left something.
[[nodiscard]] bool private_directory(const std::filesystem::path& directory);

// Interfaces of other network namespaces have the same names and numbers.
[[nodiscard]] std::uint64_t network_namespace();

}  // namespace synproxy
