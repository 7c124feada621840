// SPDX-License-Identifier: BSD-3-Clause
#include "spliced/offloads.h"

#include <atomic>
#include <cstring>

#include "burst/rooms.h"
#include "spliced/progress.h"
#include "synproxy/proxy/offload_carry.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {
namespace {

static_assert(OFFLOAD_ETHERNET == kEthernetHeader && OFFLOAD_IPV4 == kIpv4Header &&
              OFFLOAD_IPV6 == kIpv6Header && OFFLOAD_TCP == kTcpHeader &&
              OFFLOAD_TCP_TIMESTAMPS == kTcpHeader + kTimestampsAlone.bytes() &&
              OFFLOAD_LINK_BYTES == 2 * kMacAddress);
static_assert(OFFLOAD_CLIENT == static_cast<unsigned>(Role::kClient) &&
              OFFLOAD_SERVER == static_cast<unsigned>(Role::kServer));

// The kernel writes these while we read, and the other way round.
template <typename T>
T load(T& shared) {
  return std::atomic_ref<T>(shared).load(std::memory_order_relaxed);
}
template <typename T>
void store(T& shared, T value) {
  std::atomic_ref<T>(shared).store(value, std::memory_order_relaxed);
}
std::atomic_ref<std::uint32_t> state_of(OffloadSlot& slot) { return std::atomic_ref(slot.state); }

void move_on(std::uint32_t& next, std::uint32_t to) {
  if (SeqNum(to).after(SeqNum(load(next)))) store(next, to);
}

OffloadKey key_for(const FlowKey& key) {
  OffloadKey out{};
  std::memcpy(out.client, key.client.data(), ip_address_size(key.ipv6));
  std::memcpy(out.server, key.server.data(), ip_address_size(key.ipv6));
  out.client_port = be16(key.client_port).raw();
  out.server_port = be16(key.server_port).raw();
  out.ipv6 = key.ipv6 ? 1 : 0;
  return out;
}

// Both ends are through their handshakes, nobody has begun to close, and all that is left to do
// with a segment that fits is to translate and count it.
bool is_plain(const FlowRecord& f) {
  constexpr std::uint16_t kNeedsUs = kFlowClientFin | kFlowServerFin | kFlowClientFinAhead;
  return f.state() == FlowState::kEstablished && f.has(kFlowServerAcked) && !f.has(kNeedsUs) &&
         !f.server_fin_ahead() && !f.doubted() &&
         (f.translated() ? (f.options & kFlowServerNoEcn) == 0 : f.watched() && !f.adopted());
}

// Everything but the state of its slot. False: its segments need the engine.
bool describe(const Rooms& rooms, const Context& c, const FlowRecord& f, OffloadSlot& out) {
  const Segment& g = c.segment;
  if (!is_plain(f)) return false;
  const FlowKey key = rooms.flows.key_of(c.flow);
  const Link* const link = rooms.frames.link_of(f);
  if (key.vlan.tags() != 0 || link == nullptr) return false;
  const bool timestamps = are_timestamps_alone(g.options(), g.options_size());
  if (!timestamps && g.options_size() != 0) return false;
  out.key = key_for(key);
  out.delta = f.spliced().delta;
  out.ts_delta = f.spliced().ts_delta;
  out.offered_scale = f.offered_scale();
  const bool silent = f.has(kFlowFirstByteDue);
  out.flags = (timestamps ? OFFLOAD_TIMESTAMPS : 0) | (f.translated() ? OFFLOAD_TRANSLATES : 0) |
              (f.only_client_scales() ? OFFLOAD_SERVER_UNSCALED : 0) |
              (silent ? OFFLOAD_SERVER_SILENT : 0);
  OffloadEnd& client = out.end[OFFLOAD_CLIENT];
  OffloadEnd& server = out.end[OFFLOAD_SERVER];
  client.next = f.client_nxt;
  client.acked = f.acked_by_client();
  client.longest = ~0U;
  if (rooms.too_long.has(c.flow)) {
    const std::uint16_t shown = rooms.answerer.services().shown_mss(KeyView(key));
    client.longest = TooLong::room_for(g, shown != 0 ? shown : default_mss(g.ipv6));
  }
  client.window_bound = client_window_bound(f);
  client.window_scale = static_cast<std::uint8_t>(f.client_scale());
  client.min_ttl = rooms.services.tuning(KeyView(key)).min_ttl;
  std::memcpy(client.link, link->to(Role::kServer).bytes.data(), OFFLOAD_LINK_BYTES);
  server.next = f.server_nxt;
  server.acked = f.acked_by_server();
  server.longest = ~0U;
  server.window_bound = server_window_bound(f);
  server.window_scale = static_cast<std::uint8_t>(f.server_scale());
  std::memcpy(server.link, link->to(Role::kClient).bytes.data(), OFFLOAD_LINK_BYTES);
  return true;
}

// What note() of spliced/progress.h does with one segment, for all that the kernel has carried. The
// kernel has moved `next` already, and no segment of these has a FIN.
void take_over(Rooms& rooms, FlowIndex i, FlowRecord& f) {
  const Offloads::News news = rooms.offloads.look(i);
  if (news.packets == 0) return;
  renew(rooms, f);
  if (news.client_repeats) note_repeat(rooms, f, i, Role::kClient);
  if (news.server_repeats) note_repeat(rooms, f, i, Role::kServer);
  if (SeqNum(news.client_next).after(SeqNum(f.client_nxt))) {
    f.client_nxt = news.client_next;
    // The client has sent new data, or the server acknowledged over a gap. The kernel does not tell
    // which, but without a segment of the client it was the latter.
    if (news.of_client) f.clear(kFlowMarked);
  }
  if (SeqNum(news.server_next).after(SeqNum(f.server_nxt))) f.server_nxt = news.server_next;
  if (news.of_client) f.client_acks(news.client_acked);
  if (news.of_server) f.server_acks(news.server_acked);
  const auto key = [&] { return rooms.flows.key_of(i); };
  rooms.services.count(key, fate_of(f), news.packets);
  rooms.services.count(key, Reason::segment_offloaded, news.packets);
}

}  // namespace

