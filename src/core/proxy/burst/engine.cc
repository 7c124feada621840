// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/engine.h"

#include <algorithm>
#include <utility>

#include "burst/rooms.h"
#include "burst/stages.h"
#include "burst/turn_answers.h"
#include "flows/shown_flow.h"
#include "handshake/take_turns.h"
#include "synproxy/flow/huge_pages.h"
#include "time/pass_time.h"
#include "time/resume.h"
#include "watched/watched.h"

namespace synproxy {

struct Engine::State : Rooms {
  using Rooms::Rooms;
};

namespace {

[[nodiscard]] Vectors vectors_for(const EngineConfig& config) {
  return std::min(config.most_vectors, cpu_vectors());
}

}  // namespace

Rooms::Rooms(const EngineConfig& config, const ProtectSet& protected_ends, const KeyRing& ring,
             const IndexKey& index_key, Counters& all_counters, Arena* store,
             bool store_in_huge_pages)
    : protect(protected_ends),
      counters(all_counters),
      services(protected_ends, all_counters, config.tuning),
      now(config, ring),
      screen(config.tuning),
      limiter(config, now, services),
      turns(config, now, services, index_key),
      watch(config),
      flows(config.shape, index_key, limiter, turns, watch.activation, services, store),
      answerer(config.tuning, protected_ends, index_key, watch.activation, services, store),
      reply_cap(config.tuning.limits, config.shape.workers, index_key),
      handshakes(config.shape),
      frames(flows, protected_ends.vlan_pairs(), index_key, all_counters, store),
      too_long(config.shape.max_flows, all_counters),
      felt(protected_ends, all_counters.felt),
      vlans_paired(!protected_ends.vlan_pairs().empty()),
      turns_answers(frames.turns_answers()),
      adopts(config.shape.adopt_ms != 0),
      in_huge_pages(store == nullptr || store_in_huge_pages),
      kernels(kernels_for(vectors_for(config))),
      mac_kernel(siphash24_kernel(vectors_for(config))),
      reassembler(index_key, all_counters),
      adoption(config.shape) {
  reassembler.monitor_tiny((config.tuning.limits.monitored & kMonitorFragments) != 0);
  flows.let_watch();
}

namespace {

// The headers lie in at most two cache lines, wherever the device has put them.
void prefetch_headers(std::span<const Packet> burst) {
  for (const Packet& p : burst) {
    __builtin_prefetch(p.data, 1);
    __builtin_prefetch(p.data + 64, 1);
  }
}

// Sites without paired VLANs pay one test per burst for this.
void name_vlans(Rooms& rooms, Role sender, std::span<Packet> burst) {
  for (std::size_t i = 0; i < burst.size(); ++i) {
    name_vlan_of(rooms, sender, burst[i], rooms.arrivals[i]);
  }
}

// Packets that quote no valid cookie and have no flow.
void end_all(Rooms& rooms, std::span<Packet> burst) {
  const bool pass = rooms.services.tuning(0).forwards_unknown();
  const Reason fate = pass ? Reason::unknown_forwarded : Reason::cookie_invalid;
  for (Packet& p : burst) p.decide(pass ? Verdict::kForward : Verdict::kDrop, fate);
  rooms.acks_refuted = static_cast<std::uint32_t>(burst.size());
  rooms.stateless += burst.size();
  rooms.counters.count(fate, burst.size());
  if (rooms.services.tuning(0).monitors_unknown()) {
    rooms.counters.count(Reason::unknown_monitored, burst.size());
  }
}

// Makes the contexts of a burst. Packets of `decided` are done; those of `refuted` quote no valid
// cookie.
std::span<Context> contexts_for(Rooms& rooms, Role sender, std::span<Packet> packets,
                                std::uint32_t decided, std::uint32_t refuted) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    if ((decided >> i & 1U) != 0) continue;
    Context& c = rooms.contexts[n++];
    c.packet = &packets[i];
    c.sender = sender;
    c.kind = Kind::kTcp;
    if ((refuted >> i & 1U) != 0) {
      c.kind = Kind::kRefuted;
      c.flow = kNoFlow;
      c.ack.refuted = true;
    }
  }
  return {rooms.contexts.data(), n};
}

