// SPDX-License-Identifier: BSD-3-Clause
#include "control/reload.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/errors.h"
#include "control/flags.h"
#include "control/options.h"
#include "control/secret.h"

namespace synproxy::control {
namespace {

std::string in_words(const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) text += (text.empty() ? "" : " ") + value;
  return text.empty() ? "none" : text;
}

[[noreturn]] void refuse_shape(const Flag& flag, const std::string& now, const std::string& next) {
  throw UsageError("--" + std::string(flag.name) + " " + next + ": needs a restart, it runs with " +
                   now + "; restart it, or put the old value back");
}

// One text for each flag whose value has changed. Throws UsageError if such a flag needs a restart.
std::vector<std::string> compare(const Config& now, const Config& next) {
  std::vector<std::string> changes;
  for (const Flag& flag : flags()) {
    if (flag.kind == FlagKind::kBare) continue;
    const std::string was = in_words(flag.value.print(now));
    const std::string is = in_words(flag.value.print(next));
    if (was == is) continue;
    if (flag.change == Change::kRestart) refuse_shape(flag, was, is);
    std::string change(flag.name);
    change += " " + was;
    change += " -> " + is;
    changes.push_back(std::move(change));
  }
  return changes;
}

// A start may read a pipe. A reload would wait for its other end, and the keys of the next epoch
// with it.
void refuse_pipe(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status) || std::filesystem::is_regular_file(status)) return;
  throw UsageError("--config " + path +
                   ": is not a regular file, which cannot be read again; start it with a file");
}

}  // namespace

Reload Reloader::read() const {
  if (running_.config_file.empty() && running_.secret_file.empty()) {
    throw UsageError("neither --config nor --secret-file was given, there is nothing to read");
  }
  refuse_pipe(running_.config_file);
  Reload next{.config = parse_command_line(arguments_).config, .secret = {}, .changes = {}};
  next.changes = compare(running_, next.config);
  if (!next.config.secret_file.empty()) next.secret = load_secret(next.config);
  return next;
}

}  // namespace synproxy::control
