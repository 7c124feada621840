// SPDX-License-Identifier: BSD-3-Clause
#include "control/supervisor.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <future>
#include <system_error>

#include "base/errors.h"
#include "control/lists.h"
#include "control/log.h"
#include "control/rule_text.h"

namespace synproxy::control {
namespace {

constexpr std::uint64_t kWatchMs = 1000;

sigset_t our_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGQUIT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

// Of a proxy that has no file of flags.
std::string what_was_read(const Reloader& reloader) {
  if (reloader.reads_flags()) return "";
  if (!reloader.reads_lists()) return " the secret file alone";
  return reloader.reads_secret() ? " the secret file and the lists" : " the lists alone";
}

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : ", ") + text;
  return all;
}

// What a reload has left as it was set.
std::string still_set(const std::vector<Setting>& settings) {
  std::string all;
  for (const Setting& s : settings) {
    all += (all.empty() ? "; still set: " : ", ") + s.key() + " " + s.value;
  }
  return all;
}

}  // namespace

Supervisor::Supervisor(const Config& config, dataplane::Dataplane& dataplane, EpochKeeper& keys)
    : config_(config),
      dataplane_(dataplane),
      keys_(keys),
      events_(config.engine.shape.max_flows, config.engine.shape.adopt_ms) {}

void Supervisor::watch_cookies(std::uint64_t now_ms, std::vector<std::string>& lines) {
  const auto of_service = [&](std::size_t service) {
    std::uint64_t sum = 0;
    for (unsigned i = 0; i < dataplane_.workers(); ++i) {
      const auto& services = dataplane_.counters(i).services;
      if (service < services.size()) sum += services[service].get(Reason::cookie_invalid);
    }
    return sum;
  };
  std::vector<TightCookies::Service> services;
  std::uint64_t rest = totals_of(dataplane_).get(Reason::cookie_invalid);
  for (std::size_t i = 0; i < config_.services.size(); ++i) {
    services.push_back({config_.services[i].name, of_service(i)});
    // Workers go on counting while we read, so the parts may be more than the sum.
    rest -= std::min(rest, services.back().invalid);
  }
  services.push_back({"", rest});
  // Other proxies with this secret would not know that cookies are tight.
  const bool may = config_.secret_file.empty();
  const auto news = tight_cookies_.look(services, may ? config_.tight_cookies : 0, now_ms);
  const bool monitored = (config_.engine.tuning.limits.monitored & kMonitorTightCookies) != 0;
  const std::uint64_t wait_ms = keys_.want_tight(tight_cookies_.attacked() && !monitored, now_ms);
  if (news) lines.push_back(tight_cookies_line(*news, monitored, wait_ms));
}

void Supervisor::watch(std::uint64_t now_ms) {
  std::vector<std::string> lines = dataplane_.supervise();
  for (std::string& line : events_.look(totals_of(dataplane_), now_ms)) {
    lines.push_back(std::move(line));
  }
  EngineTuning tuning = config_.engine.tuning;
  for (const NamedService& service : config_.services) {
    if (service.tuning.mode == Mode::kAdaptive) tuning.mode = Mode::kAdaptive;
  }
  for (std::string& line :
       activation_lines_.look(dataplane_.active_services(), tuning, config_.services)) {
    lines.push_back(std::move(line));
  }
  watch_cookies(now_ms, lines);
  if (config_.log_level < LogLevel::kWarning) return;
  for (const std::string& line : lines) complain(line);
}

void Supervisor::tick(std::uint64_t now_ms) {
  const auto held = hold();
  keys_.keep(now_ms);
  if (now_ms - watched_ms_ >= kWatchMs) {
    watched_ms_ = now_ms;
    watch(now_ms);
  }
  if (config_.stats_interval == 0) {
    return;
  }
  if (!counting_) {
    counting_ = true;
    counted_ = totals_of(dataplane_);
    counted_ms_ = now_ms;
  } else if (now_ms - counted_ms_ >= std::uint64_t{config_.stats_interval} * 1000) {
    const Totals now = totals_of(dataplane_);
    say_rates(rate_line(counted_, now, now_ms - counted_ms_));
    counted_ = now;
    counted_ms_ = now_ms;
  }
}

void Supervisor::apply(Reload next, std::vector<std::string>& changes, std::uint64_t now_ms) {
  if (next.secret) {
    if (const auto wait_ms = keys_.replace(std::move(*next.secret), now_ms)) {
      changes.push_back("another secret, in use in " + std::to_string((*wait_ms + 999) / 1000) +
                        " s");
    }
  }
  const bool new_lists = next.lists != nullptr && *next.lists != dataplane_.lists();
  if (new_lists) {
    for (std::string& change :
         list_changes(dataplane_.lists(), *next.lists, next.config.services)) {
      changes.push_back(std::move(change));
    }
    dataplane_.retune(next.config.tuning(), std::move(next.lists));
  } else if (next.config.tuning() != config_.tuning()) {
    dataplane_.retune(next.config.tuning());
  }
  counting_ = counting_ && next.config.stats_interval == config_.stats_interval;
  config_ = std::move(next.config);
}

