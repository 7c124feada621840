// SPDX-License-Identifier: BSD-3-Clause
// What a worker does in a turn that found no frame: it serves control, looks again, offers its CPU,
// or sleeps, as idle.h says.
#include <poll.h>
#include <rte_cycles.h>
#include <rte_pause.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "dataplane/worker.h"

namespace synproxy::dataplane {
namespace {

// Queues of Linux interfaces, and the doorbell. What is beyond is looked at once in each tick.
constexpr nfds_t kMostWaits = 66;
// Records that are copied for control in such a turn.
constexpr std::uint32_t kSliceIdle = 1024;

}  // namespace

IdleLimit idle_limit(std::uint32_t asked_us, const std::vector<Source>& sources,
                     const PerPort<const Port*>& ports) {
  if (asked_us == 0) return {};
  IdleLimit limit{kTickUs, true};  // for hand-over rings there is the doorbell
  for (const Source& source : sources) {
    if (source.kind == Source::Kind::kRing) continue;
    const Port& port = *ports[source.port];
    if (port.wait_descriptor(source.queue) >= 0) continue;
    limit.woken = false;
    limit.longest_us =
        std::min(limit.longest_us, sleep_for_ring(asked_us, port.receive_ring(source.queue)));
  }
  return limit;
}

// Called after a turn that found nothing to do.
void Worker::rest() {
  if (mail_.asked()) [[unlikely]]
    return answer_mail(kSliceIdle);
  const std::uint64_t now = rte_rdtsc();
  const IdleBackOff::Step step = back_off_.next(now);
  switch (step.what) {
    case IdleBackOff::Step::What::kLookAgain:
      rte_pause();
      return;
    case IdleBackOff::Step::What::kYield:
      ::sched_yield();  // returns at once if nobody else wants this CPU
      return;
    case IdleBackOff::Step::What::kSleep:
      break;
  }
  if (request_.workers > 1) {
    Doorbell& bell = hand_over_.doorbell(request_.number);
    bell.will_sleep();
    if (!hand_over_.anything_for(request_.number)) wait(step.ticks);
    bell.awake();
  } else {
    wait(step.ticks);
  }
  io_.idle_sleeps.add(1);
  idle_ticks_ += rte_rdtsc() - now;
  io_.idle_us.set(ticks_to_us(idle_ticks_, rte_get_tsc_hz()));
}

// Waits so long, or until another worker rings, or a frame arrives by a port that can wake us.
void Worker::wait(std::uint64_t ticks) {
  std::array<pollfd, kMostWaits> events;
  std::array<Port*, kMostWaits> waiting;
  nfds_t count = 0;
  for (const Source& source : sources_) {
    if (source.kind == Source::Kind::kRing || count == kMostWaits - 1) continue;
    Port* port = request_.ports[source.port];
    const int descriptor = port->wait_descriptor(source.queue);
    if (descriptor < 0) continue;
    waiting[count] = port;
    events[count++] = {descriptor, POLLIN, 0};
  }
  if (request_.workers > 1) {
    waiting[count] = nullptr;
    events[count++] = {hand_over_.doorbell(request_.number).descriptor(), POLLIN, 0};
  }
  const auto ns = static_cast<long>(ticks * 1'000'000'000 / rte_get_tsc_hz());
  const std::timespec limit{0, ns};
  clock_read_ = 0;  // read the clock anew after the sleep
  if (::ppoll(events.data(), count, &limit, nullptr) <= 0) return;
  for (nfds_t i = 0; i < count; ++i) {
    if ((events[i].revents & POLLERR) != 0 && waiting[i] != nullptr) waiting[i]->clear_wait_error();
  }
}

}  // namespace synproxy::dataplane
