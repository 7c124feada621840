// SPDX-License-Identifier: BSD-3-Clause
// The dataplane as control sees it: built from a validated configuration, started once, stopped
// once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/descriptor.h"
#include "base/flow_store.h"
#include "base/port_id.h"
#include "synproxy/base/counters.h"
#include "synproxy/base/packet.h"
#include "synproxy/cookie/key_ring.h"
#include "synproxy/flow/arena.h"
#include "synproxy/flow/key.h"
#include "synproxy/policy/activation_list.h"
#include "synproxy/policy/protect.h"
#include "synproxy/policy/refused_sources.h"
#include "synproxy/policy/source_lists.h"

namespace synproxy {
class Engine;
}

namespace synproxy::dataplane {

class CaptureTap;
class FlowMail;

// What the dataplane itself counts, beside the engine's Counters. The same single-writer rule
// holds.
struct alignas(64) IoCounters {
  PerPort<Counter> rx_packets;
  PerPort<Counter> rx_bytes;
  PerPort<Counter> tx_packets;
  PerPort<Counter> tx_bytes;
  PerPort<Counter> tx_dropped;           // the port's transmit queue was full
  PerPort<Counter> rx_checksum_missing;  // sender left the checksum to an offload that never ran
  PerPort<Counter> rx_checksum_good;     // the device has verified it
  PerPort<Counter> rx_tag_restored;      // the device had cut out a VLAN tag
  PerPort<Counter> rss_mismatch;         // the device's RSS hash is not what its key makes
  Counter handed_over;                   // packets given to the worker that owns their flow
  Counter hand_over_full;                // dropped: that worker's ring was full
  Counter no_buffer;                     // dropped: no mbuf for a frame that the proxy made
  Counter syn_shed_share;                // gauge: of a thousand new SYNs, those that are shed
  Counter idle_sleeps;                   // sleeps because nothing had arrived
  Counter idle_us;                       // time slept in all, microseconds
  Counter taken_over;                    // packets that other workers handed over to this one
  Counter busy_cycles;                   // time-stamp counter, in turns that brought packets
  Counter capture_lost;                  // frames that a capture had no room for
  Counter clock_ms;                      // gauge: the worker's clock; stands still where it hangs
};

struct PortStatus {
  std::string name;  // as typed
  bool link_up = false;
  std::uint64_t rx_missed = 0;    // dropped by the device or the kernel before we saw them
  std::uint64_t rx_oversize = 0;  // longer than a frame of the port's MTU
  std::uint64_t link_changes = 0;
  std::string driver;            // DPDK's, or "socket" or "xdp"
  std::uint32_t rx_queues = 1;   // in use
  std::uint32_t syn_queues = 0;  // of those, the ones that the device fills with SYNs alone
  std::uint32_t tx_queues = 1;
  bool rss = false;          // the device spreads packets over its queues
  bool rss_owner = false;    // and so decides which worker owns a connection
  bool rx_checksum = false;  // the device was told to verify checksums
  std::uint32_t mtu = 0;     // 0: it has none
};

// A process that will hand its connections over (control/take_over.h).
struct Predecessor {
  StoreIdentity identity;
  // It stops and gives up what only one process can have. The dataplane calls this at once if the
  // queues of a port are not known before; otherwise the caller that takes over does it.
  std::function<void()> stop;
  // Dataplane::files() of it; to be asked once for each port.
  std::function<std::vector<Descriptor>(PortId)> files;
};

class Dataplane {
 public:
  // Brings EAL up, opens and starts both ports and builds the engines; no worker runs yet. Throws
  // UsageError or RuntimeFailure (base/errors.h), whose text names the flag and the value. `store`:
  // of the configuration's shape; outlives it. nullptr: connections end with the process.
  // With a `predecessor` the store is empty, and ports that it has alone are not open.
  Dataplane(const Config& config, const ProtectSet& protect, const KeyRing& keys,
            FlowStore* store = nullptr, const Predecessor* predecessor = nullptr);
  ~Dataplane();
  Dataplane(const Dataplane&) = delete;
  Dataplane& operator=(const Dataplane&) = delete;

  // Before start(): frees what has arrived by the port so far.
  void forget_received(PortId id);
  void start();  // launches the workers; after stop() again
  void stop();   // returns when all workers have left their loops; ports still open

  // --- A hand-over between two processes (carrying.h).
  [[nodiscard]] StoreIdentity identity() const;
  // Of workers that do not run, or for Giver.
  [[nodiscard]] std::vector<Engine*> engines();
  [[nodiscard]] unsigned owner_of(const FlowKey& key) const;
  [[nodiscard]] std::uint64_t now_ms() const;  // of the workers' clock
  // The taker has got the name of the giver.
  void renamed(const std::string& name);

  // Of ports (port_set.h); all while no worker runs. open_...() throw UsageError or RuntimeFailure.
  [[nodiscard]] bool all_open() const;
  [[nodiscard]] bool opens_without_rights() const;
  [[nodiscard]] bool loads_programs() const;
  // What the taker's port needs of ours (Port::files()).
  [[nodiscard]] std::vector<int> files(PortId id) const;
  [[nodiscard]] bool shares() const;  // a port that goes down for both if this process closes it
  void open_beside();                 // the taker's, before the giver stops
  void forget_copies();               // what the giver had too
  void close_alone();                 // the giver's
  void open_all();                    // the taker's, or the giver's again
  [[nodiscard]] bool has_link(PortId id) const;

  // For one thread at a time, whether workers run or not. Whatever arrives afterwards is decided by
  // the new tuning, and by `lists` where they are given. Earlier lists are freed once no worker
  // uses them any more; nobody waits for that.
  void retune(const WorkerTuning& tuning, std::unique_ptr<const SourceLists> lists = nullptr);
  // Those in force.
  [[nodiscard]] const SourceLists& lists() const;
  // To be called about once a second by the control thread: link state, reopening of an interface
  // that came back, the checksum warning. Returns lines to log.
  [[nodiscard]] std::vector<std::string> supervise();

  [[nodiscard]] unsigned workers() const;
  [[nodiscard]] unsigned cpu_of(unsigned worker) const;
  [[nodiscard]] const Counters& counters(unsigned worker) const;
  [[nodiscard]] const IoCounters& io(unsigned worker) const;
  [[nodiscard]] PortStatus port(PortId id) const;
  [[nodiscard]] std::uint64_t cycles_per_second() const;  // of the time-stamp counter
  [[nodiscard]] std::uint64_t cycles() const;             // the counter now
  [[nodiscard]] std::uint64_t mbufs_in_use() const;
  [[nodiscard]] std::uint64_t mbufs_total() const;
  // The sources that are over a limit, most refused first; all workers together, 20 at most.
  [[nodiscard]] std::vector<RefusedSource> refused() const;
  // The services that have cookies because of an attack (--mode adaptive), once for each worker.
  [[nodiscard]] std::vector<ActiveService> active_services() const;
  // For one thread at a time. Nobody answers before start() and after stop().
  [[nodiscard]] FlowMail& flow_mail(unsigned worker);
  // The same.
  [[nodiscard]] CaptureTap& capture_tap(unsigned worker);
  // That of this proxy's name, where EAL has its sockets.
  [[nodiscard]] const std::filesystem::path& directory() const;
  // What was in the store.
  [[nodiscard]] Found resumed() const;
  // Why the kernel carries no connections, if it was to where it can; may be empty.
  [[nodiscard]] const std::string& offload_note() const;
  // What it fell back to without hugepages; may be empty.
  [[nodiscard]] const std::string& memory_note() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace synproxy::dataplane
