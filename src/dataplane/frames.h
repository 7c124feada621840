// SPDX-License-Identifier: BSD-3-Clause
// Turns DPDK's buffers into the core's packets and back.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/dataplane.h"
#include "dataplane/port.h"
#include "dataplane/super_frame.h"
#include "synproxy/base/packet.h"

namespace synproxy::dataplane {

[[nodiscard]] inline ChecksumHint checksum_hint(const rte_mbuf& m) {
  const std::uint64_t l4 = m.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
  const std::uint64_t ip = m.ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
  if (l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD || ip == RTE_MBUF_F_RX_IP_CKSUM_BAD) {
    return ChecksumHint::kBad;
  }
  if (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD && ip == RTE_MBUF_F_RX_IP_CKSUM_GOOD) {
    return ChecksumHint::kGood;
  }
  // virtio does not check IP checksums, and IPv6 has none.
  if (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD && ip == RTE_MBUF_F_RX_IP_CKSUM_UNKNOWN) {
    return ChecksumHint::kTcpGood;
  }
  return ChecksumHint::kUnknown;
}

[[nodiscard]] inline std::span<std::uint8_t> bytes_of(rte_mbuf& m) {
  return {rte_pktmbuf_mtod(&m, std::uint8_t*), m.data_len};
}

// `m` has one segment.
[[nodiscard]] inline Packet packet_of(rte_mbuf& m) {
  Packet p;
  p.data = rte_pktmbuf_mtod(&m, std::uint8_t*);
  p.length = m.data_len;
  p.room = static_cast<std::uint32_t>(m.buf_len) - m.data_off;
  p.checksum = offload_of(m) != nullptr ? ChecksumHint::kPartial : checksum_hint(m);
  return p;
}

// What leaves by one port: first the packets of the burst, then the frames that the engine made.
class Outbox {
 public:
  explicit Outbox(Port& port) : port_(port) {}

  // At most kMaxBurst between two calls of send().
  void add(rte_mbuf* m) { burst_[burst_count_++] = m; }

  // nullptr: no buffer is free for it, or it does not fit one.
  [[nodiscard]] rte_mbuf* make(std::span<const std::uint8_t> frame) {
    rte_mbuf* m = make(static_cast<std::uint32_t>(frame.size()));
    if (m != nullptr) std::memcpy(rte_pktmbuf_mtod(m, void*), frame.data(), frame.size());
    return m;
  }
  // An empty buffer for a frame of so many bytes that leaves after the burst; nullptr as above.
  [[nodiscard]] rte_mbuf* make(std::uint32_t length) {
    if (made_count_ == kMade) return nullptr;
    rte_mbuf* m = rte_pktmbuf_alloc(port_.pool());
    if (m == nullptr) return nullptr;
    if (length > rte_pktmbuf_tailroom(m)) {
      rte_pktmbuf_free(m);
      return nullptr;
    }
    m->data_len = static_cast<std::uint16_t>(length);
    m->pkt_len = length;
    frames_[kMaxBurst + made_count_++] = m;
    return m;
  }
  [[nodiscard]] std::size_t made() const { return made_count_; }
  [[nodiscard]] bool takes_super_frames() const { return port_.takes_super_frames(); }
  [[nodiscard]] rte_mempool* pool() const { return port_.pool(); }

  void send(unsigned worker, IoCounters& io, PortId id) {
    const std::size_t count = burst_count_ + made_count_;
    if (count == 0) return;
    // The burst goes directly before the made frames, so that one call sends both.
    rte_mbuf** first = frames_.data() + kMaxBurst - burst_count_;
    std::copy_n(burst_.begin(), burst_count_, first);
    burst_count_ = made_count_ = 0;
    const Sent sent = port_.transmit(worker, first, static_cast<std::uint16_t>(count));
    io.tx_packets[id].add(sent.packets);
    io.tx_bytes[id].add(sent.bytes);
    if (sent.packets < count) io.tx_dropped[id].add(count - sent.packets);
  }

 private:
  // Enough for a burst of 32 SYN-ACKs, each of which releases 16 held segments and makes an ACK and
  // a window update: 576 frames.
  static constexpr std::size_t kMade = 1024;

  Port& port_;
  std::size_t burst_count_ = 0;
  std::size_t made_count_ = 0;
  std::array<rte_mbuf*, kMaxBurst> burst_;
  std::array<rte_mbuf*, kMaxBurst + kMade> frames_;
};

}  // namespace synproxy::dataplane
