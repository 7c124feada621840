// SPDX-License-Identifier: BSD-3-Clause
// What an interface was before --server-port host took its addresses, in a file of /run/synproxy
// for as long as they are elsewhere. It is written whole, before anything is changed. The process
// that has it locked answers for the interface; a file that nobody has locked was left by a process
// that was killed.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/runtime_files.h"
#include "control/addressing.h"

namespace synproxy::control {

struct HostState {
  std::string proxy;      // its --name
  std::string interface;  // the NIC's
  int index = 0;
  std::string mac;   // in hexadecimal digits
  std::string end;   // what the host has in its place
  std::string wire;  // the other side of `end`, the proxy's
  // Settings of IPv6 on the NIC; empty: it has none.
  std::string disable_ipv6;
  std::string addr_gen_mode;
  std::string accept_dad;
  // The NIC has its addresses again, but the kernel has refused some of what belongs to them.
  bool incomplete = false;
  Addressing saved;

  friend bool operator==(const HostState&, const HostState&);
};

// The text of the file.
[[nodiscard]] std::string state_text(const HostState& state);
// Throws std::invalid_argument: it is no such text.
[[nodiscard]] HostState parse_state(std::string_view text);

// A file of this network namespace, locked.
class HostStateFile {
 public:
  // Writes it. Throws RuntimeFailure.
  HostStateFile(const HostState& state, const std::filesystem::path& directory);
  ~HostStateFile();  // leaves the file
  HostStateFile(HostStateFile&& other) noexcept;
  HostStateFile& operator=(HostStateFile&&) = delete;

  void remove();  // everything is as it was
  // Something is missing yet: the file stays, for another try.
  void keep(HostState state) const;
  [[nodiscard]] int descriptor() const { return fd_; }

  struct Left;
  // Those that processes of this namespace have left behind; each one's lock is taken.
  [[nodiscard]] static std::vector<Left> left_behind(const std::filesystem::path& directory);
  // The one that another process has handed over, open as `fd`: both have its lock, until both have
  // ended. Throws RuntimeFailure.
  [[nodiscard]] static Left handed_over(int fd, const std::filesystem::path& directory);
  // Those of processes that run.
  [[nodiscard]] static std::vector<HostState> in_use(const std::filesystem::path& directory);

 private:
  HostStateFile(std::filesystem::path file, int fd) : file_(std::move(file)), fd_(fd) {}

  std::filesystem::path file_;
  int fd_;
};

struct HostStateFile::Left {
  HostStateFile file;
  HostState state;
};

}  // namespace synproxy::control
