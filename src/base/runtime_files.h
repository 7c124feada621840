// SPDX-License-Identifier: BSD-3-Clause
// Small files that outlive a process, and are gone when the machine starts anew. They say what was
// changed on the machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace synproxy {

// Where this user's files stand; empty: nowhere.
[[nodiscard]] std::filesystem::path record_directory();

// Makes the directory if it is missing. False: there is none that only its owner may write. Root
// also believes another user, whose service may have left something.
[[nodiscard]] bool private_directory(const std::filesystem::path& directory);

// Interfaces of other network namespaces have the same names and numbers.
[[nodiscard]] std::uint64_t network_namespace();

// What the name of a record of that interface begins with.
[[nodiscard]] std::string interface_record_prefix(const std::string& interface, unsigned index);

// A process has a record of this interface, locked: it forwards on it, or is about to. Where there
// are no records nobody has one.
[[nodiscard]] bool interface_has_user(const std::string& interface,
                                      const std::filesystem::path& directory = record_directory());

}  // namespace synproxy
