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

// What a frame may be longer than a super-frame's buffer: the kernel counts its 64 KB without the
// Ethernet header.
constexpr std::size_t kTail = 64;

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

// Opens a gap for a tag behind the addresses of the frame at `from`; `to` lies a tag before it.
void put_tag(std::uint8_t* to, const std::uint8_t* from, std::uint16_t tpid, std::uint16_t tci) {
  std::memmove(to, from, kMacBytes);
  store_be(to + kMacBytes, tpid);
  store_be(to + kMacBytes + 2, tci);
}

void set_length(rte_mbuf& m, std::uint32_t length) {
  m.data_len = static_cast<std::uint16_t>(length);
  m.pkt_len = length;
}

std::span<std::uint8_t> bytes_of(rte_mbuf& m) {
  return {rte_pktmbuf_mtod(&m, std::uint8_t*), m.data_len};
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

std::uint16_t SocketPort::receive(std::uint16_t queue, rte_mbuf** out, std::uint16_t n,
                                  IoCounters& io) {
  if (queue != kSynQueue) return receive_from(ring_, out, n, io);
  syns_->look(io.clock_ms.get());
  const std::uint16_t got = receive_from(syns_->ring(), out, n, io);
  syns_->looked(got);
  return got;
}

std::uint16_t SocketPort::receive_from(PacketRing& ring, rte_mbuf** out, std::uint16_t n,
                                       IoCounters& io) {
  std::uint16_t got = 0;
  bool apart = false;
  RingFrame frame;
  while (got < n && ring.front(frame)) {
    const std::uint32_t length = frame.length + (frame.tagged ? kTagBytes : 0);
    if (frame.apart) {
      // Its place, in order; the frame itself comes below.
      if (rte_mbuf* m = super_buffer(super_pool_); m != nullptr) {
        out[got++] = m;
        apart = true;
      } else if (apart) {
        break;  // those before it are taken first, and their buffers come back
      } else {
        skip_apart(ring);
        io.no_buffer.add(1);
      }
    } else if (frame.captured < frame.length) {
      apart_lost_.add(1);
    } else if ((length > max_frame_ && frame.offload.gso_type == kGsoNone) ||
               frame.captured < kMacBytes + 2) {
      // The kernel delivers no frame shorter than an Ethernet header; if it did, the frame would be
      // dropped here.
      oversize_.add(1);
    } else if (rte_mbuf* m = copy(frame, io); m != nullptr) {
      out[got++] = m;
    }
    ring.release();
  }
  return apart ? fill_apart(ring, out, got, n, io) : got;
}

rte_mbuf* SocketPort::copy(const RingFrame& frame, IoCounters& io) {
  const bool super = frame.offload.gso_type != kGsoNone;
  rte_mbuf* m = super ? super_buffer(super_pool_) : rte_pktmbuf_alloc(pool_);
  if (m == nullptr) {
    io.no_buffer.add(1);
    return nullptr;
  }
  const std::uint32_t tag = frame.tagged ? kTagBytes : 0;
  auto* to = rte_pktmbuf_mtod(m, std::uint8_t*);
  std::memcpy(to + tag, frame.data, frame.captured);
  const std::uint32_t length = frame.captured + tag;
  if (super) {
    m->data_off = static_cast<std::uint16_t>(m->data_off + tag);
    set_length(*m, frame.captured);
    if (become_super(*m, frame.offload, frame.tagged, frame.tpid, frame.tci)) return m;
    rte_pktmbuf_free(m);
    oversize_.add(1);
    return nullptr;
  }
  if (frame.tagged) put_tag(to, to + kTagBytes, frame.tpid, frame.tci);
  set_length(*m, length);
  if ((frame.offload.flags & kNeedsChecksum) != 0) {
    complete_checksum(to, length, frame.offload.checksum_start + tag,
                      frame.offload.checksum_offset);
    io.rx_checksum_missing[id_].add(1);
  }
  return m;
}

bool SocketPort::become_super(rte_mbuf& m, OffloadHeader header, bool tagged, std::uint16_t tpid,
                              std::uint16_t tci) {
  if (m.data_len < kMacBytes + 2) return false;
  if (tagged) {
    if (m.data_off < kTagBytes || m.data_len > kSuperFrameBytes - kTagBytes) return false;
    const auto* frame = rte_pktmbuf_mtod(&m, const std::uint8_t*);
    m.data_off = static_cast<std::uint16_t>(m.data_off - kTagBytes);
    put_tag(rte_pktmbuf_mtod(&m, std::uint8_t*), frame, tpid, tci);
    set_length(m, m.data_len + kTagBytes);
    header.checksum_start = static_cast<std::uint16_t>(header.checksum_start + kTagBytes);
  }
  if (!sound_header(header, bytes_of(m))) return false;
  *static_cast<OffloadHeader*>(rte_mbuf_to_priv(&m)) = header;
  return true;
}

void SocketPort::skip_apart(PacketRing& ring) {
  PacketRing::Apart none;
  static_cast<void>(ring.receive_apart({&none, 1}));
}

std::uint16_t SocketPort::fill_apart(PacketRing& ring, rte_mbuf** out, std::uint16_t n,
                                     std::uint16_t most, IoCounters& io) {
  std::array<PacketRing::Apart, PacketRing::kMostApart> apart;
  std::array<std::array<std::uint8_t, kTail>, PacketRing::kMostApart> tails;
  std::size_t wanted = 0;
  for (std::uint16_t i = 0; i < n; ++i) {
    if (out[i]->data_len != 0) continue;
    out[i]->data_off = kTagBytes;
    apart[wanted].room = {rte_pktmbuf_mtod(out[i], std::uint8_t*),
                          std::size_t{out[i]->buf_len} - kTagBytes};
    apart[wanted].more = tails[wanted];
    ++wanted;
  }
  const std::size_t came = ring.receive_apart({apart.data(), wanted});
  std::array<rte_mbuf*, kMaxBurst> frames;
  std::copy_n(out, n, frames.begin());
  std::uint16_t kept = 0;
  std::size_t next = 0;
  for (std::uint16_t i = 0; i < n; ++i) {
    rte_mbuf* m = frames[i];
    if (m->data_len != 0) {
      out[kept++] = m;
      continue;
    }
    const std::size_t place = next++;
    const PacketRing::Apart* a = place < came ? &apart[place] : nullptr;
    if (a == nullptr) {
      rte_pktmbuf_free(m);
      oversize_.add(1);
      continue;
    }
    // A frame that is longer than its buffer is cut in two.
    if (a->length > a->room.size()) {
      const auto still_to_come = static_cast<std::uint16_t>(n - i - 1);
      kept = split(*a, m, out, kept, static_cast<std::uint16_t>(most - still_to_come), io);
      continue;
    }
    set_length(*m, a->length);
    if (become_super(*m, a->offload, a->tagged, a->tpid, a->tci)) {
      out[kept++] = m;
    } else {
      rte_pktmbuf_free(m);
      oversize_.add(1);
    }
  }
  return kept;
}

std::uint16_t SocketPort::split(const PacketRing::Apart& a, rte_mbuf* first, rte_mbuf** out,
                                std::uint16_t kept, std::uint16_t most, IoCounters& io) {
  std::vector<std::uint8_t>& whole = long_frame_;
  OffloadHeader header = a.offload;
  rte_mbuf* m = first;
  if (a.length <= a.room.size() + a.more.size()) {
    const std::size_t tag = a.tagged ? kTagBytes : 0;
    std::memcpy(whole.data() + tag, a.room.data(), a.room.size());
    std::memcpy(whole.data() + tag + a.room.size(), a.more.data(), a.length - a.room.size());
    if (a.tagged) put_tag(whole.data(), whole.data() + tag, a.tpid, a.tci);
    header.checksum_start = static_cast<std::uint16_t>(header.checksum_start + tag);
    const std::span<const std::uint8_t> frame{whole.data(), a.length + tag};
    if (sound_header(header, frame)) {
      const std::uint32_t half = (a.length / 2 + header.gso_size - 1) / header.gso_size;
      for (FrameCutter cutter(frame, header, half); !cutter.done() && kept < most;) {
        if (m == nullptr) m = super_buffer(super_pool_);
        if (m == nullptr) {
          io.no_buffer.add(1);
          return kept;
        }
        m->data_off = 0;
        set_length(*m, cutter.next_size());
        cutter.write_super_frame(rte_pktmbuf_mtod(m, std::uint8_t*),
                                 *static_cast<OffloadHeader*>(rte_mbuf_to_priv(m)));
        out[kept++] = m;
        m = nullptr;
      }
      return kept;
    }
  }
  rte_pktmbuf_free(m);
  oversize_.add(1);
  return kept;
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
      prep_ = std::make_unique<InterfacePrep>(dev_, InterfacePrep::Frames::kAsTheyCome);
      if (attach(facts->index) != 0) return;  // gone again: the next call looks
    } catch (const std::system_error&) {
      return;
    }
    lines.emplace_back("the interface is back");
  }
  mtu_.store(facts->mtu, std::memory_order_relaxed);
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
  // The kernel's count starts again from 0 after each reading.
  const std::uint64_t news = ring_.take_drops() + (syns_ ? syns_->ring().take_drops() : 0);
  s.rx_missed = missed_.fetch_add(news, std::memory_order_relaxed) + news + apart_lost_.get();
  s.rx_oversize = oversize_.get();
  s.link_changes = link_.changes();
  s.driver = "socket";
  s.syn_queues = syns_ ? 1 : 0;
  s.tx_queues = static_cast<std::uint32_t>(senders_.size());
  s.mtu = dev_.facts().value_or(NetdevFacts{}).mtu;
  return s;
}

}  // namespace synproxy::dataplane