void Offloads::use(const OffloadTable& table, std::uint32_t max_flows) {
  carried_.reserve(OFFLOAD_SLOTS);
  places_.assign(max_flows, 0);
  table_ = table;
}

bool Offloads::begins() const { return table_.there() && allowed_ && load(table_.shared->on) != 0; }

bool Offloads::note_bulk(FlowIndex i, std::uint32_t payload, std::uint32_t now_ms) {
  const OffloadBulk& bulk = table_.bulk;
  if (payload < bulk.long_segment) return false;
  Candidate& c = candidates_[i % candidates_.size()];
  if (c.flow == kNoFlow || now_ms - c.since_ms > bulk.ms) {
    c = {i, 0, now_ms};
  } else if (c.flow != i) {
    return false;  // its time comes; else two that share a place would hinder each other for ever
  }
  c.bytes += payload;
  if (c.bytes < bulk.bytes) return false;
  c = {};
  return true;
}

void Offloads::show_later(FlowIndex i) {
  if (shows_ != show_.size()) show_[shows_++] = i;
}

void Offloads::begin_later(FlowIndex i, const FlowRecord& f, const OffloadSlot& slot) {
  if (begins_count_ != begin_.size()) begin_[begins_count_++] = {i, f.cookie, slot};
}

bool Offloads::begin(FlowIndex i, const FlowRecord& f, const OffloadSlot& slot,
                     std::uint32_t now_ms) {
  if (carried_.size() == OFFLOAD_SLOTS) return false;
  const std::uint32_t first = offload_place(&slot.key, table_.shared->seed);
  for (std::uint32_t at = first; at < first + OFFLOAD_WAYS; ++at) {
    OffloadSlot& to = table_.slots[at];
    std::uint32_t expected = OFFLOAD_FREE;
    if (!state_of(to).compare_exchange_strong(expected, OFFLOAD_TAKEN)) continue;
    // The kernel does not look at a slot that is taken.
    const std::size_t kBehindState = sizeof to.state;
    std::memcpy(reinterpret_cast<std::byte*>(&to) + kBehindState,
                reinterpret_cast<const std::byte*>(&slot) + kBehindState, sizeof to - kBehindState);
    carried_.push_back({.flow = i,
                        .slot = at,
                        .cookie = f.cookie,
                        .client_isn = f.client_isn,
                        .since_ms = now_ms,
                        .looked_ms = now_ms});
    places_[i] = static_cast<std::uint16_t>(carried_.size());
    ++carried_now_;
    std::atomic_ref(table_.shared->carried).fetch_add(1, std::memory_order_relaxed);
    state_of(to).store(OFFLOAD_CARRIED, std::memory_order_release);
    return true;
  }
  return false;
}

