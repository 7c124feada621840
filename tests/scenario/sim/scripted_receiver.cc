// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "scripted_peer.h"

namespace synproxy::test::sim {

std::uint32_t ScriptedPeer::free_window(std::uint64_t now) const {
  const std::uint32_t room =
      part_.buffer - std::min<std::uint32_t>(part_.buffer, static_cast<std::uint32_t>(unread_));
  return now < shrunk_until_ ? std::min(room, shrunk_to_) : room;
}

// Rounding down by the scale would take the window back for good (RFC 7323 section 2.4). Like
// Linux, round up to the window shown before.
std::uint32_t ScriptedPeer::window_field(unsigned shift, std::uint64_t now) const {
  const std::uint32_t down = free_window(now) >> shift;
  if (now < shrunk_until_ || !rcv_right_.after(rcv_nxt_)) return down;
  return std::max(down, (rcv_right_ - rcv_nxt_ + (1U << shift) - 1) >> shift);
}

// Takes everything from rcv_nxt_ on that has arrived.
void ScriptedPeer::put_together() {
  for (auto it = ahead_.begin(); it != ahead_.end();) {
    const std::uint32_t next = rcv_nxt_ - irs_;
    if (it->first > next) break;
    const std::size_t skip = next - it->first;
    if (skip < it->second.size()) {
      const auto fresh = it->second.begin() + static_cast<long>(skip);
      const auto n = static_cast<std::uint32_t>(it->second.end() - fresh);
      if (current_) received.insert(received.end(), fresh, it->second.end());
      unread_ += n;
      rcv_nxt_ = rcv_nxt_ + n;
    }
    it = ahead_.erase(it);
  }
  if (!peer_fin_ && peer_fin_at_ && rcv_nxt_ == *peer_fin_at_) {
    peer_fin_ = true;
    if (current_) peer_closed = true;
    if (!fin_sent_) active_close_ = false;
    rcv_nxt_ = rcv_nxt_ + 1;
  }
}

void ScriptedPeer::on_payload(const DecodedFrame& f, std::uint64_t now) {
  if (f.seq_length() == 0) return;
  const std::uint32_t distance = SeqNum(f.seq) - irs_;
  const std::uint32_t expected = rcv_nxt_ - irs_;
  const bool begins_old = static_cast<std::int32_t>(distance - expected) < 0;
  if (f.has(kFin)) peer_fin_at_ = SeqNum(f.seq) + static_cast<std::uint32_t>(f.payload.size());
  // A receiver without room takes nothing (this is a probe of its closed window).
  if (!f.payload.empty() && (free_window(now) != 0 || begins_old)) {
    Bytes fresh = f.payload;
    std::uint32_t from = distance;
    if (begins_old) {
      const std::size_t old = std::min<std::size_t>(expected - from, fresh.size());
      fresh.erase(fresh.begin(), fresh.begin() + static_cast<long>(old));
      from = expected;
      if (sack_ && dice_.permille(plan_.mischief.dsack)) {
        duplicate_ = {f.seq, f.seq + static_cast<std::uint32_t>(old)};
      }
    }
    if (!fresh.empty()) {
      Bytes& slot = ahead_[from];
      if (slot.size() < fresh.size()) slot = std::move(fresh);
    }
  }
  put_together();
  send_ack(now);
}

void ScriptedPeer::read(std::uint64_t now) {
  if (unread_ == 0) return;
  const bool was_small = free_window(now) < 1460;
  unread_ = 0;
  if (was_small && state_ == State::kOpen) send_ack(now);  // window update
}

}  // namespace synproxy::test::sim
