// SPDX-License-Identifier: BSD-3-Clause
// Allows one proxy of a name on a machine. EAL has its own lock for a prefix, but not with
// --in-memory, and its error text is not for users.
#pragma once

#include <filesystem>
#include <string>

namespace synproxy::dataplane {

// Where EAL puts the files of a prefix.
[[nodiscard]] std::filesystem::path runtime_directory(const std::string& name);

class NameLock {
 public:
  explicit NameLock(const std::string& name);  // throws UsageError
  ~NameLock();                                 // frees the name and removes what EAL left under it
  NameLock(const NameLock&) = delete;
  NameLock& operator=(const NameLock&) = delete;

  // The directory has got another name, its lock with it.
  void renamed(const std::string& name);

  // Where EAL puts its files.
  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }

 private:
  std::filesystem::path directory_;
  int fd_ = -1;
};

}  // namespace synproxy::dataplane