// After each turn that may have changed flows.
void end_turn(Rooms& rooms) {
  rooms.limiter.end_burst();
  rooms.counters.flows.set(rooms.flows.size());
  rooms.counters.flows_embryonic.set(rooms.flows.embryonic());
  rooms.counters.flows_established.set(rooms.flows.established());
  if (rooms.offloads.there()) rooms.counters.flows_offloaded.set(rooms.offloads.carried());
  if (rooms.turns.watches()) rooms.counters.flows_waiting.set(rooms.turns.waiting());
  rooms.counters.early_buffers.set(rooms.handshakes.early_buffers());
}

}  // namespace

void name_vlan_of(const Rooms& rooms, Role sender, Packet& packet, Arrival& found) {
  if (packet.arrival != nullptr) return;
  static_cast<void>(owner_of({packet.data, packet.length}, sender, rooms.protect,
                             rooms.flows.index_key(), 1, 0, found));
  packet.arrival = &found;
}

Engine::Engine(const EngineConfig& config, const ProtectSet& protect, const KeyRing& keys,
               std::array<std::uint64_t, 4> index_key, Counters& counters,
               std::span<std::byte> store) {
  Arena arena(store);
  state_ = std::make_unique<State>(config, protect, keys, index_key, counters,
                                   store.empty() ? nullptr : &arena, hold_in_huge_pages(store));
}
Engine::~Engine() = default;

std::size_t Engine::store_bytes(const EngineShape& shape, const ProtectSet& protect) {
  return FlowBook::store_bytes(shape) + ServiceTable::store_bytes(protect) +
         LinkTable::store_bytes();
}

Found Engine::resume(std::uint64_t now_ms) {
  Rooms& rooms = *state_;
  rooms.now.begin(now_ms);
  rooms.now.expect_earlier_cookies();
  const Found found = synproxy::resume(rooms);
  end_turn(rooms);
  return found;
}

CarryBook Engine::begin_carrying() const {
  return {state_->flows.capacity(), state_->flows.replays().lines()};
}

void Engine::begin_pass(CarryBook& book, bool last) {
  if (last) state_->flows.replays().settle();
  for (std::size_t i = 0; i < book.links.size(); ++i) {
    book.links[i] = state_->frames.link_digest(i);
  }
}

FlowIndex Engine::flows_to_carry(const CarryBook& book) const {
  return std::max(book.flows_end, state_->flows.high_water());
}

std::uint32_t Engine::replays_to_carry() const { return state_->flows.replays().lines(); }

std::size_t Engine::find_changed_flows(const CarryBook& book, FlowIndex from, FlowIndex to,
                                       std::span<FlowIndex> out) const {
  return synproxy::find_changed_flows(*state_, book, from, to, out);
}

std::size_t Engine::find_changed_replays(const CarryBook& book, std::uint32_t from,
                                         std::uint32_t to, std::span<std::uint32_t> out) const {
  const Rooms& rooms = *state_;
  return rooms.flows.replays().find_changed(book.replays, from, to, rooms.now.epoch(), out);
}

void Engine::carry_flows(CarryBook& book, std::span<const FlowIndex> flows,
                         std::span<CarriedFlow> out) const {
  for (std::size_t i = 0; i < flows.size(); ++i) out[i] = carry_flow(*state_, book, flows[i]);
}

void Engine::carry_replays(CarryBook& book, std::span<const std::uint32_t> lines,
                           std::span<CarriedReplay> out) const {
  const ReplayFilter& replays = state_->flows.replays();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    out[i] = replays.carry(lines[i], book.replays, book.replay_entries);
  }
}

std::span<const std::byte> Engine::carry_services() const {
  return state_->answerer.services().carried();
}

