// SPDX-License-Identifier: BSD-3-Clause
// Start and stop, in order.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/errors.h"
#include "base/undumped.h"
#include "control/bypass.h"
#include "control/capture_requests.h"
#include "control/change_requests.h"
#include "control/clock.h"
#include "control/confirmation.h"
#include "control/control_server.h"
#include "control/flow_requests.h"
#include "control/hand_over.h"
#include "control/help.h"
#include "control/history_requests.h"
#include "control/host.h"
#include "control/host_end.h"
#include "control/http_server.h"
#include "control/listen_address.h"
#include "control/lists.h"
#include "control/log.h"
#include "control/options.h"
#include "control/privileges.h"
#include "control/recorder.h"
#include "control/reload.h"
#include "control/requests.h"
#include "control/secret.h"
#include "control/service.h"
#include "control/socket_file.h"
#include "control/state.h"
#include "control/supervisor.h"
#include "control/take_over.h"
#include "control/telemetry.h"
#include "control/view.h"
#include "control/web.h"
#include "dataplane/dataplane.h"

namespace {

using namespace synproxy;
using namespace synproxy::control;

// Opens /dev/null in place of a standard stream that the caller has closed. Otherwise the next file
// takes its number, what is printed goes there, and what restores the streams closes it. The other
// way round, so that printing fails as it does on a closed stream.
void hold_standard_descriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    if (::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) {
      std::_Exit(1);  // nowhere to say why
    }
  }
}

// No core dump: keys are on stacks, in the heap and in registers, wherever a crash finds them. 1 is
// the one limit that also holds where dumps are piped to a program (core(5)).
void forbid_core_dumps() {
  rlimit limit{};
  static_cast<void>(::getrlimit(RLIMIT_CORE, &limit));
  limit.rlim_cur = 1;
  if (::setrlimit(RLIMIT_CORE, &limit) == 0) return;
  limit.rlim_max = 1;  // from 0: with the rights of root
  static_cast<void>(::setrlimit(RLIMIT_CORE, &limit));
}

// After the ports are open, and before a worker runs. Not earlier: a process that is not dumpable
// and not root's has no /proc/self, and EAL reads there.
void give_up(const Config& config, const std::optional<User>& user,
             const dataplane::Dataplane& dataplane) {
  drop_privileges(user, kept_capabilities(config, LinuxHost()));
  if (config.seccomp) filter_system_calls(dataplane.loads_programs());
  if (!user || config.log_level < LogLevel::kWarning) return;
  for (const auto& [flag, path] :
       {std::pair{"config", config.config_file}, std::pair{"secret-file", config.secret_file}}) {
    if (const std::string note = unreadable_note(flag, path, user->name); !note.empty()) {
      complain(note);
    }
  }
}

// `synproxy host confirm`.
void add_confirm_request(Requests& requests, Confirmation& confirmation) {
  requests.add("confirm", Requests::Kind::kChanging,
               [&confirmation](const Requests::Json&, const Peer& peer) -> Requests::Json {
                 if (!confirmation.confirm()) return "nothing waits to be confirmed";
                 say("the move of the addresses is confirmed by " + peer.text());
                 return "confirmed";
               });
}

// Nothing is put back: interfaces and files are the successor's.
[[noreturn]] void leave_to_successor(HandOver& hand_over, const dataplane::Dataplane& dataplane,
                                     const ProgramClock& clock) {
  say(summary_line(totals_of(dataplane), clock.now_ms()));
  hand_over.wait_for_successor();
  finish_log();
  std::_Exit(0);
}

// What a successor that fails leaves open ends with its process. To close it would take down for
// the running proxy what both have.
[[noreturn]] void leave_to_predecessor(const std::exception& error) {
  fail(error.what());
  finish_log();
  std::_Exit(dynamic_cast<const UsageError*>(&error) != nullptr ? 2 : 1);
}

void take_over(TakeOver& predecessor, dataplane::Dataplane& dataplane,
               const std::function<void()>& ports_open) {
  try {
    predecessor.run(dataplane, ports_open);
  } catch (const std::exception& error) {
    if (!dataplane.shares()) throw;
    leave_to_predecessor(error);
  }
}

