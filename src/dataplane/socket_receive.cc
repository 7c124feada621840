// SPDX-License-Identifier: BSD-3-Clause
// How a socket port receives: from its rings, and what waits apart on their sockets.
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/complete_checksum.h"
#include "dataplane/frames.h"
#include "dataplane/socket_port.h"
#include "synproxy/wire/bytes.h"

namespace synproxy::dataplane {
namespace {

constexpr std::uint32_t kMacBytes = 12;  // both addresses; a tag stands behind them

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

}  // namespace

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

}  // namespace synproxy::dataplane
