// SPDX-License-Identifier: BSD-3-Clause
// A port as the poll loop sees it. Two kinds implement it: EthPort (anything DPDK drives) and
// SocketPort (a Linux interface through packet sockets).
//
// Threads: receive() on a queue by the one worker that polls it; transmit() by every worker with
// its own number; supervise() by control alone; status() by anybody.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/rss.h"

struct rte_mbuf;
struct rte_mempool;

namespace synproxy::dataplane {

struct Sent {
  std::uint32_t packets = 0;
  std::uint64_t bytes = 0;
};

class Port {
 public:
  Port() = default;
  virtual ~Port() = default;
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  [[nodiscard]] virtual std::uint16_t receive_queues() const = 0;
  // What is not RSS under the key of this process spreads in its own way.
  [[nodiscard]] virtual RssSpread spread() const { return {}; }
  // The device puts SYNs into this queue, and nothing that matters more. Others may come by it too:
  // it says when a frame is served, not what becomes of it.
  [[nodiscard]] virtual bool is_syn_queue(std::uint16_t /*queue*/) const { return false; }

  // Up to `n` frames, each in one segment. What is dropped or remarkable is counted, in the port or
  // in `io` at `side`.
  virtual std::uint16_t receive(std::uint16_t queue, rte_mbuf** out, std::uint16_t n,
                                IoCounters& io) = 0;

  // Takes all `n` frames and never waits: what is not accepted is freed, and missing in the result.
  virtual Sent transmit(unsigned worker, rte_mbuf** frames, std::uint16_t n) = 0;

  // Frames that a queue holds while nobody looks at it; 0: it must be looked at all the time.
  [[nodiscard]] virtual std::uint32_t receive_ring(std::uint16_t /*queue*/) const { return 0; }

  // A descriptor that poll() reports readable when frames wait; -1: this port must be polled.
  [[nodiscard]] virtual int wait_descriptor() const { return -1; }
  virtual void clear_wait_error() {}

  // Link changes and repairs; lines to log, without the name of the port.
  virtual void supervise(std::vector<std::string>& lines) = 0;
  [[nodiscard]] virtual PortStatus status() const = 0;

  // Where buffers come from for frames that are to leave by this port.
  [[nodiscard]] virtual rte_mempool* pool() const = 0;
};

}  // namespace synproxy::dataplane
