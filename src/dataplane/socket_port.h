// SPDX-License-Identifier: BSD-3-Clause
// A Linux interface as a port, through packet sockets: one receive ring, on the client's side a
// second one for SYNs (syn_ring.h), and one transmit socket per worker.
//
// A received frame becomes again what it was on the wire. The port puts back the tag that the
// kernel cut out, and completes a checksum that the sender left to its network card. A super-frame
// stays whole, and its checksum unfinished. Transmission never waits. If the interface is deleted
// and made anew, control binds the same sockets to the new one; in between, the workers only see
// sends fail.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "dataplane/interface_prep.h"
#include "dataplane/link_watch.h"
#include "dataplane/netdev.h"
#include "dataplane/packet_ring.h"
#include "dataplane/port.h"
#include "dataplane/syn_ring.h"

namespace synproxy::dataplane {

class SocketPort final : public Port {
 public:
  // `pool` has room for frames of `max_frame` bytes, `super_pool` for super-frames; both outlive
  // the port. Throws std::system_error.
  SocketPort(std::string typed, const std::string& interface, PortId id, unsigned workers,
             std::span<const ProtectRule> protect, rte_mempool* pool, rte_mempool* super_pool,
             std::uint32_t max_frame,
             InterfacePrep::Addresses addresses = InterfacePrep::Addresses::kStay);
  ~SocketPort() override;

  [[nodiscard]] std::uint16_t receive_queues() const override { return syns_ ? 2 : 1; }
  [[nodiscard]] bool is_syn_queue(std::uint16_t queue) const override { return queue == kSynQueue; }
  [[nodiscard]] bool sheds_syns() const override { return syns_ != nullptr; }
  void shed_syns(bool shedding) override { syns_->shed(shedding); }
  [[nodiscard]] Shed take_shed() override { return {syns_->take_shed(), syns_->shed_per_mille()}; }
  std::uint16_t receive(std::uint16_t queue, rte_mbuf** out, std::uint16_t n,
                        IoCounters& io) override;
  Sent transmit(unsigned worker, rte_mbuf** frames, std::uint16_t n) override;
  [[nodiscard]] bool takes_super_frames() const override { return true; }
  [[nodiscard]] bool offloads() const override { return true; }
  void offload_to(FlowOffload& offload, Role sender) override;
  [[nodiscard]] int wait_descriptor(std::uint16_t queue) const override {
    return (queue == kSynQueue ? syns_->ring() : ring_).descriptor();
  }
  void clear_wait_error() override;
  void supervise(std::vector<std::string>& lines) override;
  [[nodiscard]] PortStatus status() const override;
  [[nodiscard]] rte_mempool* pool() const override { return pool_; }

 private:
  static constexpr std::uint16_t kSynQueue = 1;
  static constexpr std::uint32_t kTagBytes = 4;
  // What a frame may be longer than a super-frame's buffer: the kernel counts its 64 KB without the
  // Ethernet header.
  static constexpr std::size_t kTail = 64;

  [[nodiscard]] int attach(int interface_index);
  [[nodiscard]] rte_mbuf* copy(const RingFrame& frame, IoCounters& io);
  // Fills the empty buffers among the first `n` of `out` with the frames that wait apart, in order.
  // Returns how many frames stand there then; at most `most`.
  [[nodiscard]] std::uint16_t fill_apart(PacketRing& ring, rte_mbuf** out, std::uint16_t n,
                                         std::uint16_t most, IoCounters& io);
  // Makes a received frame a super-frame; false: it is none that can be cut.
  [[nodiscard]] static bool become_super(rte_mbuf& m, OffloadHeader header, bool tagged,
                                         std::uint16_t tpid, std::uint16_t tci);
  // Cuts a frame that is longer than a buffer into super-frames; `first` is the buffer for the
  // first one. Appends them to the `kept` frames of `out`, up to `most`; returns how many there
  // are.
  [[nodiscard]] std::uint16_t split(const PacketRing::Apart& a, rte_mbuf* first, rte_mbuf** out,
                                    std::uint16_t kept, std::uint16_t most, IoCounters& io);
  [[nodiscard]] std::uint16_t receive_from(PacketRing& ring, rte_mbuf** out, std::uint16_t n,
                                           IoCounters& io);
  static void skip_apart(PacketRing& ring);
  void close_senders();
  unsigned send(int descriptor, rte_mbuf** frames, unsigned n, bool super, Sent& result);

  const std::string typed_;
  const PortId id_;
  rte_mempool* const pool_;
  rte_mempool* const super_pool_;
  const std::uint32_t max_frame_;

  // Control's thread only.
  Netdev dev_;
  std::unique_ptr<InterfacePrep> prep_;
  int interface_index_ = 0;
  bool warned_ = false;
  FlowOffload* offload_ = nullptr;
  bool said_lost_ = false;
  Role sender_ = Role::kClient;  // whose frames come by this port

  // Read by anybody.
  LinkWatch link_;
  // By worker. Super-frames must go by the queueing discipline: past it, a link that cannot segment
  // drops every one.
  struct Sender {
    int direct = -1;
    int super = -1;
  };
  std::vector<Sender> senders_;
  std::atomic<std::uint32_t> mtu_{0};

  // Written by the receiving worker only.
  alignas(64) Counter oversize_;
  Counter apart_lost_;  // super-frames for which the socket had no memory
  PacketRing ring_;
  std::unique_ptr<SynRing> syns_;         // null: SYNs come by ring_
  std::vector<std::uint8_t> long_frame_;  // room for the longest one, and a tag
};

}  // namespace synproxy::dataplane
