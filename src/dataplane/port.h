// SPDX-License-Identifier: BSD-3-Clause
// A port as the poll loop sees it. Three kinds implement it: EthPort (anything DPDK drives),
// SocketPort (a Linux interface through packet sockets) and XdpPort (one through AF_XDP).
//
// Threads: receive() on a queue by the one worker that polls it; transmit() by every worker with
// its own number; supervise() by control alone; status() by anybody.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/rss.h"
#include "synproxy/base/packet.h"

struct rte_mbuf;
struct rte_mempool;

namespace synproxy::dataplane {

class FlowOffload;

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
  // Ports without RSS under this process's key keep the default: they spread in their own way.
  [[nodiscard]] virtual RssSpread spread() const { return {}; }
  // The device puts SYNs into this queue. Other frames may come by it too: the queue decides when a
  // frame is served, not what becomes of it.
  [[nodiscard]] virtual bool is_syn_queue(std::uint16_t /*queue*/) const { return false; }

  // A port that itself keeps back the SYNs that cannot all be answered, in a fair way: what comes
  // by its SYN queue is to be answered, and what is not read costs nothing.
  [[nodiscard]] virtual bool sheds_syns() const { return false; }
  // For the worker that polls the SYN queue of such a port: whether it is to shed; and what it has
  // kept back since the last call.
  virtual void shed_syns(bool /*shedding*/) {}
  struct Shed {
    std::uint64_t syns = 0;
    std::uint32_t per_mille = 0;  // of those that arrive now
  };
  [[nodiscard]] virtual Shed take_shed() { return {}; }

  // Returns up to `n` frames, each in one segment. Counts dropped and remarkable ones, in the port
  // itself or in `io`.
  virtual std::uint16_t receive(std::uint16_t queue, rte_mbuf** out, std::uint16_t n,
                                IoCounters& io) = 0;

  // Takes all `n` frames and never waits. Frees what is not accepted; the result counts the rest.
  virtual Sent transmit(unsigned worker, rte_mbuf** frames, std::uint16_t n) = 0;

  // Whether a super-frame (super_frame.h) may leave by this port as it is. Otherwise it is cut
  // before.
  [[nodiscard]] virtual bool takes_super_frames() const { return false; }

  // How many frames a queue holds while nobody looks at it; 0: look at it all the time.
  [[nodiscard]] virtual std::uint32_t receive_ring(std::uint16_t /*queue*/) const { return 0; }

  // A descriptor that poll() reports readable when frames wait; -1: this queue must be polled.
  [[nodiscard]] virtual int wait_descriptor(std::uint16_t /*queue*/) const { return -1; }
  virtual void clear_wait_error() {}

  // Gives the device up, so that another process can have it; and takes it again. While it is
  // closed, nobody may receive or transmit. Ports that two processes can have at once do nothing.
  // open() throws UsageError or RuntimeFailure.
  virtual void open() {}
  virtual void close() {}
  // The next open() needs no capability: everything is there, except that another process still has
  // it.
  [[nodiscard]] virtual bool opens_without_rights() const { return false; }
  // The next open() makes bpf(2) calls.
  [[nodiscard]] virtual bool loads_programs() const { return false; }
  // Open files by which another process can open the port without making it anew, still the port's.
  // Empty: there is no such way.
  [[nodiscard]] virtual std::vector<int> files() const { return {}; }
  [[nodiscard]] virtual bool has_link() const { return true; }

  // Whether the kernel can carry connections between this port and another one like it; and lets it
  // do so for frames that `sender` sends by this port (flow_offload.h). `offload` outlives the
  // port. Throws std::system_error.
  [[nodiscard]] virtual bool offloads() const { return false; }
  virtual void offload_to(FlowOffload& /*offload*/, Role /*sender*/) {}

  // Link changes and repairs; lines to log, without the name of the port.
  virtual void supervise(std::vector<std::string>& lines) = 0;
  [[nodiscard]] virtual PortStatus status() const = 0;

  // Gives the buffers for frames that leave by this port.
  [[nodiscard]] virtual rte_mempool* pool() const = 0;
};

}  // namespace synproxy::dataplane
