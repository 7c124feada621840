// SPDX-License-Identifier: BSD-3-Clause
#include "links.h"

#include <algorithm>

namespace synproxy::test::sim {

Links::Links(const Plan& plan, std::uint64_t seed) : plan_(plan), dice_(seed) {}

// Changes one 16-bit word. The sums of IPv4 and TCP notice every such change except 0 to 0xffff.
// Words of an IPv6 header that only the pseudo header or no sum covers are left alone, because a
// packet damaged there may pass as good. So are the addresses below IP, which belong to the link.
void Links::damage(Flight& flight) {
  Bytes& b = flight.bytes;
  const std::size_t l3 = 14 + plan_.client.tags.size() * 4;
  std::size_t at = 12 + 2 * dice_(static_cast<std::uint32_t>((b.size() - 13) / 2));
  if (plan_.client.ipv6 && at >= l3 && at < l3 + 8) at = l3 + 40;
  const auto mask =
      static_cast<std::uint16_t>(dice_.chance(70) ? 1U << dice_(16) : 1 + dice_(0xfffe));
  const auto old = static_cast<std::uint16_t>(b[at] << 8 | b[at + 1]);
  const auto fresh = static_cast<std::uint16_t>(old ^ mask);
  if (static_cast<std::uint16_t>(old + fresh) == 0xffff && (old == 0 || fresh == 0)) return;
  b[at] = static_cast<std::uint8_t>(fresh >> 8);
  b[at + 1] = static_cast<std::uint8_t>(fresh);
  flight.corrupt = true;
  flight.frame = decode(b);
}

// Marks congestion if the sender has said that it understands (RFC 3168 section 5).
void Links::mark_ce(Flight& flight) {
  if (!flight.frame || (flight.frame->traffic_class & 3U) == 0) return;
  Bytes& b = flight.bytes;
  const std::size_t l3 = 14 + flight.frame->tags.size() * 4;
  if (flight.frame->ipv6) {
    b[l3 + 1] |= 0x30;
  } else {
    const unsigned was = b[l3 + 1];
    b[l3 + 1] |= 3;
    unsigned sum = static_cast<unsigned>(b[l3 + 10] << 8 | b[l3 + 11]);
    sum = ~sum & 0xffffU;
    sum += (b[l3 + 1] - was);
    sum = (sum & 0xffffU) + (sum >> 16);
    sum = ~sum & 0xffffU;
    b[l3 + 10] = static_cast<std::uint8_t>(sum >> 8);
    b[l3 + 11] = static_cast<std::uint8_t>(sum);
  }
  flight.frame = decode(b);
}

void Links::push(Role side, bool to_proxy, Flight flight, std::uint64_t at) {
  std::uint32_t slot = 0;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.push_back(std::move(flight));
  } else {
    slot = free_.back();
    free_.pop_back();
    slots_[slot] = std::move(flight);
  }
  heap_.push_back({at, order_++, slot, side, to_proxy});
  std::push_heap(heap_.begin(), heap_.end());
}

void Links::launch(Role side, bool to_proxy, Flight flight, std::uint64_t now) {
  const LinkPlan& l = plan_.links[side == Role::kClient ? 0 : 1][to_proxy ? 1 : 0];
  if (dice_.permille(l.drop)) return;
  const auto at = [&] { return now + 1 + l.delay + dice_(l.jitter); };
  if (dice_.permille(l.duplicate)) push(side, to_proxy, flight, at());
  // Damaged twice, it might be whole again.
  if (dice_.permille(l.corrupt) && !flight.corrupt) damage(flight);
  if (dice_.permille(l.mark_ce)) mark_ce(flight);
  push(side, to_proxy, std::move(flight), at());
}

Links::Arrival Links::take() {
  std::pop_heap(heap_.begin(), heap_.end());
  const Entry e = heap_.back();
  heap_.pop_back();
  free_.push_back(e.slot);
  return {e.side, e.to_proxy, std::move(slots_[e.slot])};
}

void Links::clear() {
  heap_.clear();
  slots_.clear();
  free_.clear();
}

}  // namespace synproxy::test::sim
