// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker.h"

#include <pthread.h>
#include <rte_cycles.h>
#include <rte_lcore.h>
#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <string>

#include "dataplane/frame_notes.h"

namespace synproxy::dataplane {
namespace {

PerPort<const Port*> readable(const PerPort<Port*>& ports) { return {{ports[0], ports[1]}}; }

// A turn of a pressed worker: bursts read from an ordinary queue, bursts read from a SYN queue, and
// SYNs answered. A turn reads half of the usual ring of 1,024 frames, so that the other half takes
// what arrives meanwhile. If a queue still holds more, next to no SYNs are answered: reading comes
// first.
constexpr unsigned kDrainBursts = 16;
constexpr unsigned kSynBursts = 4;
constexpr unsigned kSyns = 64;
constexpr unsigned kSynsUnread = 8;
// Bursts read from a SYN queue of a port that sheds: all of them are answered.
constexpr unsigned kShedBursts = kSyns / kMaxBurst;
constexpr std::uint64_t kClockReadsPerSecond = 8000;
// Records that are copied for control in each millisecond.
constexpr std::uint32_t kSlicePerTick = 256;

}  // namespace

std::vector<Source> sources_of(unsigned worker, unsigned workers,
                               const PerPort<const Port*>& ports) {
  std::vector<Source> sources;
  const auto add_queues = [&](PortId id, Source::Kind kind) {
    const Port& port = *ports[id];
    std::vector<std::uint16_t> queues;
    for (std::uint16_t q = 0; q < port.receive_queues(); ++q) {
      if (port.is_syn_queue(q) == (kind == Source::Kind::kSynQueue)) queues.push_back(q);
    }
    const std::size_t first = queues.size() < workers ? static_cast<std::size_t>(id) : 0;
    for (std::size_t i = 0; i < queues.size(); ++i) {
      if ((i + first) % workers != worker) continue;
      const bool sheds = kind == Source::Kind::kSynQueue && port.sheds_syns();
      sources.push_back({kind, id, queues[i], Role::kClient, sheds});
    }
  };
  for (const Role sender : {Role::kServer, Role::kClient}) {
    for (const PortId id : kAllPorts) {
      if (Topology::may_send_by(sender, id)) add_queues(id, Source::Kind::kQueue);
    }
    if (workers > 1) sources.push_back({Source::Kind::kRing, {}, 0, sender});
  }
  for (const PortId id : kAllPorts) add_queues(id, Source::Kind::kSynQueue);
  return sources;
}

Worker::Worker(const WorkerRequest& request, const Published<WorkerTuning>& tuning,
               const ProtectSet& protect, const KeyRing& keys, HandOver& hand_over,
               const Clock& clock)
    : request_(request),
      published_(tuning),
      hand_over_(hand_over),
      clock_(clock),
      steering_(request.number, request.workers, protect, request.index_key, request.rss,
                hand_over),
      engine_({request.engine, take_tuning().engine}, protect, keys, request.index_key, counters_,
              request.store),
      outbox_{{Outbox(*request.ports[0]), Outbox(*request.ports[1])}},
      sources_(sources_of(request.number, request.workers, readable(request_.ports))),
      noted_(request.workers > 1 && request.rss == nullptr),
      lane_(tuning_.loop.shed_syns, sources_.size(), protect, request.shed_key, counters_, io_),
      whole_(request.workers > 1 ? kMaxFrame : 0),
      clock_interval_(rte_get_tsc_hz() / kClockReadsPerSecond),
      back_off_(rte_get_tsc_hz(),
                idle_limit(tuning_.loop.idle_sleep_us, sources_, readable(request_.ports))) {
  if (request_.offload.there()) engine_.offload_to(request_.offload);
  engine_.shed_by(lane_.stateless_shedder());
  lane_.show(tap_);
  if (request_.sources != nullptr) engine_.share_sources(*request_.sources);
  if (request_.places != nullptr) engine_.share_places(*request_.places);
  NamedServiceId service = 0;
  for (SourceLimits* limits : request_.limits) engine_.limit_by(*limits, service++);
  engine_.retune(tuning_.engine, &tuning_.services);
  engine_.use_lists(tuning_.lists);
  heeded_ = tuning_version_;
  tell_ports();
  steering_.gather_fragments(tuning_.engine.fragments == Fragments::kReassemble);
}

void Worker::tell_ports() {
  for (const Source& source : sources_) {
    if (source.sheds) request_.ports[source.port]->shed_syns(tuning_.loop.shed_syns);
  }
}

const WorkerTuning& Worker::take_tuning() {
  static_cast<void>(published_.news(tuning_version_, tuning_));
  return tuning_;
}

void Worker::retune() {
  engine_.retune(tuning_.engine, &tuning_.services);
  engine_.use_lists(tuning_.lists);
  heeded_.store(tuning_version_, std::memory_order_release);  // nothing of before is used any more
  steering_.gather_fragments(tuning_.engine.fragments == Fragments::kReassemble);
  lane_.enable(tuning_.loop.shed_syns);
  tell_ports();
  back_off_.set_limit(idle_limit(tuning_.loop.idle_sleep_us, sources_, readable(request_.ports)));
}

void Worker::start() {
  // A port may have been opened only now.
  back_off_.set_limit(idle_limit(tuning_.loop.idle_sleep_us, sources_, readable(request_.ports)));
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
  // For this thread, a sleep ends on time and not up to 50 us later.
  static_cast<void>(::prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL));
  // Gives the thread its own buffer cache; without, it is only slower. From then on DPDK lets no
  // other process in.
  const bool registered = !request_.shared_memory && rte_thread_register() == 0;

