// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/socket_port.h"

#include <linux/if_packet.h>
#include <rte_mbuf.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "dataplane/flow_offload.h"
#include "dataplane/frames.h"

namespace synproxy::dataplane {
namespace {

// The default holds some 90 frames, less than a burst of held data.
constexpr int kSendBuffer = 8 << 20;

int open_sender(bool super) {
  // Protocol 0: it receives nothing.
  const int fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "packet socket");
  const int one = 1;
  if (super) {
    if (::setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) != 0) {
      const int error = errno;
      ::close(fd);
      throw std::system_error(error, std::generic_category(), "PACKET_VNET_HDR");
    }
  } else {
    // Only improves speed: older kernels do without.
    static_cast<void>(::setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one));
  }
  // Fewer rights do with less.
  if (::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof kSendBuffer) != 0) {
    static_cast<void>(::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer));
  }
  return fd;
}

}  // namespace

SocketPort::SocketPort(std::string typed, const std::string& interface, PortId id, unsigned workers,
                       std::span<const ProtectRule> protect, rte_mempool* pool,
                       rte_mempool* super_pool, std::uint32_t max_frame,
                       InterfacePrep::Addresses addresses)
    : typed_(std::move(typed)),
      id_(id),
      pool_(pool),
      super_pool_(super_pool),
      max_frame_(max_frame),
      dev_(interface),
      prep_(std::make_unique<InterfacePrep>(dev_, InterfacePrep::Frames::kAsTheyCome,
                                            record_directory(), addresses)),
      ring_(max_frame),
      long_frame_(kSuperFrameBytes + kTail + kTagBytes) {
  try {
    for (unsigned w = 0; w < workers; ++w) {
      Sender& s = senders_.emplace_back();
      s.direct = open_sender(false);
      s.super = open_sender(true);
    }
    // Only clients' SYNs come in floods. The filters cannot look at ever so many rules.
    if (id == PortId::kClient && protect.size() <= kMostFilterRules) {
      syns_ = std::make_unique<SynRing>(max_frame,
                                        std::vector<ProtectRule>(protect.begin(), protect.end()));
      if (const int error = ring_.filter(all_but_syns_filter(protect)); error != 0) {
        throw std::system_error(error, std::generic_category(), "SO_ATTACH_FILTER");
      }
    }
    const auto facts = dev_.facts();
    if (!facts) throw std::system_error(ENODEV, std::generic_category());
    if (const int error = attach(facts->index); error != 0) {
      throw std::system_error(error, std::generic_category(), "bind");
    }
    mtu_ = facts->mtu;
    link_.begin(dev_.facts().value_or(NetdevFacts{}).running);
  } catch (...) {
    close_senders();
    throw;
  }
}

SocketPort::~SocketPort() { close_senders(); }

void SocketPort::close_senders() {
  for (const Sender& s : senders_) {
    for (const int fd : {s.direct, s.super}) {
      if (fd >= 0) ::close(fd);
    }
  }
}

int SocketPort::attach(int interface_index) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = interface_index;
  for (const Sender& s : senders_) {
    for (const int fd : {s.direct, s.super}) {
      if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return errno;
      }
    }
  }
  if (const int error = ring_.bind(interface_index); error != 0) return error;
  if (syns_) {
    if (const int error = syns_->ring().bind(interface_index); error != 0) return error;
  }
  interface_index_ = interface_index;
  return 0;
}

void SocketPort::offload_to(FlowOffload& offload, Role sender) {
  offload.attach(sender, interface_index_, ring_.descriptor(),
                 syns_ ? all_but_syns_filter(syns_->protect()) : SocketFilter{});
  offload.set_mtu(sender, mtu_.load(std::memory_order_relaxed));
  offload_ = &offload;
  sender_ = sender;
}

Sent SocketPort::transmit(unsigned worker, rte_mbuf** frames, std::uint16_t n) {
  const Sender& sender = senders_[worker];
  Sent result;
  unsigned done = 0;
  bool going = true;
  while (going && done < n) {
    // In order: a run of frames of one kind after the other.
    const bool super = offload_of(*frames[done]) != nullptr;
    unsigned run = 1;
    while (done + run < n && run < kMaxBurst &&
           (offload_of(*frames[done + run]) != nullptr) == super) {
      ++run;
    }
    const unsigned taken =
        send(super ? sender.super : sender.direct, frames + done, run, super, result);
    done += taken;
    going = taken == run;
  }
  rte_pktmbuf_free_bulk(frames, n);
  return result;
}

