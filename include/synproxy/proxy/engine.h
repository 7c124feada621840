// SPDX-License-Identifier: BSD-3-Clause
// The engine of one worker: packets and time in, verdicts and frames out. No I/O, no clock, no
// allocation after construction. Its parts: src/core/proxy/burst/rooms.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "synproxy/base/config.h"
#include "synproxy/base/counters.h"
#include "synproxy/base/packet.h"
#include "synproxy/base/published.h"
#include "synproxy/cookie/key_ring.h"
#include "synproxy/flow/arena.h"
#include "synproxy/flow/key.h"
#include "synproxy/flow/record.h"
#include "synproxy/flow/replay_filter.h"
#include "synproxy/policy/activation_list.h"
#include "synproxy/policy/known_sources.h"
#include "synproxy/policy/protect.h"
#include "synproxy/policy/refused_sources.h"
#include "synproxy/proxy/carried.h"
#include "synproxy/proxy/flow_info.h"
#include "synproxy/proxy/offload_table.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

class ServerPlaces;
class SourceLimits;
struct ServiceTunings;
struct SourceLists;
class StatelessShedder;

class Engine {
 public:
  // `keys` and `protect` outlive the engine and are shared by all workers; `index_key` is random,
  // the same for all workers of a process. `store`: store_bytes() of memory for all that is to
  // outlive the engine, beginning on a page, and outliving it; empty: nothing is. Throws
  // std::bad_alloc.
  Engine(const EngineConfig& config, const ProtectSet& protect, const KeyRing& keys,
         std::array<std::uint64_t, 4> index_key, Counters& counters,
         std::span<std::byte> store = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] static std::size_t store_bytes(const EngineShape& shape, const ProtectSet& protect);
  // Goes on with what an engine of the same shape and index key has left in the store, whenever it
  // ended, or with nothing in a store of zeroes. What no engine can have written is dropped. Call
  // it once, after limit_by() and before the first packet, if there is a store. `now_ms` goes on
  // from that engine's.
  Found resume(std::uint64_t now_ms);

  // --- From one process to the next one that runs already (carried.h).
  // The giver. Until the last pass it may go on beside this, on its own thread; in the last one it
  // rests, and may go on if nobody takes over.
  [[nodiscard]] CarryBook begin_carrying() const;
  // `last`: the engine rests.
  void begin_pass(CarryBook& book, bool last);
  // Where a pass ends: over records, and over lines of cookies that were used.
  [[nodiscard]] FlowIndex flows_to_carry(const CarryBook& book) const;
  [[nodiscard]] std::uint32_t replays_to_carry() const;
  // Finds what the taker has not got, from `from` to `to`; `out` has room for all of it. Returns
  // how many there are. Parts may be searched at the same time.
  [[nodiscard]] std::size_t find_changed_flows(const CarryBook& book, FlowIndex from, FlowIndex to,
                                               std::span<FlowIndex> out) const;
  [[nodiscard]] std::size_t find_changed_replays(const CarryBook& book, std::uint32_t from,
                                                 std::uint32_t to,
                                                 std::span<std::uint32_t> out) const;
  // Copies them: `out` is as long.
  void carry_flows(CarryBook& book, std::span<const FlowIndex> flows,
                   std::span<CarriedFlow> out) const;
  void carry_replays(CarryBook& book, std::span<const std::uint32_t> lines,
                     std::span<CarriedReplay> out) const;
  // What was learned of servers; valid until the next packet.
  [[nodiscard]] std::span<const std::byte> carry_services() const;
  // The taker: services first, everything before its first packet and after limit_by(). `now_ms`
  // goes on from the giver's.
  void adopt_services(std::span<const std::byte> carried, std::uint64_t now_ms);
  void adopt_replays(std::span<const CarriedReplay> carried, std::uint64_t now_ms);
  // Returns where it stands now; kNoFlow: no engine can have written it, or there is no room.
  [[nodiscard]] FlowIndex adopt(const CarriedFlow& carried, std::uint64_t now_ms);
  // Takes back what was adopted: newer data about it has come.
  void forget(FlowIndex index);
  // After the last one.
  void count_adopted(const Found& found);

  // Decides at most kMaxBurst packets that one `sender` sent, in order, and rewrites them in place.
  // `now_ms`: monotonic milliseconds since the start of the process.
  void process(Role sender, std::span<Packet> burst, std::uint64_t now_ms, FrameSink& sink);