  while (!stopping_.load(std::memory_order_relaxed)) {
    const std::uint64_t began = tick();
    if (const unsigned frames = serve_all(); frames != 0) {
      const std::uint64_t now = rte_rdtsc();
      io_.busy_cycles.add(now - began);
      back_off_.busy(now, frames);
    } else {
      rest();
    }
  }
  while (answer_syns(SynLane::kSlots) != 0) {
  }
  engine_.end_offloads();  // what the kernel has carried is noted, for whoever goes on
  count_offloaded();

  if (registered) rte_thread_unregister();
}

// Serves each source in turn, then the SYNs that had to wait.
unsigned Worker::serve_all() {
  const bool pressed = lane_.pressed();
  unread_ = false;
  unsigned busy = 0;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    busy += serve(i, !pressed                                      ? 1
                     : sources_[i].sheds                           ? (unread_ ? 1 : kShedBursts)
                     : sources_[i].kind == Source::Kind::kSynQueue ? kSynBursts
                                                                   : kDrainBursts);
  }
  if (pressed) lane_.turn_ended(unread_);
  if (lane_.waiting() != 0) busy += answer_syns(unread_ ? kSynsUnread : kSyns);
  return busy;
}

unsigned Worker::serve(std::size_t source, unsigned bursts) {
  const Source& from = sources_[source];
  unsigned served = 0;
  std::uint16_t n = 0;
  for (unsigned burst = 0; burst < bursts; ++burst) {
    std::array<rte_mbuf*, kMaxBurst> frames;
    n = fetch(from, frames.data());
    served += n;
    if (from.from_clients() && !from.sheds) lane_.polled(source, n);
    if (from.kind == Source::Kind::kRing) {
      decide(from, from.sender, frames.data(), take_wholes(from.sender, frames.data(), n));
    } else {
      const auto [clients, servers] = Topology::by_sender(from.port, frames.data(), n);
      decide(from, Role::kClient, frames.data(), clients);
      decide(from, Role::kServer, frames.data() + clients, servers);
    }
    if (n < SynLane::kFewFrames) break;
  }
  process_gathered(1);
  if (n >= SynLane::kFewFrames && from.kind != Source::Kind::kSynQueue) unread_ = true;
  return served;
}

// What the kernel has carried came by one port and left by the other, as everything else does.
void Worker::count_offloaded() {
  const Offloaded counts = engine_.take_offloaded();
  for (const Role sender : {Role::kClient, Role::kServer}) {
    const auto i = static_cast<std::size_t>(sender);
    if (counts.packets[i] == 0) continue;
    const PortId in = Topology::out_port(sender);
    const PortId out = Topology::out_port(other(sender));
    io_.rx_packets[in].add(counts.packets[i]);
    io_.rx_bytes[in].add(counts.bytes[i]);
    io_.tx_packets[out].add(counts.packets[i]);
    io_.tx_bytes[out].add(counts.bytes[i]);
  }
}

void Worker::note_shed() {
  for (const Source& source : sources_) {
    if (!source.sheds) continue;
    const auto [syns, per_mille] = request_.ports[source.port]->take_shed();
    counters_.count(Reason::syn_shed, syns);
    lane_.shed_before(per_mille);
  }
}

// All frames are of one sender.
void Worker::decide(const Source& from, Role sender, rte_mbuf** frames, std::uint16_t n) {
  if (n == 0) return;
  if (sender == Role::kClient && lane_.pressed() && !from.sheds) return sort_out(from, frames, n);
  if (request_.workers > 1 && from.kind != Source::Kind::kRing) {
    n = steering_.sort(from.port, sender, frames, n, io_);
  }
  process(sender, frames, n, noted_);
}