// Returns how many of the frames are done with: fewer than `n` if the next ones would fail too.
unsigned SocketPort::send(int descriptor, rte_mbuf** frames, unsigned n, bool super, Sent& result) {
  std::array<mmsghdr, kMaxBurst> messages{};
  std::array<std::array<iovec, 2>, kMaxBurst> parts{};
  const std::uint32_t mtu = mtu_.load(std::memory_order_relaxed);
  unsigned count = 0;
  for (unsigned i = 0; i < n; ++i) {
    OffloadHeader* const header = super ? offload_of(*frames[i]) : nullptr;
    // The kernel would send what the link cannot carry without a word.
    if (header != nullptr && longest_packet(bytes_of(*frames[i]), *header) > mtu) continue;
    iovec* part = parts[count].data();
    messages[count].msg_hdr.msg_iov = part;
    if (header != nullptr) *part++ = {header, sizeof *header};
    *part++ = {rte_pktmbuf_mtod(frames[i], void*), frames[i]->data_len};
    messages[count].msg_hdr.msg_iovlen = static_cast<std::size_t>(part - parts[count].data());
    ++count;
  }
  unsigned done = 0;
  while (done < count) {
    const int sent = ::sendmmsg(descriptor, &messages[done], count - done, MSG_DONTWAIT);
    if (sent > 0) {
      result.packets += static_cast<std::uint32_t>(sent);
      for (int i = 0; i < sent; ++i) {
        const msghdr& m = messages[done + static_cast<unsigned>(i)].msg_hdr;
        result.bytes += m.msg_iov[m.msg_iovlen - 1].iov_len;
      }
      done += static_cast<unsigned>(sent);
      continue;
    }
    // Skip a frame that is too long for the interface. Other errors (no room, no interface) would
    // hit the next frames too.
    if (errno != EMSGSIZE && errno != EINVAL && errno != EINTR) return done;
    if (errno != EINTR) ++done;
  }
  return n;
}

void SocketPort::supervise(std::vector<std::string>& lines) {
  prep_->claim();
  if (!warned_ && !prep_->warning().empty()) lines.push_back(prep_->warning());
  warned_ = true;
  const auto facts = dev_.facts();
  if (!facts) {
    if (interface_index_ != 0) {
      lines.emplace_back("the interface is gone; waiting for it to return");
      if (offload_ != nullptr && offload_->on()) {
        offload_->end();
        lines.emplace_back(
            "the kernel carries no connections any more (--flow-offload) until the "
            "proxy is started again");
      }
      link_.lost();
      interface_index_ = 0;
    }
    return;
  }
  if (facts->index != interface_index_) {
    try {
      prep_.reset();
      prep_ = std::make_unique<InterfacePrep>(dev_, InterfacePrep::Frames::kAsTheyCome);
      if (attach(facts->index) != 0) return;  // gone again: the next call looks
    } catch (const std::system_error&) {
      return;
    }
    lines.emplace_back("the interface is back");
  }
  mtu_.store(facts->mtu, std::memory_order_relaxed);
  if (offload_ != nullptr) {
    offload_->set_mtu(sender_, facts->mtu);
    if (offload_->lost(sender_) && !said_lost_) {
      said_lost_ = true;
      lines.emplace_back(
          "another program at its ingress (tcx) takes frames first; the kernel carries no "
          "connections any more (--flow-offload)");
    }
  }
  link_.observe(dev_.facts().value_or(NetdevFacts{}).running, lines);
}

void SocketPort::clear_wait_error() {
  ring_.clear_error();
  if (syns_) syns_->ring().clear_error();
}

PortStatus SocketPort::status() const {
  PortStatus s;
  s.name = typed_;
  s.link_up = link_.up();
  s.rx_missed = ring_.drops() + (syns_ ? syns_->ring().drops() : 0) + apart_lost_.get();
  s.rx_oversize = oversize_.get();
  s.link_changes = link_.changes();
  s.driver = "socket";
  s.syn_queues = syns_ ? 1 : 0;
  s.tx_queues = static_cast<std::uint32_t>(senders_.size());
  s.mtu = dev_.facts().value_or(NetdevFacts{}).mtu;
  return s;
}

}  // namespace synproxy::dataplane