void Engine::adopt_services(std::span<const std::byte> carried, std::uint64_t now_ms) {
  Rooms& rooms = *state_;
  rooms.now.begin(now_ms);
  rooms.now.expect_earlier_cookies();
  rooms.answerer.services().adopt(carried, rooms.now.epoch());
}

void Engine::adopt_replays(std::span<const CarriedReplay> carried, std::uint64_t now_ms) {
  Rooms& rooms = *state_;
  rooms.now.begin(now_ms);
  for (const CarriedReplay& line : carried) rooms.flows.replays().adopt(line, rooms.now.epoch());
}

FlowIndex Engine::adopt(const CarriedFlow& carried, std::uint64_t now_ms) {
  state_->now.begin(now_ms);
  return synproxy::adopt(*state_, carried);
}

void Engine::forget(FlowIndex index) {
  state_->too_long.forget(index);
  state_->flows.let_go(index);
}

void Engine::count_adopted(const Found& found) {
  state_->counters.count(Reason::flow_resumed, found.kept);
  state_->counters.count(Reason::flow_unfit, found.dropped);
  end_turn(*state_);
}

std::uint32_t Engine::flows() const { return state_->flows.size(); }

std::optional<FlowRecord> Engine::flow(const FlowKey& key) const {
  const FlowIndex i = state_->flows.find(key);
  if (i == kNoFlow) return std::nullopt;
  return std::as_const(state_->flows)[i];
}

FlowSlice Engine::copy_flows(FlowIndex from, std::uint32_t looks, std::span<FlowInfo> out,
                             std::uint64_t now_ms) const {
  return synproxy::copy_flows(state_->flows, now_ms, from, looks, out);
}

FlowSlice Engine::copy_services(FlowIndex from, std::uint32_t looks,
                                std::span<ServiceInfo> out) const {
  return synproxy::copy_services(state_->answerer.services(), from, looks, out);
}

bool Engine::delete_flow(FlowIndex index, const FlowKey& key, std::uint64_t now_ms,
                         FrameSink& sink) {
  Rooms& rooms = *state_;
  rooms.now.begin(now_ms);
  rooms.flows.begin_burst();
  const bool deleted = synproxy::delete_flow(rooms, index, key, sink);
  end_turn(rooms);
  return deleted;
}

void Engine::retune(const EngineTuning& tuning, const ServiceTunings* services) {
  Rooms& rooms = *state_;
  const bool news = rooms.now.retune(tuning);
  if (!news && services == nullptr) return;
  rooms.services.retune(tuning, services);
  rooms.watch.retune(rooms.services);
  rooms.answerer.retuned(rooms.now);
  rooms.limiter.retune(tuning.limits);
  rooms.turns.retune();
  rooms.flows.let_watch();
  rooms.reply_cap.retune(tuning.limits);
  rooms.reassembler.monitor_tiny((tuning.limits.monitored & kMonitorFragments) != 0);
  rooms.screen.retune(rooms.services.min_ttl());
  synproxy::end_offloads(rooms);  // rules for packets may have changed
}

void Engine::offload_to(const OffloadTable& table) {
  state_->offloads.use(table, state_->flows.capacity());
}
void Engine::allow_offloads(bool allowed) {
  state_->offloads.allow(allowed);
  if (!allowed && state_->offloads.any()) synproxy::end_offloads(*state_);
}
void Engine::sent() {
  if (state_->offloads.any()) publish_offloads(*state_);
}
void Engine::end_offloads() { synproxy::end_offloads(*state_); }
Offloaded Engine::take_offloaded() { return state_->offloads.take_counts(); }

void Engine::shed_by(const StatelessShedder& shedder) { state_->shedder = &shedder; }
std::uint64_t Engine::stateless() const { return state_->stateless; }

