// SPDX-License-Identifier: BSD-3-Clause
// A Linux interface as a port through AF_XDP: a socket for each of its queues. Frames are copied
// between the sockets' memory and buffers of the pool, once on either way.
//
// All its parts change hands at --take-over: the memory, the sockets with their rings, and the link
// that holds the XDP program, so that what arrives meanwhile waits, and nothing is lost or comes
// twice. The next process maps them beside this one, and touches them once it has the lock
// (xdp_memory.h), which this one gives back when it stops. Linux before 6.4 maps the rings of a
// socket only once: there the old process closes the port and the new one opens it.
//
// If the interface is deleted, the port stays dead until the proxy is started again.
#pragma once

#include <rte_spinlock.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "dataplane/interface_prep.h"
#include "dataplane/link_watch.h"
#include "dataplane/netdev.h"
#include "dataplane/port.h"
#include "dataplane/xdp_memory.h"
#include "dataplane/xdp_program.h"
#include "dataplane/xdp_socket.h"

namespace synproxy::dataplane {

struct XdpPortRequest {
  std::string typed;
  std::string who;  // "--client-port xdp:eth1", as an error text begins
  std::string interface;
  unsigned workers = 1;
  std::uint32_t max_frame = 0;  // bytes, tags included
  InterfacePrep::Addresses addresses = InterfacePrep::Addresses::kStay;
  bool old_kernel = false;  // a test's: rings are mapped only once
};

class XdpPort final : public Port {
 public:
  // `files`: what files() of the predecessor's port has named; empty: open() makes all anew. `pool`
  // has room for the longest frames, and outlives the port. Throws std::system_error.
  XdpPort(XdpPortRequest request, std::vector<Descriptor> files, rte_mempool* pool);
  ~XdpPort() override;

  void open() override;
  void close() override;
  [[nodiscard]] bool opens_without_rights() const override { return can_change_hands_; }
  [[nodiscard]] bool loads_programs() const override { return !can_change_hands_; }
  [[nodiscard]] std::vector<int> files() const override;
  [[nodiscard]] bool has_link() const override;

  [[nodiscard]] std::uint16_t receive_queues() const override {
    return static_cast<std::uint16_t>(shape_.queues);
  }
  std::uint16_t receive(std::uint16_t queue, rte_mbuf** out, std::uint16_t n,
                        IoCounters& io) override;
  Sent transmit(unsigned worker, rte_mbuf** frames, std::uint16_t n) override;
  [[nodiscard]] std::uint32_t receive_ring(std::uint16_t /*queue*/) const override {
    return shape_.receive_frames;
  }
  [[nodiscard]] int wait_descriptor(std::uint16_t queue) const override;
  void clear_wait_error() override;
  void supervise(std::vector<std::string>& lines) override;
  [[nodiscard]] PortStatus status() const override;
  [[nodiscard]] rte_mempool* pool() const override { return pool_; }

 private:
  struct Queue;

  void take(std::vector<Descriptor> files);
  void make();
  void drop();
  [[nodiscard]] std::uint64_t missed() const;

  const XdpPortRequest request_;
  rte_mempool* const pool_;
  Netdev dev_;
  InterfacePrep prep_;
  XdpShape shape_;
  bool can_change_hands_ = false;

  // open() and close() against those who ask; workers do not run then.
  mutable std::mutex asked_;
  bool open_ = false;
  std::unique_ptr<XdpMemory> memory_;
  XdpProgram program_;
  std::vector<std::unique_ptr<Queue>> queues_;
  std::optional<std::uint64_t> missed_before_;  // by the predecessor

  // Control's thread.
  bool warned_ = false;
  bool gone_ = false;
  LinkWatch link_;
};

}  // namespace synproxy::dataplane
