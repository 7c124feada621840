// SPDX-License-Identifier: BSD-3-Clause
// A Linux interface as a port, through packet sockets: one receive ring, one transmit socket per
// worker.
//
// A received frame becomes again what it was on the wire. The port puts back the tag that the
// kernel cut out, and completes a checksum that the sender left to its network card. It counts such
// frames, because their sender also makes frames longer than the wire allows, which can only be
// dropped. Transmission never waits. If the interface is deleted and made anew, control binds the
// same sockets to the new one; in between, the workers only see sends fail.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "dataplane/interface_prep.h"
#include "dataplane/link_watch.h"
#include "dataplane/netdev.h"
#include "dataplane/packet_ring.h"
#include "dataplane/port.h"

namespace synproxy::dataplane {

class SocketPort final : public Port {
 public:
  // `pool` has room for frames of `max_frame` bytes and outlives the port. Throws
  // std::system_error.
  SocketPort(std::string typed, const std::string& interface, PortId id, unsigned workers,
             rte_mempool* pool, std::uint32_t max_frame);
  ~SocketPort() override;

  [[nodiscard]] std::uint16_t receive_queues() const override { return 1; }
  std::uint16_t receive(std::uint16_t queue, rte_mbuf** out, std::uint16_t n,
                        IoCounters& io) override;
  Sent transmit(unsigned worker, rte_mbuf** frames, std::uint16_t n) override;
  [[nodiscard]] int wait_descriptor() const override { return ring_.descriptor(); }
  void clear_wait_error() override { ring_.clear_error(); }
  void supervise(std::vector<std::string>& lines) override;
  [[nodiscard]] PortStatus status() const override;
  [[nodiscard]] rte_mempool* pool() const override { return pool_; }

 private:
  [[nodiscard]] int attach(int interface_index);
  [[nodiscard]] rte_mbuf* copy(const RingFrame& frame);

  const std::string typed_;
  const PortId id_;
  rte_mempool* const pool_;
  const std::uint32_t max_frame_;

  // Control's thread only.
  Netdev dev_;
  std::unique_ptr<InterfacePrep> prep_;
  int interface_index_ = 0;
  bool warned_ = false;

  // Read by anybody.
  LinkWatch link_;
  mutable std::atomic<std::uint64_t> missed_{0};
  std::vector<int> senders_;  // by worker

  // Written by the receiving worker only.
  alignas(64) Counter oversize_;
  PacketRing ring_;
};

}  // namespace synproxy::dataplane
