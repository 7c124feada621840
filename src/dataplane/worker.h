// SPDX-License-Identifier: BSD-3-Clause
// One worker: its engine, its counters, its share of the queues, and the loop that runs them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

#include "base/config.h"
#include "dataplane/capture_tap.h"
#include "dataplane/clock.h"
#include "dataplane/flow_mail.h"
#include "dataplane/frames.h"
#include "dataplane/idle.h"
#include "dataplane/steering.h"
#include "dataplane/syn_lane.h"
#include "dataplane/topology.h"
#include "synproxy/base/published.h"
#include "synproxy/policy/server_places.h"
#include "synproxy/policy/source_limits.h"
#include "synproxy/proxy/engine.h"

namespace synproxy::dataplane {

// Where frames come from: a queue of a port, or the ring of frames of one sender that other workers
// hand over.
struct Source {
  enum class Kind : std::uint8_t { kQueue, kSynQueue, kRing };
  Kind kind = Kind::kQueue;
  PortId port = PortId::kClient;  // of a queue
  std::uint16_t queue = 0;
  Role sender = Role::kClient;  // of a ring
  bool sheds = false;           // of a queue: Port::sheds_syns()
  [[nodiscard]] bool from_clients() const {
    return kind == Kind::kRing ? sender == Role::kClient
                               : Topology::may_send_by(Role::kClient, port);
  }
};

// In the order in which they are served: servers first, then clients, and queues that hold only
// SYNs last. A port with a queue per worker gives worker w queue w. Ports with fewer queues start
// with different workers.
[[nodiscard]] std::vector<Source> sources_of(unsigned worker, unsigned workers,
                                             const PerPort<const Port*>& ports);

// How long a worker with these sources may sleep if the user asked for `asked_us`.
[[nodiscard]] IdleLimit idle_limit(std::uint32_t asked_us, const std::vector<Source>& sources,
                                   const PerPort<const Port*>& ports);

struct WorkerRequest {
  unsigned number = 0;
  unsigned workers = 1;
  unsigned cpu = 0;
  PerPort<Port*> ports{};
  EngineShape engine;
  IndexKey index_key{};
  const RssOwner* rss = nullptr;  // null unless RSS decides who owns a connection
  SynShedder::Key shed_key{};
  KnownSources* sources = nullptr;      // shared by all workers
  ServerPlaces* places = nullptr;       // shared too; null: the worker has its own
  std::vector<SourceLimits*> limits{};  // shared too: for all services, then for each with a name
  OffloadTable offload;                 // shared too
  std::span<std::byte> store;           // of the engine; empty: none
  bool shared_memory = false;           // other processes of DPDK may come (Eal)
};

class Worker final : private FrameSink {
 public:
  // Throws std::bad_alloc. All references outlive the worker.
  Worker(const WorkerRequest& request, const Published<WorkerTuning>& tuning,
         const ProtectSet& protect, const KeyRing& keys, HandOver& hand_over, const Clock& clock);

  // Before start(), if there is a store (Engine::resume()).
  Found resume() { return engine_.resume(clock_.now_ms()); }
  void start();
  void stop();  // returns when the loop has ended
  // While it does not run: what goes from the engine of one process to that of the next one.
  [[nodiscard]] Engine& engine() { return engine_; }

  [[nodiscard]] unsigned cpu() const { return request_.cpu; }
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] const IoCounters& io() const { return io_; }
  [[nodiscard]] FlowMail& flow_mail() { return mail_; }
  [[nodiscard]] CaptureTap& capture_tap() { return tap_; }
  // The version of the tuning that is used from now on. For any thread.
  [[nodiscard]] Published<WorkerTuning>::Version heeded() const {
    return heeded_.load(std::memory_order_acquire);
  }
  [[nodiscard]] const Published<RefusedList>& refused() const { return engine_.refused(); }
  [[nodiscard]] const Published<ActiveList>& active_services() const {
    return engine_.active_services();
  }

 private:
  void run();
  // Takes over what control has published, if it has. After a burst was fetched and before it is
  // decided: so whatever arrives after a change is decided by it.
  void heed() {
    if (published_.news(tuning_version_, tuning_)) [[unlikely]] {
      retune();
    }
  }
  void retune();
  const WorkerTuning& take_tuning();  // the first
  void tell_ports();
  void note_shed();
  void count_offloaded();
  unsigned serve_all();
  unsigned serve(std::size_t source, unsigned bursts);
  std::uint16_t fetch(const Source& source, rte_mbuf** frames);
  void decide(const Source& from, Role sender, rte_mbuf** frames, std::uint16_t n);
  // Frees what the lists forbid; returns how many frames are left, at the front.
  std::uint16_t screen(rte_mbuf** frames, std::uint16_t n);
  void sort_out(const Source& source, rte_mbuf** frames, std::uint16_t n);
  void process_gathered(std::uint16_t at_least);
  unsigned answer_syns(unsigned budget);
  // `noted`: the steering has left its notes with these frames.
  void process(Role sender, rte_mbuf** frames, std::uint16_t n, bool noted);
  // The packet leaves; a super-frame is cut if its port does not take it whole.
  void pass(Role to, rte_mbuf* m, ChecksumHint sums);
  void cut_and_pass(PortId out, rte_mbuf* m, const OffloadHeader& header);
  void process_cut(Role sender, rte_mbuf* m);
  std::uint64_t tick();  // returns the time-stamp counter
  // Does a slice of what control asks about the flows.
  void answer_mail(std::uint32_t slice);
  void send();
  void rest();
  void wait(std::uint64_t ticks);
  void emit(Role to, std::span<const std::uint8_t> frame) override;
  bool hand_over(Role sender, std::span<const std::uint8_t> whole,
                 const CameInFragments& came) override;
  void decided(Role sender, const Packet& whole) override;
  std::uint16_t take_wholes(Role sender, rte_mbuf** frames, std::uint16_t n);

  const WorkerRequest request_;
  const Published<WorkerTuning>& published_;
  Published<WorkerTuning>::Version tuning_version_ = Published<WorkerTuning>::kNone;
  WorkerTuning tuning_;
  std::atomic<Published<WorkerTuning>::Version> heeded_{Published<WorkerTuning>::kNone};
  HandOver& hand_over_;
  const Clock& clock_;
  Counters counters_;
  IoCounters io_;
  CaptureTap tap_{counters_, io_.capture_lost, [] { return rte_rdtsc(); }};
  Steering steering_;
  Engine engine_;
  PerPort<Outbox> outbox_;
  FlowMail mail_;
  const std::vector<Source> sources_;
  const bool noted_;  // all frames have passed the steering, which has noted what it found
  SynLane lane_;

  // While pressed: frames of clients that are not SYNs, gathered from several bursts.
  std::array<rte_mbuf*, 2 * kMaxBurst> gathered_;
  std::uint16_t gathered_count_ = 0;
  bool unread_ = false;  // a queue still held more when its turn ended

  std::vector<std::uint8_t> whole_;  // a packet that another worker has put together
  bool in_tick_ = false;
  std::uint64_t now_ms_ = 0;
  std::uint64_t clock_read_ = 0;  // time-stamp counter at the last look at the clock
  const std::uint64_t clock_interval_;
  IdleBackOff back_off_;
  std::uint64_t idle_ticks_ = 0;  // slept, in all

  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// So that no two workers share a cache line (tests/dataplane/shared_lines_test.cc).
static_assert(alignof(Worker) >= 64 && sizeof(Worker) % 64 == 0);

}  // namespace synproxy::dataplane