  // A packet that another engine has put together from fragments and handed over (FrameSink).
  // Whatever leaves goes to `sink`; the caller frees the buffer.
  void process_whole(Role sender, Packet& whole, const CameInFragments& came, std::uint64_t now_ms,
                     FrameSink& sink);
  // With several workers: what they all know about who sends fragments. Outlives the engine.
  void share_sources(KnownSources& sources);

  // From the first call on, the limits of the tuning apply: `limits` holds what sources have spent
  // of them. All workers share one, which outlives their engines.
  // `service`: that has limits of its own; 0: for all others.
  void limit_by(SourceLimits& limits, NamedServiceId service = 0);
  // With several workers: the places of each service (--server-backlog) that all of them fill.
  // Outlives the engine.
  void share_places(ServerPlaces& places);
  // The sources that are over a limit; for any thread.
  [[nodiscard]] const Published<RefusedList>& refused() const;

  // The services that have cookies because of an attack (--mode adaptive); for any thread.
  [[nodiscard]] const Published<ActiveList>& active_services() const;

  // From the next burst on these lists are in force. nullptr: none. They outlive the next call.
  void use_lists(const SourceLists* lists);
  // For a caller that lets clients' packets wait: drops and counts now what process() would drop by
  // the lists or the TTL alone. Bit i of the result: the i-th packet.
  [[nodiscard]] bool screens() const;
  [[nodiscard]] std::uint32_t screen(std::span<Packet> burst);

  // Does a slice of the repeats and of the ageing. Call about every millisecond, with or without
  // load.
  void tick(std::uint64_t now_ms, FrameSink& sink);

  // Puts `tuning` in force from the next burst on. What was promised before is kept
  // (proxy/earlier_tuning.h). Until the first call the tuning of the constructor is in force.
  // `services`: what those with names have of their own; nullptr: as before.
  void retune(const EngineTuning& tuning, const ServiceTunings* services = nullptr);

  // While `shedder` says so, it decides which clients' ACKs without a flow, and which ICMP, are
  // looked at. It outlives the engine. Until the first call all are.
  void shed_by(const StatelessShedder& shedder);
  // How many such packets ever came.
  [[nodiscard]] std::uint64_t stateless() const;

  // --- Connections that the kernel carries (offload_slot.h).
  // Before the first packet: where to. `table` outlives the engine. Throws std::bad_alloc.
  void offload_to(const OffloadTable& table);
  // Not `allowed`: all are taken back, and none is given to the kernel.
  void allow_offloads(bool allowed);
  // What the last process() has let pass is sent: the kernel may go on behind it.
  void sent();
  // Takes all back, for who is going to rest.
  void end_offloads();
  // What the kernel has carried since the last call. The engine's own counters have it too.
  [[nodiscard]] Offloaded take_offloaded();

  // Copies the flows of the records from `from` on, until `out` is full or `looks` records have
  // been seen.
  [[nodiscard]] FlowSlice copy_flows(FlowIndex from, std::uint32_t looks, std::span<FlowInfo> out,
                                     std::uint64_t now_ms) const;
  // The same for what was learned of servers.
  [[nodiscard]] FlowSlice copy_services(FlowIndex from, std::uint32_t looks,
                                        std::span<ServiceInfo> out) const;
  // Ends a flow that copy_flows() has shown, with a RST to both ends. False: it is gone.
  bool delete_flow(FlowIndex index, const FlowKey& key, std::uint64_t now_ms, FrameSink& sink);

  [[nodiscard]] std::uint32_t flows() const;
  // A copy of the connection's record.
  [[nodiscard]] std::optional<FlowRecord> flow(const FlowKey& key) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Finds the connection that a frame belongs to, or that an ICMP error quotes. Both directions give
// the same key. False for everything that is not protected TCP.
[[nodiscard]] bool flow_of(std::span<const std::uint8_t> frame, Role sender,
                           const ProtectSet& protect, FlowKey& key);
// The same. `seen`: what the frame is.
[[nodiscard]] bool flow_of(std::span<const std::uint8_t> frame, Role sender,
                           const ProtectSet& protect, FlowKey& key, Segment& seen);

}  // namespace synproxy