// What cannot be put back is told, and no reason to stay away.
void put_back_what_was_left() {
  try {
    for (const std::string& line : restore_left_behind()) say("left behind: " + line);
  } catch (const RuntimeFailure& error) {
    complain(error.what());
  }
}

void run(Config config, Reloader reloader, const ProgramClock& clock,
         std::optional<LogThreads>& log) {
  config.engine.shape.unix_ms_at_start = clock.unix_ms_at_start();
  put_back_what_was_left();
  config = check_host(std::move(config), LinuxHost());
  forbid_core_dumps();
  MasterSecret secret = load_secret(config);
  std::optional<TakeOver> predecessor;
  if (config.take_over) predecessor.emplace(config, secret);
  const std::optional<gid_t> group = control_group(config.control_group);
  const ProtectSet protect(config.protect, VlanPairs(config.vlan_pairs));
  const int listener = config.metrics.text.empty() ? -1
                       : predecessor               ? take_place_at(config.metrics)
                                                   : listen_at(config.metrics);
  std::unique_ptr<const SourceLists> lists = load_lists(config);

  const std::optional<User> user = find_user(config.user);
  // Last of what may be refused: what does not fit is lost from here on.
  if (predecessor) predecessor->stores();
  const std::unique_ptr<FlowStore> store =
      open_store(config, protect, predecessor ? std::nullopt : memory_of_manager());
  // A process before this one, or another one, may have sent cookies that are good here.
  config.engine.shape.shared_secret =
      !config.secret_file.empty() || store != nullptr || predecessor.has_value();

  const Signals signals;
  log.emplace();  // from here on nothing waits for a reader of our lines
  std::optional<StartWatch> start(std::in_place);
  std::optional<BypassAway> bypass;
  if (!predecessor) bypass.emplace(config);
  if (bypass && bypass->was_on()) say("the bypass between these ports is off");
  std::optional<HostEnd> host_end;
  if (config.server_port.kind == PortName::Kind::kHost) {
    if (predecessor) {
      host_end.emplace(predecessor->take_host(), predecessor->pid());
    } else {
      host_end.emplace(config);
    }
    config.server_port.device = host_end->wire();
  }
  Confirmation confirmation(config.confirm);
  const auto ring_pages = make_undumped<KeyRing>();
  KeyRing& ring = *ring_pages;
  const auto keys = make_undumped<EpochKeeper>(
      std::move(secret), ring, config.engine,
      KeptKeys{.store = store.get(),
               .of_any_secret = config.secret_file.empty(),
               .handed_over = predecessor ? predecessor->take_keys() : std::vector<EpochKeys>{}});
  dataplane::Dataplane dataplane(config, protect, ring, store.get(),
                                 predecessor ? &predecessor->predecessor() : nullptr);
  if (predecessor) predecessor->begun();
  dataplane.retune(config.tuning(), std::move(lists));
  Recorder recorder(dataplane.workers(), config.services.size());
  const Telemetry telemetry(dataplane, config, clock, recorder.felt());
  if (config.log_level >= LogLevel::kWarning) {
    if (!dataplane.memory_note().empty()) complain(dataplane.memory_note());
    if (!dataplane.offload_note().empty()) say(dataplane.offload_note());
    if (store != nullptr) std::ranges::for_each(store->notes(), complain);
  }
  Supervisor supervisor(config, dataplane, *keys);
  Requests requests;
  add_info_request(requests, config.name, clock);
  add_change_requests(requests, supervisor, reloader, config, clock);
  add_flow_requests(requests, dataplane, config);
  add_capture_request(requests, dataplane, config);
  add_history_requests(requests, dataplane, config, recorder, clock);
  add_confirm_request(requests, confirmation);
  HandOver hand_over({.supervisor = supervisor,
                      .dataplane = dataplane,
                      .keys = *keys,
                      .config = config,
                      .clock = clock,
                      .listener = listener,
                      .managed = has_manager(),
                      .host_end = host_end ? &*host_end : nullptr,
                      .confirmation = &confirmation});
  hand_over.add_requests(requests);
  std::optional<ControlServer> control(std::in_place, dataplane.directory(), group, requests);
  if (predecessor) {
    take_over(*predecessor, dataplane, [&] { give_up(config, user, dataplane); });
    if (host_end) host_end->own();
  } else {
    give_up(config, user, dataplane);
    if (host_end) host_end->take_over([&] { dataplane.forget_received(PortId::kClient); });
    dataplane.start();
    bypass->served();
  }
  start.reset();
  std::optional<HttpServer> web;
  if (predecessor && listener >= 0 && !begin_listening(listener)) {
    complain("--metrics " + config.metrics.text + ": another program listens there");
  } else if (listener >= 0) {
    web.emplace(listener, web_pages(dataplane, config, recorder, clock));
  }
  say(ready_line(config, dataplane));
  if (predecessor) say(predecessor->text() + "; " + resumed_line(predecessor->found()));
  if (store != nullptr && store->found()) say(resumed_line(dataplane.resumed()));
  if (host_end) say(host_end->text());
  if (confirmation.wanted()) {
    say("waiting " + std::to_string(config.confirm) + " s for `synproxy host confirm`");
    confirmation.begin(clock.now_ms());
  }

  Service service(dataplane, clock, store != nullptr ? store->to_keep() : -1);
  bool lapsed = false;
  for (auto what = Signals::What::kNone; what != Signals::What::kStop && !lapsed;) {
    what = signals.wait(Supervisor::kTick);
    if (what == Signals::What::kReload) {
      service.reloading();
      supervisor.reload(reloader, clock.now_ms());
      service.reloaded();
    }
    supervisor.tick(clock.now_ms());
    hand_over.tick();
    if (const std::uint64_t now = clock.unix_ms(); recorder.due(now)) {
      recorder.record(view_of(dataplane, config, clock.unix_ms_at_start()), now);
    }
    service.alive();
    lapsed = confirmation.lapsed(clock.now_ms());
  }
  if (hand_over.begun()) leave_to_successor(hand_over, dataplane, clock);
  service.stopping();
  control.reset();
  dataplane.stop();
  if (host_end) host_end->give_back();
  say(summary_line(totals_of(dataplane), clock.now_ms()));
  if (!lapsed) return;
  throw RuntimeFailure("--confirm " + std::to_string(config.confirm) +
                       ": nobody has confirmed; the addresses are back");
}

