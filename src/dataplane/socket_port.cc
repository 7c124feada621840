// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/socket_port.h"

#include <linux/if_packet.h>
#include <rte_mbuf.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "dataplane/complete_checksum.h"
#include "synproxy/wire/bytes.h"

namespace synproxy::dataplane {
namespace {

constexpr std::uint32_t kMacBytes = 12;  // both addresses; a tag stands behind them
constexpr std::uint32_t kTagBytes = 4;
// The default holds some 90 frames, less than a burst of held data.
constexpr int kSendBuffer = 8 << 20;

int open_sender() {
  // Protocol 0: it receives nothing.
  const int fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "packet socket");
  // Both only improve speed: older kernels and fewer rights do without.
  const int one = 1;
  static_cast<void>(::setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one));
  if (::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof kSendBuffer) != 0) {
    static_cast<void>(::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer));
  }
  return fd;
}

}  // namespace

SocketPort::SocketPort(std::string typed, const std::string& interface, PortId id, unsigned workers,
                       rte_mempool* pool, std::uint32_t max_frame)
    : typed_(std::move(typed)),
      id_(id),
      pool_(pool),
      max_frame_(max_frame),
      dev_(interface),
      prep_(std::make_unique<InterfacePrep>(dev_)),
      ring_(max_frame) {
  try {
    for (unsigned w = 0; w < workers; ++w) senders_.push_back(open_sender());
    const auto facts = dev_.facts();
    if (!facts) throw std::system_error(ENODEV, std::generic_category());
    if (const int error = attach(facts->index); error != 0) {
      throw std::system_error(error, std::generic_category(), "bind");
    }
    link_.begin(dev_.facts().value_or(NetdevFacts{}).running);
  } catch (...) {
    for (const int fd : senders_) ::close(fd);
    throw;
  }
}

SocketPort::~SocketPort() {
  for (const int fd : senders_) ::close(fd);
}

int SocketPort::attach(int interface_index) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = interface_index;
  for (const int fd : senders_) {
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return errno;
  }
  if (const int error = ring_.bind(interface_index); error != 0) return error;
  interface_index_ = interface_index;
  return 0;
}

std::uint16_t SocketPort::receive(std::uint16_t /*queue*/, rte_mbuf** out, std::uint16_t n,
                                  IoCounters& io) {
  std::uint16_t got = 0;
  RingFrame frame;
  while (got < n && ring_.front(frame)) {
    const std::uint32_t length = frame.length + (frame.tagged ? kTagBytes : 0);
    // The kernel delivers no frame shorter than an Ethernet header; if it did, the frame would be
    // dropped here.
    if (frame.captured < frame.length || length > max_frame_ || frame.captured < kMacBytes + 2) {
      oversize_.add(1);
    } else if (rte_mbuf* m = copy(frame); m == nullptr) {
      io.no_buffer.add(1);
    } else {
      out[got++] = m;
    }
    if (frame.checksum_missing) io.rx_checksum_missing[id_].add(1);
    ring_.release();
  }
  return got;
}

rte_mbuf* SocketPort::copy(const RingFrame& frame) {
  rte_mbuf* m = rte_pktmbuf_alloc(pool_);
  if (m == nullptr) return nullptr;
  const std::uint32_t tag = frame.tagged ? kTagBytes : 0;
  auto* to = rte_pktmbuf_mtod(m, std::uint8_t*);
  if (frame.tagged) {
    std::memcpy(to, frame.data, kMacBytes);
    store_be<std::uint16_t>(to + kMacBytes, frame.tpid);
    store_be<std::uint16_t>(to + kMacBytes + 2, frame.tci);
    std::memcpy(to + kMacBytes + kTagBytes, frame.data + kMacBytes, frame.captured - kMacBytes);
  } else {
    std::memcpy(to, frame.data, frame.captured);
  }
  const std::uint32_t length = frame.captured + tag;
  m->data_len = static_cast<std::uint16_t>(length);
  m->pkt_len = length;
  if (frame.checksum_missing) {
    complete_checksum(to, length, frame.checksum_start + tag, frame.checksum_offset);
  }
  return m;
}

Sent SocketPort::transmit(unsigned worker, rte_mbuf** frames, std::uint16_t n) {
  std::array<mmsghdr, kMaxBurst> messages{};
  std::array<iovec, kMaxBurst> parts{};
  Sent result;
  std::uint16_t done = 0;
  while (done < n) {
    const auto count = static_cast<unsigned>(std::min<std::size_t>(n - done, kMaxBurst));
    for (unsigned i = 0; i < count; ++i) {
      parts[i] = {rte_pktmbuf_mtod(frames[done + i], void*), frames[done + i]->data_len};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int sent = ::sendmmsg(senders_[worker], messages.data(), count, MSG_DONTWAIT);
    if (sent > 0) {
      result.packets += static_cast<std::uint32_t>(sent);
      for (int i = 0; i < sent; ++i) result.bytes += parts[static_cast<std::size_t>(i)].iov_len;
      done = static_cast<std::uint16_t>(done + sent);
      continue;
    }
    // Skip a frame that is too long for the interface. Other errors (no room, no interface) would
    // hit the next frames too.
    if (errno != EMSGSIZE && errno != EINVAL && errno != EINTR) break;
    if (errno != EINTR) ++done;
  }
  rte_pktmbuf_free_bulk(frames, n);
  return result;
}

void SocketPort::supervise(std::vector<std::string>& lines) {
  if (!warned_ && !prep_->warning().empty()) lines.push_back(prep_->warning());
  warned_ = true;
  const auto facts = dev_.facts();
  if (!facts) {
    if (interface_index_ != 0) {
      lines.emplace_back("the interface is gone; waiting for it to return");
      link_.lost();
      interface_index_ = 0;
    }
    return;
  }
  if (facts->index != interface_index_) {
    try {
      prep_.reset();
      prep_ = std::make_unique<InterfacePrep>(dev_);
      if (attach(facts->index) != 0) return;  // gone again: the next call looks
    } catch (const std::system_error&) {
      return;
    }
    lines.emplace_back("the interface is back");
  }
  link_.observe(dev_.facts().value_or(NetdevFacts{}).running, lines);
}

PortStatus SocketPort::status() const {
  PortStatus s;
  s.name = typed_;
  s.link_up = link_.up();
  // The kernel's count starts again from 0 after each reading.
  const std::uint64_t news = ring_.take_drops();
  s.rx_missed = missed_.fetch_add(news, std::memory_order_relaxed) + news;
  s.rx_oversize = oversize_.get();
  s.link_changes = link_.changes();
  s.driver = "socket";
  s.tx_queues = static_cast<std::uint32_t>(senders_.size());
  s.mtu = dev_.facts().value_or(NetdevFacts{}).mtu;
  return s;
}

}  // namespace synproxy::dataplane