std::uint16_t Worker::fetch(const Source& source, rte_mbuf** frames) {
  if (source.kind == Source::Kind::kRing) {
    const std::uint16_t n = hand_over_.take(request_.number, source.sender, frames, kMaxBurst);
    if (n != 0) io_.taken_over.add(n);
    return n;
  }
  const std::uint16_t n =
      request_.ports[source.port]->receive(source.queue, frames, kMaxBurst, io_);
  if (n == 0) return 0;
  std::uint64_t bytes = 0;
  for (std::uint16_t i = 0; i < n; ++i) bytes += frames[i]->pkt_len;
  io_.rx_packets[source.port].add(n);
  io_.rx_bytes[source.port].add(bytes);
  return n;
}

void Worker::process(Role sender, rte_mbuf** frames, std::uint16_t n, bool noted) {
  if (n == 0) return;
  heed();
  std::array<Packet, kMaxBurst> packets;
  for (std::uint16_t i = 0; i < n; ++i) {
    packets[i] = packet_of(*frames[i]);
    if (noted) packets[i].arrival = notes_of(*frames[i]);
  }
  if (tap_.on()) [[unlikely]]
    tap_.before(sender, {packets.data(), n});
  engine_.process(sender, {packets.data(), n}, now_ms_, *this);
  if (tap_.on()) [[unlikely]]
    tap_.after(sender, {packets.data(), n});
  std::array<rte_mbuf*, kMaxBurst> to_cut;
  std::size_t cuts = 0;
  for (std::uint16_t i = 0; i < n; ++i) {
    rte_mbuf* m = frames[i];
    m->data_len = static_cast<std::uint16_t>(packets[i].length);
    m->pkt_len = packets[i].length;
    switch (packets[i].verdict) {
      case Verdict::kDrop:
        rte_pktmbuf_free(m);
        break;
      case Verdict::kForward:
        pass(other(sender), m, packets[i].checksum);
        break;
      case Verdict::kReply:
        pass(sender, m, packets[i].checksum);
        break;
      case Verdict::kCut:
        to_cut[cuts++] = m;
        break;
    }
  }
  send();
  if (request_.offload.there()) engine_.sent();
  for (std::size_t i = 0; i < cuts; ++i) process_cut(sender, to_cut[i]);
}

void Worker::pass(Role to, rte_mbuf* m, ChecksumHint sums) {
  Topology::to_wire(to, *m);
  const PortId out = Topology::out_port(to);
  if (OffloadHeader* header = offload_of(*m); header != nullptr) [[unlikely]] {
    if (!is_super(sums)) {
      no_super_frame(*header);
    } else if (!outbox_[out].takes_super_frames()) {
      return cut_and_pass(out, m, *header);
    }
  }
  outbox_[out].add(m);
}

std::uint64_t Worker::tick() {
  const std::uint64_t tsc = rte_rdtsc();
  if (tsc - clock_read_ < clock_interval_) return tsc;
  clock_read_ = tsc;
  const std::uint64_t now = clock_.now_ms();
  if (now == now_ms_) return tsc;
  now_ms_ = now;
  io_.clock_ms.set(now);
  heed();
  tap_.heed();
  if (request_.offload.there()) {
    // A capture is to see every frame.
    engine_.allow_offloads(!tap_.on());
    count_offloaded();
  }
  note_shed();
  lane_.tick(now, engine_.stateless());
  in_tick_ = true;
  engine_.tick(now, *this);
  in_tick_ = false;
  send();
  if (mail_.asked()) [[unlikely]]
    answer_mail(kSlicePerTick);
  return tsc;
}

void Worker::answer_mail(std::uint32_t slice) {
  in_tick_ = true;
  mail_.serve(engine_, slice, now_ms_, *this);
  in_tick_ = false;
  send();
}

void Worker::send() {
  for (const PortId id : kAllPorts) outbox_[id].send(request_.number, io_, id);
}

void Worker::emit(Role to, std::span<const std::uint8_t> frame) {
  if (tap_.on()) [[unlikely]]
    tap_.made(to, frame);
  const PortId out = Topology::out_port(to);
  Outbox& box = outbox_[out];
  if (rte_mbuf* m = box.make(frame)) {
    Topology::to_wire(to, *m);
  } else {
    io_.no_buffer.add(1);
  }
  // During a tick no burst has to leave before these frames.
  if (in_tick_ && box.made() >= kMaxBurst) box.send(request_.number, io_, out);
}

}  // namespace synproxy::dataplane
