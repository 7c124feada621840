// SPDX-License-Identifier: BSD-3-Clause
// The dataplane as control sees it: built from a validated configuration, started once, stopped
// once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "control/config.h"
#include "synproxy/cookie/key_ring.h"
#include "synproxy/policy/protect.h"
#include "synproxy/proxy/counters.h"
#include "synproxy/proxy/packet.h"

namespace synproxy::dataplane {

// What the dataplane itself counts, beside the engine's Counters. Same single-writer rule.
struct alignas(64) IoCounters {
  Counter rx_packets[2];  // by Side
  Counter rx_bytes[2];
  Counter tx_packets[2];
  Counter tx_bytes[2];
  Counter tx_dropped[2];           // the port's transmit queue was full
  Counter rx_checksum_missing[2];  // sender left the checksum to an offload that never ran
  Counter rx_checksum_good[2];     // the device has verified it
  Counter rx_tag_restored[2];      // the device had cut out a VLAN tag
  Counter rss_mismatch[2];         // the device's RSS hash is not what its key makes
  Counter handed_over;             // packets given to the worker that owns their flow
  Counter hand_over_full;          // dropped: that worker's ring was full
  Counter no_buffer;               // dropped: no mbuf for a frame that the proxy made
  Counter syn_shed_share;          // gauge: of a thousand new SYNs, those that are shed
  Counter idle_sleeps;             // because nothing had arrived
  Counter idle_us;                 // slept in all, microseconds
};

struct PortStatus {
  std::string name;  // as typed
  bool link_up = false;
  std::uint64_t rx_missed = 0;    // dropped by the device or the kernel before we saw them
  std::uint64_t rx_oversize = 0;  // longer than a frame of the port's MTU
  std::uint64_t link_changes = 0;
  std::string driver;            // DPDK's, or "socket"
  std::uint32_t rx_queues = 1;   // in use
  std::uint32_t syn_queues = 0;  // of those, the ones that the device fills with SYNs alone
  std::uint32_t tx_queues = 1;
  bool rss = false;          // the device spreads packets over its queues
  bool rss_owner = false;    // and so decides which worker owns a connection
  bool rx_checksum = false;  // the device was told to verify checksums
  std::uint32_t mtu = 0;     // 0: it has none
};

class Dataplane {
 public:
  // EAL up, both ports open and started, engines built; no worker runs yet. Throws UsageError or
  // RuntimeFailure (control/config.h), whose text names the flag and the value.
  Dataplane(const control::Config& config, const ProtectSet& protect, const KeyRing& keys);
  ~Dataplane();
  Dataplane(const Dataplane&) = delete;
  Dataplane& operator=(const Dataplane&) = delete;

  void start();  // launches the workers
  void stop();   // returns when all workers have left their loops; ports still open
  // To be called about once a second by the control thread: link state, reopening of an interface
  // that came back, the checksum warning. Returns lines to log.
  [[nodiscard]] std::vector<std::string> supervise();

  [[nodiscard]] unsigned workers() const;
  [[nodiscard]] unsigned cpu_of(unsigned worker) const;
  [[nodiscard]] const Counters& counters(unsigned worker) const;
  [[nodiscard]] const IoCounters& io(unsigned worker) const;
  [[nodiscard]] PortStatus port(Side side) const;
  [[nodiscard]] std::uint64_t mbufs_in_use() const;
  [[nodiscard]] std::uint64_t mbufs_total() const;
  [[nodiscard]] const std::string& memory_note()
      const;  // what it fell back to without hugepages; may be empty

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace synproxy::dataplane
