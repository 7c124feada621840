// SPDX-License-Identifier: BSD-3-Clause
// What SIGHUP asks for. --config and the secret file are read again, by the same code as at the
// start. Both are read and checked as a whole before anything is changed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/config.h"
#include "synproxy/cookie/master_secret.h"

namespace synproxy::control {

struct Reload {
  Config config;
  std::optional<MasterSecret> secret;  // of --secret-file, if that is given
  std::vector<std::string> changes;    // "wscale 7 -> 9", in the order of the flags
};

class Reloader {
 public:
  // `arguments`: the command line, without the program's name. `running`: the configuration that
  // parse_command_line() made of it at the start.
  Reloader(std::vector<std::string> arguments, Config running)
      : arguments_(std::move(arguments)), running_(std::move(running)) {}

  // Throws UsageError with one line of text: a file is wrong, a change needs a restart, or there is
  // no file to read.
  [[nodiscard]] Reload read() const;
  // Call when `config` is in force. The next reload is compared with it.
  void applied(const Config& config) { running_ = config; }
  // Whether read() reads a file of flags. False: it reads the secret alone.
  [[nodiscard]] bool reads_flags() const { return !running_.config_file.empty(); }

 private:
  std::vector<std::string> arguments_;
  Config running_;
};

}  // namespace synproxy::control
