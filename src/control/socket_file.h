// SPDX-License-Identifier: BSD-3-Clause
// The file of the control socket, and who may open it.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

namespace synproxy::control {

inline constexpr const char* kControlSocket = "control.sock";

// The group of --control-group, by name or number. nullopt: `group` is empty. Throws UsageError.
[[nodiscard]] std::optional<gid_t> control_group(const std::string& group);

// A listening socket in `directory`, which belongs to this proxy alone: whatever stands under the
// name of the socket was left by one that was killed. Only its owner may connect, and so may
// `group`.
class SocketFile {
 public:
  // Throws RuntimeFailure.
  SocketFile(const std::filesystem::path& directory, std::optional<gid_t> group);
  ~SocketFile();  // removes the file
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;

  [[nodiscard]] int descriptor() const { return fd_; }  // does not block

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace synproxy::control
