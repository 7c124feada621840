// SPDX-License-Identifier: BSD-3-Clause
// Whether another process still runs. One that has ended counts as gone, whether or not its parent
// has asked for its status: its files are closed.
#pragma once

#include <sys/types.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

namespace synproxy {

[[nodiscard]] inline bool has_ended(pid_t pid) {
  if (::kill(pid, 0) != 0 && errno == ESRCH) return true;
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return false;
  std::array<char, 256> text{};
  const std::size_t size = std::fread(text.data(), 1, text.size(), file);
  static_cast<void>(std::fclose(file));
  // "4711 (any name) Z ...": the name may have anything in it.
  const std::string line(text.data(), size);
  const std::size_t name_ends = line.rfind(") ");
  return name_ends != std::string::npos && name_ends + 2 < line.size() &&
         (line[name_ends + 2] == 'Z' || line[name_ends + 2] == 'X');
}

// Waits so long at most.
[[nodiscard]] inline bool ends_within(pid_t pid, std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!has_ended(pid)) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace synproxy
