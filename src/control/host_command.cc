// SPDX-License-Identifier: BSD-3-Clause
// `synproxy host status`, `confirm` and `restore`.
#include <array>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "control/commands.h"
#include "control/control_client.h"
#include "control/host_end.h"

namespace synproxy::control {
namespace {

constexpr std::array kNameOnly = {kNameFlag};

void print_status(const Print& print) {
  std::string text;
  for (const HostState& s : HostStateFile::in_use(record_directory())) {
    text +=
        s.interface + ": " + s.saved.text() + " on " + s.end + ", by the proxy " + s.proxy + "\n";
  }
  for (const auto& [file, s] : HostStateFile::left_behind(record_directory())) {
    text += s.interface + ": " + s.saved.text() + " on " + s.end + ", left behind by the proxy " +
            s.proxy + "; `synproxy host restore`\n";
  }
  print(text.empty() ? "no addresses are moved\n" : text);
}

void restore(const Print& print) {
  const auto lines = restore_left_behind();
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  const auto running = HostStateFile::in_use(record_directory());
  if (lines.empty() && !running.empty()) {
    throw RuntimeFailure("host restore: the proxy " + running.front().proxy +
                         " runs and has the addresses of " + running.front().interface +
                         "; it puts them back when it is stopped");
  }
  print(text.empty() ? "nothing to put back\n" : text);
}

void run_host(const CommandLine& line, const Print& print) {
  const std::string& what = line.words.front();
  if (what == "status") return print_status(print);
  if (what == "restore") return restore(print);
  if (what != "confirm") {
    throw UsageError("synproxy host '" + what +
                     "': is none of status, confirm and restore; see synproxy host --help");
  }
  const auto answer = ControlClient(line.name()).ask({{"command", "confirm"}});
  print(answer.get<std::string>() + "\n");
}

}  // namespace

Command host_command() {
  return {.name = "host",
          .usage = "status|confirm|restore",
          .help =
              "for --server-port host: shows which addresses are moved, confirms a start with "
              "--confirm, or puts back what a proxy that was killed has left",
          .flags = kNameOnly,
          .min_words = 1,
          .max_words = 1,
          .run = run_host};
}

}  // namespace synproxy::control
