// SPDX-License-Identifier: BSD-3-Clause
#include "control/service.h"

#include <fcntl.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "base/errors.h"
#include "control/clock.h"
#include "control/pulse.h"
#include "control/supervisor.h"

namespace synproxy::control {
namespace {

// A manager that reads nothing gets no more than this many messages kept for it.
constexpr std::size_t kMostUnsent = 64;

// The name of our memory among the descriptors that the manager keeps.
constexpr std::string_view kFlows = "flows";

// A manager keeps one descriptor of ours (FileDescriptorStoreMax=1 will do), so the old one goes.
void let_keep(int memory) {
  const std::string name = "\nFDNAME=" + std::string(kFlows);
  static_cast<void>(::sd_notify(0, ("FDSTOREREMOVE=1" + name).c_str()));
  static_cast<void>(::sd_pid_notify_with_fds(0, 0, ("FDSTORE=1" + name).c_str(), &memory, 1));
}

}  // namespace

bool has_manager() {
  const char* socket = std::getenv("NOTIFY_SOCKET");
  return socket != nullptr && *socket != 0;
}

std::optional<int> memory_of_manager() {
  if (!has_manager()) return std::nullopt;
  char** names = nullptr;
  const int count = ::sd_listen_fds_with_names(1, &names);
  int memory = -1;
  for (int i = 0; i < count; ++i) {
    const int descriptor = SD_LISTEN_FDS_START + i;
    if (memory < 0 && names[i] == kFlows) {
      memory = descriptor;
    } else {
      ::close(descriptor);  // there is nothing else that anybody could want to hand us
    }
    std::free(names[i]);
  }
  std::free(static_cast<void*>(names));
  const char* most = std::getenv("FDSTORE");
  if (most == nullptr || std::string_view(most) != "0") return memory;
  if (memory >= 0) ::close(memory);
  return std::nullopt;
}

struct Service::State {
  State(const dataplane::Dataplane& plane, const ProgramClock& program_clock, int to_keep)
      : dataplane(plane),
        clock(program_clock),
        memory(to_keep < 0 ? -1 : ::fcntl(to_keep, F_DUPFD_CLOEXEC, SD_LISTEN_FDS_START)),
        pulse(plane) {}
  ~State() {
    if (memory >= 0) ::close(memory);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void tell(std::string text) {
    if (unsent.size() < kMostUnsent) unsent.push_back(std::move(text));
    news.notify_one();
  }

  std::string rates(std::uint64_t now_ms) {
    const Totals now = totals_of(dataplane);
    std::string line = "STATUS=" + rate_line(counted, now, now_ms - counted_ms);
    counted = now;
    counted_ms = now_ms;
    return line;
  }

  // What is due now, in the order of sending.
  void look(std::uint64_t now_ms) {
    const bool beats = pulse.beats(now_ms);
    if (!ready) {
      if (!beats) return;
      ready = true;
      tell("READY=1\nSTATUS=frames move");
    }
    if (now_ms - counted_ms >= kStatusMs) tell(rates(now_ms));
    if (watched && beats && now_ms - alive_ms <= kControlPatienceMs) tell("WATCHDOG=1");
  }

  void run() {
    if (memory >= 0) let_keep(memory);
    std::unique_lock lock(mutex);
    for (;;) {
      if (!stopping && !closing) look(clock.now_ms());
      while (!unsent.empty()) {
        const std::string text = std::move(unsent.front());
        unsent.pop_front();
        lock.unlock();
        static_cast<void>(::sd_notify(0, text.c_str()));  // the manager may have gone
        lock.lock();
      }
      if (closing) break;
      news.wait_for(lock, kLook, [this] { return closing || !unsent.empty(); });
    }
    ended = true;
    end.notify_one();
  }

  const dataplane::Dataplane& dataplane;  // gone when closing
  const ProgramClock& clock;
  const int memory;      // to be kept; -1: none
  bool watched = false;  // the manager wants to hear WATCHDOG=1

  std::mutex mutex;  // of what follows
  std::condition_variable news;
  std::condition_variable end;
  std::deque<std::string> unsent;
  bool ready = false;
  bool stopping = false;
  bool closing = false;
  bool ended = false;
  std::uint64_t alive_ms = 0;
  Pulse pulse;
  Totals counted;
  std::uint64_t counted_ms = 0;
};

Service::Service(const dataplane::Dataplane& dataplane, const ProgramClock& clock, int to_keep) {
  if (!has_manager()) return;
  state_ = std::make_shared<State>(dataplane, clock, to_keep);
  state_->watched = ::sd_watchdog_enabled(0, nullptr) > 0;
  state_->counted_ms = state_->alive_ms = clock.now_ms();
  try {
    std::thread([state = state_] { state->run(); }).detach();
  } catch (const std::system_error& error) {
    throw RuntimeFailure(std::string("no thread can be started: ") + error.what());
  }
}

Service::~Service() {
  if (!state_) return;
  std::unique_lock lock(state_->mutex);
  state_->closing = true;
  state_->news.notify_one();
  state_->end.wait_for(lock, kLastPatience, [this] { return state_->ended; });
}

void Service::alive() {
  if (!state_) return;
  const std::lock_guard lock(state_->mutex);
  state_->alive_ms = state_->clock.now_ms();
}

void Service::reloading() {
  if (!state_) return;
  const std::lock_guard lock(state_->mutex);
  if (state_->ready) {
    state_->tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_us()));
  }
}

void Service::reloaded() {
  if (!state_) return;
  const std::lock_guard lock(state_->mutex);
  if (state_->ready) state_->tell("READY=1");
}

void Service::stopping() {
  if (!state_) return;
  const std::lock_guard lock(state_->mutex);
  state_->stopping = true;
  state_->tell("STOPPING=1\nSTATUS=stopping");
}

}  // namespace synproxy::control
