// SPDX-License-Identifier: BSD-3-Clause
// What SIGHUP asks for: --config and the secret file are read again, by the code of the start and
// whole, before anything is changed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/config.h"
#include "synproxy/cookie/master_secret.h"

namespace synproxy::control {

struct Reload {
  Config config;
  std::optional<MasterSecret> secret;  // of --secret-file, where there is one
  std::vector<std::string> changes;    // "wscale 7 -> 9", in the order of the flags
};

class Reloader {
 public:
  // `arguments`: the command line, without the program's name. `running`: what parse_command_line
  // made of them at the start.
  Reloader(std::vector<std::string> arguments, Config running)
      : arguments_(std::move(arguments)), running_(std::move(running)) {}

  // Throws UsageError, whose text is one line, where the files are no good, where they ask for
  // what needs a restart, and where there is no file to read.
  [[nodiscard]] Reload read() const;
  // That configuration is in force: the next one is compared with it.
  void applied(const Config& config) { running_ = config; }
  // Whether a file of flags is read, or the secret alone.
  [[nodiscard]] bool reads_flags() const { return !running_.config_file.empty(); }

 private:
  std::vector<std::string> arguments_;
  Config running_;
};

}  // namespace synproxy::control