std::uint64_t Offloads::count(Carried& c, unsigned sender) {
  OffloadEnd& end = table_.slots[c.slot].end[sender];
  const std::uint64_t packets = load(end.packets);
  const std::uint64_t bytes = load(end.bytes);
  const std::uint64_t news = packets - c.packets[sender];
  counts_.packets[sender] += news;
  counts_.bytes[sender] += bytes - c.bytes[sender];
  c.packets[sender] = packets;
  c.bytes[sender] = bytes;
  return news;
}

Offloads::News Offloads::look(FlowIndex i) {
  Carried& c = of(i);
  OffloadSlot& slot = table_.slots[c.slot];
  OffloadEnd& client = slot.end[OFFLOAD_CLIENT];
  OffloadEnd& server = slot.end[OFFLOAD_SERVER];
  const std::uint64_t by_client = count(c, OFFLOAD_CLIENT);
  const std::uint64_t by_server = count(c, OFFLOAD_SERVER);
  News news;
  news.packets = by_client + by_server;
  if (news.packets == 0) return news;
  news.of_client = by_client != 0;
  news.of_server = by_server != 0;
  news.client_next = load(client.next);
  news.server_next = load(server.next);
  news.client_acked = load(client.acked);
  news.server_acked = load(server.acked);
  const std::array<std::uint32_t, 2> repeats{load(client.repeats), load(server.repeats)};
  news.client_repeats = repeats[OFFLOAD_CLIENT] != c.repeats[OFFLOAD_CLIENT];
  news.server_repeats = repeats[OFFLOAD_SERVER] != c.repeats[OFFLOAD_SERVER];
  c.repeats = repeats;
  return news;
}

void Offloads::show(FlowIndex i, const FlowRecord& f) {
  OffloadSlot& slot = table_.slots[of(i).slot];
  OffloadEnd& client = slot.end[OFFLOAD_CLIENT];
  OffloadEnd& server = slot.end[OFFLOAD_SERVER];
  move_on(client.next, f.client_nxt);
  move_on(server.next, f.server_nxt);
  store(client.window_bound, client_window_bound(f));
  store(server.window_bound, server_window_bound(f));
  if (!f.has(kFlowFirstByteDue)) store(slot.flags, slot.flags & ~OFFLOAD_SERVER_SILENT);
}

void Offloads::take_back(FlowIndex i, std::uint32_t now_ms) {
  Carried& c = of(i);
  state_of(table_.slots[c.slot]).store(OFFLOAD_TAKEN, std::memory_order_release);
  c.flow = kNoFlow;
  --carried_now_;
  c.since_ms = now_ms;
  places_[i] = 0;
}

bool Offloads::is_same(FlowIndex i, const FlowRecord& f) const {
  const Carried& c = of(i);
  return f.cookie == c.cookie && f.client_isn == c.client_isn;
}

bool Offloads::is_quiet(FlowIndex i, std::uint32_t now_ms) {
  Carried& c = of(i);
  if (now_ms - c.looked_ms <= kQuietMs) return false;
  const std::uint64_t bytes = c.bytes[OFFLOAD_CLIENT] + c.bytes[OFFLOAD_SERVER];
  const bool quiet = bytes - c.looked_bytes < table_.bulk.least;
  c.looked_ms = now_ms;
  c.looked_bytes = bytes;
  return quiet;
}

void Offloads::begin_late(FlowIndex i, std::uint32_t now_ms) {
  Carried& c = of(i);
  if (c.begun || now_ms - c.since_ms < kBeginMs) return;
  for (OffloadEnd& end : table_.slots[c.slot].end) store(end.begun, 1U);
  c.begun = true;
}

