// SPDX-License-Identifier: BSD-3-Clause
// Start and stop, in order.
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "base/errors.h"
#include "control/clock.h"
#include "control/help.h"
#include "control/host.h"
#include "control/log.h"
#include "control/options.h"
#include "control/reload.h"
#include "control/secret.h"
#include "control/stat.h"
#include "control/supervisor.h"
#include "control/telemetry.h"
#include "dataplane/dataplane.h"

namespace {

using namespace synproxy;
using namespace synproxy::control;

// Opens /dev/null in place of a standard stream that the caller has closed. Otherwise the next file
// takes its number, what is printed goes there, and what restores the streams closes it.
void hold_standard_descriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    if (::open("/dev/null", O_RDWR) != fd) std::_Exit(1);  // nowhere to say why
  }
}

void run(Config config, Reloader reloader, const ProgramClock& clock) {
  config.engine.shape.unix_ms_at_start = clock.unix_ms_at_start();
  config = check_host(std::move(config), LinuxHost());
  MasterSecret secret = load_secret(config);

  const Signals signals;
  KeyRing ring;
  EpochKeeper keys(std::move(secret), ring, config.engine);
  const ProtectSet protect(config.protect, VlanPairs(config.vlan_pairs));
  dataplane::Dataplane dataplane(config, protect, ring);
  const Telemetry telemetry(dataplane, config.name, clock);
  if (!dataplane.memory_note().empty() && config.log_level >= LogLevel::kWarning) {
    complain(dataplane.memory_note());
  }
  // No core dump: keys are on stacks, in the heap and in registers, wherever a crash finds them.
  // Not earlier: it takes /proc/self from a process that is not root's, and EAL reads there.
  static_cast<void>(::prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL));
  dataplane.start();
  say(ready_line(config, dataplane));

  Supervisor supervisor(config, dataplane, keys);
  for (auto what = Signals::What::kNone; what != Signals::What::kStop;) {
    what = signals.wait(Supervisor::kTick);
    if (what == Signals::What::kReload) supervisor.reload(reloader, clock.now_ms());
    supervisor.tick(clock.now_ms());
  }
  dataplane.stop();
  say(summary_line(totals_of(dataplane), clock.now_ms()));
}

void print(const std::string& text) {
  if (std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    throw RuntimeFailure("standard output cannot be written");
  }
}

void obey(const std::vector<std::string>& arguments, const ProgramClock& clock) {
  const Invocation invocation = parse_command_line(arguments);
  switch (invocation.action) {
    case Invocation::Action::kHelp:
      return print(help_text());
    case Invocation::Action::kVersion:
      return print(version_text() + "\n");
    case Invocation::Action::kStat:
      return print(stat_text(invocation.config.name, invocation.json));
    case Invocation::Action::kRun:
      return run(invocation.config, Reloader(arguments, invocation.config), clock);
  }
}

}  // namespace

int main(int argc, char** argv) {
  hold_standard_descriptors();
  const ProgramClock clock;
  try {
    obey({argv + (argc > 0 ? 1 : 0), argv + argc}, clock);
    return 0;
  } catch (const UsageError& error) {
    complain(error.what());
    return 2;
  } catch (const std::bad_alloc&) {
    complain("out of memory; lower --max-flows or --early-data-memory");
  } catch (const std::exception& error) {
    complain(error.what());
  }
  return 1;
}
