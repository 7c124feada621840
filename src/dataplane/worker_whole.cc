// SPDX-License-Identifier: BSD-3-Clause
// What a worker does with frames that are not one packet each: super-frames, which it cuts where
// they cannot go on whole, and packets that were put together from fragments.
#include "dataplane/whole_packet.h"
#include "dataplane/worker.h"

namespace synproxy::dataplane {

void Worker::cut_and_pass(PortId out, rte_mbuf* m, const OffloadHeader& header) {
  Outbox& box = outbox_[out];
  box.send(request_.number, io_, out);  // what came before it
  const std::span<const std::uint8_t> frame{rte_pktmbuf_mtod(m, std::uint8_t*), m->data_len};
  for (FrameCutter cutter(frame, header); !cutter.done();) {
    rte_mbuf* segment = box.make(cutter.next_size());
    if (segment == nullptr) {
      io_.no_buffer.add(1);
      break;
    }
    cutter.write_segment(rte_pktmbuf_mtod(segment, std::uint8_t*));
    if (box.made() >= kMaxBurst) box.send(request_.number, io_, out);
  }
  box.send(request_.number, io_, out);
  rte_pktmbuf_free(m);
}

// The engine has to hold what the frame carries, and holds segments only.
void Worker::process_cut(Role sender, rte_mbuf* m) {
  const std::span<const std::uint8_t> frame{rte_pktmbuf_mtod(m, std::uint8_t*), m->data_len};
  rte_mempool* const pool = request_.ports[Topology::out_port(sender)]->pool();
  std::array<rte_mbuf*, kMaxBurst> segments;
  std::uint16_t n = 0;
  for (FrameCutter cutter(frame, *offload_of(*m)); !cutter.done();) {
    rte_mbuf* s = rte_pktmbuf_alloc(pool);
    if (s == nullptr || cutter.next_size() > rte_pktmbuf_tailroom(s)) {
      rte_pktmbuf_free(s);
      io_.no_buffer.add(1);
      break;
    }
    s->data_len = static_cast<std::uint16_t>(cutter.next_size());
    s->pkt_len = s->data_len;
    cutter.write_segment(rte_pktmbuf_mtod(s, std::uint8_t*));
    segments[n++] = s;
    if (n < kMaxBurst) continue;
    process(sender, segments.data(), n, false);
    n = 0;
  }
  process(sender, segments.data(), n, false);
  rte_pktmbuf_free(m);
}

// Through the ring of frames, so that a connection's packets stay in order.
bool Worker::hand_over(Role sender, std::span<const std::uint8_t> whole,
                       const CameInFragments& came) {
  if (request_.workers == 1) return false;
  const std::uint32_t owner = steering_.owner_of_whole(sender, whole);
  if (owner == request_.number) return false;
  rte_mbuf* packed = pack_whole(whole, came, outbox_[Topology::out_port(sender)].pool());
  if (packed == nullptr) {
    io_.no_buffer.add(1);
  } else if (hand_over_.give(owner, sender, &packed, 1) == 1) {
    io_.handed_over.add(1);
  } else {
    io_.hand_over_full.add(1);
    rte_pktmbuf_free(packed);
  }
  return true;
}

// A capture sees what leaves as the frames that are made.
void Worker::decided(Role sender, const Packet& whole) {
  if (tap_.on() && whole.verdict == Verdict::kDrop) [[unlikely]]
    tap_.dropped(sender, whole);
}

// Decides the packets that another worker has put together. Moves the rest to the front, in order;
// returns how many there are.
std::uint16_t Worker::take_wholes(Role sender, rte_mbuf** frames, std::uint16_t n) {
  std::uint16_t kept = 0;
  for (std::uint16_t i = 0; i < n; ++i) {
    if (!is_packed_whole(*frames[i])) [[likely]] {
      frames[kept++] = frames[i];
      continue;
    }
    heed();
    CameInFragments came;
    Packet packet{.data = whole_.data(), .room = static_cast<std::uint32_t>(whole_.size())};
    packet.length = unpack_whole(*frames[i], came, whole_);
    rte_pktmbuf_free(frames[i]);
    engine_.process_whole(sender, packet, came, now_ms_, *this);
    send();
  }
  return kept;
}

}  // namespace synproxy::dataplane