Reload Supervisor::read_aside(const Reloader& reloader, std::uint64_t now_ms) {
  const auto began = std::chrono::steady_clock::now();
  std::future<Reload> reading = std::async(std::launch::async, [&] {
    // On Linux a nice value is the thread's own.
    static_cast<void>(::setpriority(PRIO_PROCESS, 0, 10));
    return reloader.read();
  });
  while (reading.wait_for(kTick) != std::future_status::ready) {
    const auto passed = std::chrono::steady_clock::now() - began;
    keys_.keep(now_ms + static_cast<std::uint64_t>(
                            std::chrono::duration_cast<std::chrono::milliseconds>(passed).count()));
  }
  return reading.get();
}

Supervisor::Outcome Supervisor::reload(Reloader& reloader, std::uint64_t now_ms,
                                       const std::string& who) {
  const auto held = hold();
  const std::string asked = who.empty() ? "" : " (" + who + ")";
  Outcome outcome;
  try {
    Reload next = read_aside(reloader, now_ms);
    std::vector<std::string> changes = std::move(next.changes);
    reloader.applied(next);
    apply(std::move(next), changes, now_ms);
    outcome.text = "reloaded" + what_was_read(reloader) + ": " +
                   (changes.empty() ? "nothing changed" : joined(changes)) +
                   still_set(reloader.set_ones());
    say(outcome.text + asked);
  } catch (const std::exception& error) {
    outcome.text = std::string("not reloaded: ") + error.what();
    outcome.done = false;
    outcome.usage = dynamic_cast<const UsageError*>(&error) != nullptr;
    fail(outcome.text + asked);
  }
  return outcome;
}

std::string Supervisor::set(Reloader& reloader, const std::string& key,
                            const std::vector<std::string>& values, const std::string& who) {
  const auto held = hold();
  return change(reloader, reloader.set(key, values), key, who) +
         ", until the restart (a reload keeps it, synproxy unset ends it)";
}

std::string Supervisor::unset(Reloader& reloader, const std::string& key, const std::string& who) {
  const auto held = hold();
  return change(reloader, reloader.unset(key), key, who) + ", as the command line and the file say";
}

std::string Supervisor::change(Reloader& reloader, Reload next, const std::string& key,
                               const std::string& who) {
  std::vector<std::string> changes = next.changes;
  reloader.applied(next);
  apply(std::move(next), changes, 0);
  std::string text =
      changes.empty()
          ? key + " " +
                in_words(values_of(key_called(key, reloader.running()), reloader.running())) +
                " as before"
          : joined(changes);
  say("set: " + text + " (" + who + ")");
  return text;
}

Signals::Signals() {
  const sigset_t set = our_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  (void)std::signal(SIGPIPE, SIG_IGN);  // a reader of our lines may leave
  // They mean nothing here; by default they kill.
  for (const int signal : {SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGIO, SIGPWR}) {
    (void)std::signal(signal, SIG_IGN);
  }
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) (void)std::signal(signal, SIG_IGN);
}

Signals::What Signals::wait(std::chrono::milliseconds patience) const {
  const sigset_t set = our_signals();
  const timespec limit{.tv_sec = patience.count() / 1000,
                       .tv_nsec = patience.count() % 1000 * 1'000'000};
  const int signal = sigtimedwait(&set, nullptr, &limit);
  if (signal <= 0) return What::kNone;
  return signal == SIGHUP ? What::kReload : What::kStop;
}

StartWatch::StartWatch() {
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    throw RuntimeFailure(std::string("no thread can be started: ") + error.what());
  }
}

StartWatch::~StartWatch() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  over_.notify_one();
  thread_.join();
}

void StartWatch::run() {
  sigset_t set = our_signals();
  sigdelset(&set, SIGHUP);
  const timespec look{.tv_sec = 0, .tv_nsec = 20'000'000};
  std::unique_lock lock(mutex_);
  while (!is_over_) {
    lock.unlock();
    const int signal = sigtimedwait(&set, nullptr, &look);
    lock.lock();
    if (signal <= 0) continue;
    if (!over_.wait_for(lock, kGrace, [&] { return is_over_; })) {
      fail("told to stop while DPDK and the ports were being started, which does not end");
      finish_log();
      std::_Exit(1);  // what was changed stands in the records of the interfaces
    }
    static_cast<void>(::kill(::getpid(), signal));
  }
}

Totals totals_of(const dataplane::Dataplane& dataplane) {
  Totals totals;
  for (unsigned i = 0; i < dataplane.workers(); ++i) {
    totals.add(dataplane.counters(i), dataplane.io(i));
  }
  return totals;
}

std::string ready_line(const Config& config, const dataplane::Dataplane& dataplane) {
  std::string text = "ready: client-port " + config.client_port.text + ", server-port " +
                     config.server_port.text + ", protecting ";
  for (std::size_t i = 0; i < config.protect.size(); ++i) {
    text += (i == 0 ? "" : " ") + rule_text(config.protect[i]);
  }
  const unsigned workers = dataplane.workers();
  text += ", " + std::to_string(workers) + (workers == 1 ? " worker (cpu" : " workers (cpus");
  for (unsigned i = 0; i < workers; ++i) {
    text += " " + std::to_string(dataplane.cpu_of(i));
  }
  return text + ")";
}

}  // namespace synproxy::control
