// SPDX-License-Identifier: BSD-3-Clause
// What SIGHUP and `synproxy set` ask for. At SIGHUP, --config, the secret file and the
// lists of sources are read again, by the same code as at the start. Everything is read and checked
// as a whole before anything is changed.
//
// A value that was `set` wins over the command line, as that wins over the file, and it stays in
// force over a reload. It ends with `unset` or with the process.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/config.h"
#include "control/lists.h"
#include "control/service_sections.h"
#include "control/settings.h"
#include "synproxy/cookie/master_secret.h"
#include "synproxy/policy/source_lists.h"

namespace synproxy::control {

struct Reload {
  Config config;
  std::optional<MasterSecret> secret;        // of --secret-file, if that is given
  std::unique_ptr<const SourceLists> lists;  // as the files say now; null: as before
  std::vector<std::string> changes;          // "wscale 7 -> 9", in the order of the flags
  std::vector<Setting> given;  // by command line and file, that do not hide each other
  std::vector<Setting> set;    // by `synproxy set`
};

class Reloader {
 public:
  // `arguments`: the command line, without the program's name. `running`, `given`: what
  // parse_command_line() made of it at the start.
  Reloader(std::vector<std::string> arguments, Config running, std::vector<Setting> given = {})
      : arguments_(std::move(arguments)), running_(std::move(running)), given_(std::move(given)) {}

  // Throws UsageError with one line of text: a file is wrong, a change needs a restart, or there is
  // no file to read.
  [[nodiscard]] Reload read() const;
  // Gives the flag `key` these values; nothing else changes, and no file is
  // read, unless it is a list that this key names. Throws
  // UsageError: there is no such flag, it needs a restart, or the values are wrong.
  [[nodiscard]] Reload set(const std::string& key, const std::vector<std::string>& values) const;
  // Takes back what `set` has given to `key`. Throws UsageError if it has given nothing.
  [[nodiscard]] Reload unset(const std::string& key) const;

  // Call when `reload` is in force. The next one is compared with it.
  void applied(const Reload& reload);
  // Whether read() reads a file of flags. False: it reads the secret and the lists alone.
  [[nodiscard]] bool reads_flags() const { return !running_.config_file.empty(); }
  [[nodiscard]] bool reads_secret() const { return !running_.secret_file.empty(); }
  [[nodiscard]] bool reads_lists() const { return has_lists(running_); }

  [[nodiscard]] const Config& running() const { return running_; }
  // The settings of a key that are in force. None: its default is, or for one of a service that of
  // all.
  [[nodiscard]] std::vector<Setting> settings_of(const Key& key) const;
  // The keys that were set.
  [[nodiscard]] const std::vector<Setting>& set_ones() const { return set_; }

 private:
  [[nodiscard]] Reload with(std::vector<Setting> set) const;

  std::vector<std::string> arguments_;
  Config running_;
  std::vector<Setting> given_;
  std::vector<Setting> set_;
};

// Values as one text: "7", "a b", "none".
[[nodiscard]] std::string in_words(const std::vector<std::string>& values);

}  // namespace synproxy::control