void print(const std::string& text) {
  if (write_whole(STDOUT_FILENO, text) != text.size()) {
    throw RuntimeFailure("standard output cannot be written");
  }
}

void obey(const std::vector<std::string>& arguments, const ProgramClock& clock,
          std::optional<LogThreads>& log) {
  const Invocation invocation = parse_command_line(arguments);
  switch (invocation.action) {
    case Invocation::Action::kHelp:
      return print(invocation.command == nullptr ? help_text() : help_text(*invocation.command));
    case Invocation::Action::kVersion:
      return print(version_text() + "\n");
    case Invocation::Action::kCommand:
      return invocation.command->run(invocation.line, print);
    case Invocation::Action::kRun:
      return run(invocation.config, Reloader(arguments, invocation.config, invocation.settings),
                 clock, log);
  }
}

// The exit status does not depend on who reads the error text.
void complain_at_the_end(const std::string& text) {
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
  fail(text);
}

}  // namespace

int main(int argc, char** argv) {
  hold_standard_descriptors();
  // A file that may not grow any more, and a terminal that others use: printing fails, or goes on.
  for (const int signal : {SIGXFSZ, SIGTTOU}) static_cast<void>(std::signal(signal, SIG_IGN));
  const ProgramClock clock;
  std::optional<LogThreads> log;
  try {
    obey({argv + (argc > 0 ? 1 : 0), argv + argc}, clock, log);
    return 0;
  } catch (const UsageError& error) {
    complain_at_the_end(error.what());
    return 2;
  } catch (const std::bad_alloc&) {
    complain_at_the_end("out of memory; lower --max-flows or --early-data-memory");
  } catch (const std::exception& error) {
    complain_at_the_end(error.what());
  }
  return 1;
}