void Offloads::free_rested(std::uint32_t now_ms) {
  for (std::size_t n = carried_.size(); n > 0; --n) {
    Carried& c = carried_[n - 1];
    if (c.flow != kNoFlow || now_ms - c.since_ms < kRestMs) continue;
    for (const unsigned sender : {OFFLOAD_CLIENT, OFFLOAD_SERVER}) {
      static_cast<void>(count(c, sender));
    }
    std::atomic_ref(table_.shared->carried).fetch_sub(1, std::memory_order_relaxed);
    state_of(table_.slots[c.slot]).store(OFFLOAD_FREE, std::memory_order_release);
    c = carried_.back();
    carried_.pop_back();
    if (n <= carried_.size() && c.flow != kNoFlow) places_[c.flow] = static_cast<std::uint16_t>(n);
  }
}

Offloaded Offloads::take_counts() {
  const Offloaded counts = counts_;
  counts_ = {};
  return counts;
}

void catch_up(Rooms& rooms, FlowIndex i) {
  if (!rooms.offloads.has(i)) return;
  FlowRecord& f = rooms.flows[i];
  if (rooms.offloads.is_same(i, f)) take_over(rooms, i, f);
}

void catch_up(Rooms& rooms, std::span<const Context> burst) {
  for (const Context& c : burst) {
    if (c.kind == Kind::kTcp && c.flow != kNoFlow) catch_up(rooms, c.flow);
  }
}

void settle(Rooms& rooms, std::span<const Context> burst) {
  Offloads& offloads = rooms.offloads;
  const bool begins = offloads.begins();
  const std::uint32_t now = rooms.now.ms32();
  for (const Context& c : burst) {
    if (c.kind != Kind::kTcp || c.flow == kNoFlow) continue;
    const FlowRecord& f = rooms.flows[c.flow];
    if (offloads.has(c.flow)) {
      if (offloads.is_same(c.flow, f) && is_plain(f)) {
        offloads.show_later(c.flow);
      } else {
        offloads.take_back(c.flow, now);
      }
    } else if (begins && c.packet->verdict == Verdict::kForward &&
               offloads.note_bulk(c.flow, c.segment.payload_length, now)) {
      OffloadSlot slot{};
      if (describe(rooms, c, f, slot)) offloads.begin_later(c.flow, f, slot);
    }
  }
}

void publish_offloads(Rooms& rooms) {
  Offloads& offloads = rooms.offloads;
  offloads.publish(
      [&](FlowIndex i) {
        const FlowRecord& f = rooms.flows[i];
        if (offloads.has(i) && offloads.is_same(i, f)) offloads.show(i, f);
      },
      [&](FlowIndex i, std::uint32_t cookie, OffloadSlot& slot) {
        const FlowRecord& f = rooms.flows[i];
        if (!offloads.begins() || offloads.has(i) || f.cookie != cookie || !is_plain(f)) return;
        slot.end[OFFLOAD_CLIENT].next = f.client_nxt;
        slot.end[OFFLOAD_SERVER].next = f.server_nxt;
        if (!offloads.begin(i, f, slot, rooms.now.ms32())) return;
        rooms.services.count([&] { return rooms.flows.key_of(i); }, Reason::flow_offloaded);
      });
}

void tick_offloads(Rooms& rooms) {
  Offloads& offloads = rooms.offloads;
  publish_offloads(rooms);
  const std::uint32_t now = rooms.now.ms32();
  offloads.each([&](FlowIndex i) {
    FlowRecord& f = rooms.flows[i];
    const bool same = offloads.is_same(i, f);
    if (same) take_over(rooms, i, f);
    if (!same || !is_plain(f) || offloads.is_quiet(i, now)) {
      offloads.take_back(i, now);
    } else {
      offloads.begin_late(i, now);
    }
  });
  offloads.free_rested(now);
}

void end_offloads(Rooms& rooms) {
  Offloads& offloads = rooms.offloads;
  const std::uint32_t now = rooms.now.ms32();
  offloads.each([&](FlowIndex i) {
    FlowRecord& f = rooms.flows[i];
    if (offloads.is_same(i, f)) take_over(rooms, i, f);
    offloads.take_back(i, now);
  });
}

}  // namespace synproxy