void Engine::process(Role sender, std::span<Packet> burst, std::uint64_t now_ms, FrameSink& sink) {
  Rooms& rooms = *state_;
  rooms.now.begin(now_ms);
  rooms.flows.begin_burst();
  const std::span<Packet> packets = burst.first(std::min(burst.size(), kMaxBurst));
  prefetch_headers(packets);
  if (rooms.vlans_paired) [[unlikely]]
    name_vlans(rooms, sender, packets);
  const NamedServices::Tally tally(rooms.services, sender, packets);
  std::uint32_t decided = 0;
  std::uint32_t refuted = 0;
  if (sender == Role::kClient) {
    if (rooms.screen.on()) [[unlikely]] {
      decided = screen_burst(rooms, packets, tally);
      if (decided != 0 && decided == (~0U >> (kMaxBurst - packets.size()))) return;
    }
    decided |= answer_syn_burst(rooms, packets, decided);
    // An ACK that quotes no cookie may be of a connection that is older than the proxy.
    if (!rooms.adopts) [[likely]]
      refuted = refute_ack_burst(rooms, packets, decided);
    if (refuted != 0 && refuted == (~0U >> (kMaxBurst - packets.size())) &&
        !rooms.services.unknowns_differ()) {
      return end_all(rooms, packets);
    }
    rooms.many_refuted = rooms.acks_refuted >= kFewestLanes;
    rooms.acks_refuted = 0;
  }
  const std::span<Context> contexts = contexts_for(rooms, sender, packets, decided, refuted);
  if (contexts.empty()) {  // a flood of SYNs: no flow came or went
    if (rooms.turns_answers) turn_answers(rooms, sender, packets, contexts);
    return;
  }
  classify_and_look_up(rooms, contexts);
  if (sender == Role::kClient) make_and_check_cookies(rooms, contexts);
  act(rooms, contexts, sink);
  if (rooms.turns.due()) [[unlikely]]
    take_turns(rooms, false, sink);
  if (rooms.turns_answers) turn_answers(rooms, sender, packets, contexts);
  end_turn(rooms);
}

void Engine::share_sources(KnownSources& sources) { state_->sources = &sources; }

void Engine::use_lists(const SourceLists* lists) {
  state_->screen.use(lists);
  state_->services.note_lists(lists != nullptr && lists->differ());
  synproxy::end_offloads(*state_);
}
bool Engine::screens() const { return state_->screen.on(); }
std::uint32_t Engine::screen(std::span<Packet> burst) {
  const std::span<Packet> packets = burst.first(std::min(burst.size(), kMaxBurst));
  NamedServices::Tally tally(state_->services, Role::kClient, packets);
  const std::uint32_t dropped = screen_burst(*state_, packets, tally, true);
  tally.only(dropped);
  return dropped;
}

void Engine::share_places(ServerPlaces& places) { state_->turns.share(places); }
void Engine::limit_by(SourceLimits& limits, NamedServiceId service) {
  state_->limiter.share(limits, service);
  state_->flows.let_watch();
}
const Published<ActiveList>& Engine::active_services() const {
  return state_->watch.active.published();
}
const Published<RefusedList>& Engine::refused() const { return state_->limiter.refused().list(); }

void Engine::process_whole(Role sender, Packet& whole, const CameInFragments& came,
                           std::uint64_t now_ms, FrameSink& sink) {
  Rooms& rooms = *state_;
  rooms.now.begin(now_ms);
  rooms.flows.begin_burst();
  decide_whole(rooms, sender, whole, came, sink);
  if (rooms.turns.due()) take_turns(rooms, false, sink);
  end_turn(rooms);
}

void Engine::tick(std::uint64_t now_ms, FrameSink& sink) {
  Rooms& rooms = *state_;
  rooms.now.begin(now_ms);
  pass_time(rooms, sink);
  rooms.reassembler.tick(now_ms);
  rooms.limiter.refused().tick(now_ms);
  tick_watch(rooms);
  const EpochKeys* keys = rooms.now.keys().current();
  rooms.counters.cookies_tight.set(keys != nullptr && keys->plain.tight ? 1 : 0);
  if (rooms.adopts) rooms.adopts = rooms.adoption.goes_on(now_ms);
  end_turn(rooms);
}

}  // namespace synproxy
