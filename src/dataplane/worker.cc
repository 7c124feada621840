// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker.h"

#include <poll.h>
#include <pthread.h>
#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_pause.h>
#include <sched.h>

#include <string>

namespace synproxy::dataplane {
namespace {

constexpr std::size_t kBoth[] = {0, 1};
constexpr std::uint64_t kClockReadsPerSecond = 8000;
constexpr std::uint64_t kSpinsPerSecond =
    20'000;  // the reciprocal of how long an idle worker spins

}  // namespace

Worker::Worker(const WorkerRequest& request, const ProtectSet& protect, const KeyRing& keys,
               HandOver& hand_over, const Clock& clock)
    : request_(request),
      hand_over_(hand_over),
      clock_(clock),
      steering_(request.number, request.workers, protect, request.index_key, request.rss,
                hand_over),
      engine_(request.engine, protect, keys, request.index_key, counters_),
      outbox_{Outbox(*request.ports[0]), Outbox(*request.ports[1])},
      clock_interval_(rte_get_tsc_hz() / kClockReadsPerSecond),
      spin_(rte_get_tsc_hz() / kSpinsPerSecond) {
  // Ports with fewer queues than workers start with different workers; with as many, worker and
  // queue have one number.
  for (const std::size_t side : kBoth) {
    const std::uint16_t queues = request.ports[side]->receive_queues();
    const std::size_t first = queues < request.workers ? side : 0;
    for (std::uint16_t q = 0; q < queues; ++q) {
      if ((q + first) % request.workers == request.number) queues_[side].push_back(q);
    }
  }
}

void Worker::start() {
  stopping_ = false;
  thread_ = std::thread([this] { run(); });
}

void Worker::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void Worker::run() {
  cpu_set_t cpu;
  CPU_ZERO(&cpu);
  CPU_SET(request_.cpu, &cpu);
  static_cast<void>(::pthread_setaffinity_np(::pthread_self(), sizeof cpu, &cpu));
  static_cast<void>(::pthread_setname_np(::pthread_self(),
                                         ("synproxy-w" + std::to_string(request_.number)).c_str()));
  // Gives the thread its own buffer cache; without one it would only be slower.
  const bool registered = rte_thread_register() == 0;

  while (!stopping_.load(std::memory_order_relaxed)) {
    tick();
    unsigned busy = 0;
    for (const Side side : {Side::kClient, Side::kServer}) {
      busy += receive(side);
      if (request_.workers > 1) busy += take_over(side);
    }
    if (busy != 0) {
      busy_at_ = rte_rdtsc();
    } else {
      rest();
    }
  }

  if (registered) rte_thread_unregister();
}

unsigned Worker::receive(Side side) {
  const auto s = static_cast<std::size_t>(side);
  unsigned received = 0;
  for (const std::uint16_t queue : queues_[s]) {
    std::array<rte_mbuf*, kMaxBurst> frames;
    std::uint16_t n = request_.ports[s]->receive(queue, frames.data(), kMaxBurst, io_);
    if (n == 0) continue;
    received += n;
    std::uint64_t bytes = 0;
    for (std::uint16_t i = 0; i < n; ++i) bytes += frames[i]->pkt_len;
    io_.rx_packets[s].add(n);
    io_.rx_bytes[s].add(bytes);
    if (request_.workers > 1) n = steering_.sort(side, frames.data(), n, io_);
    process(side, frames.data(), n);
  }
  return received;
}

unsigned Worker::take_over(Side side) {
  std::array<rte_mbuf*, kMaxBurst> frames;
  const std::uint16_t n = hand_over_.take(request_.number, side, frames.data(), kMaxBurst);
  process(side, frames.data(), n);
  return n;
}

void Worker::process(Side side, rte_mbuf** frames, std::uint16_t n) {
  if (n == 0) return;
  std::array<Packet, kMaxBurst> packets;
  for (std::uint16_t i = 0; i < n; ++i) packets[i] = packet_of(*frames[i]);
  engine_.process(side, {packets.data(), n}, now_ms_, *this);
  for (std::uint16_t i = 0; i < n; ++i) {
    rte_mbuf* m = frames[i];
    m->data_len = static_cast<std::uint16_t>(packets[i].length);
    m->pkt_len = packets[i].length;
    switch (packets[i].verdict) {
      case Verdict::kDrop:
        rte_pktmbuf_free(m);
        break;
      case Verdict::kForward:
        outbox_[static_cast<std::size_t>(other(side))].add(m);
        break;
      case Verdict::kReply:
        outbox_[static_cast<std::size_t>(side)].add(m);
        break;
    }
  }
  send();
}

void Worker::tick() {
  const std::uint64_t tsc = rte_rdtsc();
  if (tsc - clock_read_ < clock_interval_) return;
  clock_read_ = tsc;
  const std::uint64_t now = clock_.now_ms();
  if (now == now_ms_) return;
  now_ms_ = now;
  in_tick_ = true;
  engine_.tick(now, *this);
  in_tick_ = false;
  send();
}

void Worker::send() {
  outbox_[0].send(request_.number, io_, Side::kClient);
  outbox_[1].send(request_.number, io_, Side::kServer);
}

void Worker::emit(Side out, std::span<const std::uint8_t> frame) {
  Outbox& box = outbox_[static_cast<std::size_t>(out)];
  if (!box.make(frame)) io_.no_buffer.add(1);
  // No burst waits before the frames of a timer.
  if (in_tick_ && box.made() >= kMaxBurst) box.send(request_.number, io_, out);
}

// Nothing arrived. Just after traffic more of it is near; later, whoever shares this CPU may have
// it: the one who would send us something, perhaps.
void Worker::rest() {
  if (rte_rdtsc() - busy_at_ < spin_) {
    rte_pause();
    return;
  }
  if (!request_.may_wait) {
    ::sched_yield();  // returns at once on a CPU of our own
    return;
  }
  if (request_.workers > 1) {
    Doorbell& bell = hand_over_.doorbell(request_.number);
    bell.will_sleep();
    if (!hand_over_.anything_for(request_.number)) wait();
    bell.awake();
  } else {
    wait();
  }
}

// Until a frame arrives, another worker rings, or the next tick is due.
void Worker::wait() {
  std::array<pollfd, 3> events{};
  std::array<Port*, 3> waiting{};
  nfds_t count = 0;
  for (const std::size_t side : kBoth) {
    if (queues_[side].empty()) continue;
    waiting[count] = request_.ports[side];
    events[count++] = {request_.ports[side]->wait_descriptor(), POLLIN, 0};
  }
  if (request_.workers > 1) {
    events[count++] = {hand_over_.doorbell(request_.number).descriptor(), POLLIN, 0};
  }
  const std::timespec limit{0, 1'000'000};
  clock_read_ = 0;  // what comes now comes later than we have thought
  if (::ppoll(events.data(), count, &limit, nullptr) <= 0) return;
  for (nfds_t i = 0; i < count; ++i) {
    if ((events[i].revents & POLLERR) != 0 && waiting[i] != nullptr) waiting[i]->clear_wait_error();
  }
}

}  // namespace synproxy::dataplane
