// SPDX-License-Identifier: BSD-3-Clause
// The connections that the kernel carries for this worker (synproxy/proxy/offload_slot.h).
//
// Theory of operation. A connection that brings much in a short time is written into a slot of the
// table (note_bulk). From then on the kernel carries its plain segments, and the engine sees only
// what needs it: the first and the last ones, resets, SACK blocks, ICMP errors. Whatever the engine
// decides about such a connection, it first takes over what the kernel has noted (catch_up), and
// afterwards shows the kernel the numbers that it has moved itself, or takes the connection back
// (settle). In between, each tick catches up with all of them, so that ageing, the watch for
// servers that crawl, and the counters see what passes.
//
// The engine takes a connection back when it is not plainly established any more, when the kernel
// has carried nothing of it for a while, and when a rule for packets changes. The slot then rests,
// because the kernel may be about to write to it, and is free after that.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "burst/packet_context.h"
#include "synproxy/base/packet.h"
#include "synproxy/flow/record.h"
#include "synproxy/proxy/offload_table.h"

namespace synproxy {

struct Rooms;

class Offloads {
 public:
  static constexpr std::uint32_t kQuietMs = 1000;  // then it is looked at how much it has brought
  // An end that sends without a pause begins after this time.
  static constexpr std::uint32_t kBeginMs = 30;
  // Of a slot that is given back. The kernel is done with a frame in a microsecond, unless the
  // virtual CPU that it runs on stands still just then.
  static constexpr std::uint32_t kRestMs = 100;

  // Before the first packet. Throws std::bad_alloc.
  void use(const OffloadTable& table, std::uint32_t max_flows);

  [[nodiscard]] bool there() const { return table_.there(); }
  // Whether any connection is carried, a slot rests, or anything is to be published.
  [[nodiscard]] bool any() const { return !carried_.empty() || shows_ + begins_count_ != 0; }
  [[nodiscard]] bool has(FlowIndex i) const {
    return any() && i < places_.size() && places_[i] != 0;
  }

  [[nodiscard]] std::uint32_t carried() const { return carried_now_; }

  // While false, none is begun; those that are carried go on.
  void allow(bool allowed) { allowed_ = allowed; }
  [[nodiscard]] bool begins() const;

  // For a segment that was passed on (OffloadBulk): true once its connection is to be offered to
  // the kernel.
  [[nodiscard]] bool note_bulk(FlowIndex i, std::uint32_t payload, std::uint32_t now_ms);
  // For after the burst: shows what the engine has moved; gives the connection to the kernel.
  // `slot`: everything but its state.
  void show_later(FlowIndex i);
  void begin_later(FlowIndex i, const FlowRecord& f, const OffloadSlot& slot);
  // Calls show(index), and begin(index, cookie, slot), for all of these.
  template <typename Show, typename Begin>
  void publish(Show&& show, Begin&& begin) {
    for (std::size_t n = 0; n < shows_; ++n) show(show_[n]);
    for (std::size_t n = 0; n < begins_count_; ++n) {
      begin(begin_[n].flow, begin_[n].cookie, begin_[n].slot);
    }
    shows_ = begins_count_ = 0;
  }
  // False: no slot is free.
  bool begin(FlowIndex i, const FlowRecord& f, const OffloadSlot& slot, std::uint32_t now_ms);

  // What the kernel has noted of one connection since the last look.
  struct News {
    std::uint64_t packets = 0;  // of both ends
    bool of_client = false;     // any of these
    bool of_server = false;
    std::uint32_t client_next = 0;
    std::uint32_t server_next = 0;
    std::uint32_t client_acked = 0;  // valid if of_client
    std::uint32_t server_acked = 0;  // valid if of_server
    bool client_repeats = false;
    bool server_repeats = false;
  };
  [[nodiscard]] News look(FlowIndex i);
  // Shows what the engine has moved.
  void show(FlowIndex i, const FlowRecord& f);
  void take_back(FlowIndex i, std::uint32_t now_ms);

  // Whether record `i` still is the connection that was given to the kernel.
  [[nodiscard]] bool is_same(FlowIndex i, const FlowRecord& f) const;
  // Once in a while: whether it brings too little.
  [[nodiscard]] bool is_quiet(FlowIndex i, std::uint32_t now_ms);
  // Lets both ends begin that have not.
  void begin_late(FlowIndex i, std::uint32_t now_ms);
  // Calls visit(index) for each connection that the kernel carries. visit() may take it back.
  template <typename Visit>
  void each(Visit&& visit) {
    for (std::size_t n = carried_.size(); n > 0; --n) {
      if (carried_[n - 1].flow != kNoFlow) visit(carried_[n - 1].flow);
    }
  }
  // Frees the slots that have rested.
  void free_rested(std::uint32_t now_ms);

  // What the kernel has carried since the last call.
  [[nodiscard]] Offloaded take_counts();

 private:
  struct Carried {
    FlowIndex flow = kNoFlow;  // kNoFlow: the slot rests
    std::uint32_t slot = 0;
    std::uint32_t cookie = 0;
    std::uint32_t client_isn = 0;
    std::uint32_t since_ms = 0;  // it is carried, or its slot rests
    std::uint32_t looked_ms = 0;
    std::uint64_t looked_bytes = 0;          // carried by then
    bool begun = false;                      // at both ends, or late
    std::array<std::uint64_t, 2> packets{};  // taken over so far, by sender
    std::array<std::uint64_t, 2> bytes{};
    std::array<std::uint32_t, 2> repeats{};
  };
  struct Candidate {
    FlowIndex flow = kNoFlow;
    std::uint32_t bytes = 0;
    std::uint32_t since_ms = 0;
  };

  [[nodiscard]] Carried& of(FlowIndex i) { return carried_[places_[i] - std::size_t{1}]; }
  [[nodiscard]] const Carried& of(FlowIndex i) const {
    return carried_[places_[i] - std::size_t{1}];
  }
  // Adds up what is new of either sender; returns packets.
  std::uint64_t count(Carried& c, unsigned sender);

  OffloadTable table_;
  bool allowed_ = true;
  std::vector<Carried> carried_;       // never more than OFFLOAD_SLOTS
  std::vector<std::uint16_t> places_;  // by flow: one more than the place in carried_; 0: none
  std::array<Candidate, 64> candidates_{};
  struct Later {
    FlowIndex flow = kNoFlow;
    std::uint32_t cookie = 0;
    OffloadSlot slot{};
  };
  std::array<FlowIndex, kMaxBurst> show_{};
  std::array<Later, 4> begin_{};
  std::size_t shows_ = 0;
  std::size_t begins_count_ = 0;
  std::uint32_t carried_now_ = 0;  // without slots that rest
  Offloaded counts_;
};

// --- Through several rooms.
// Before and after a burst is decided, for the connections in it.
void catch_up(Rooms& rooms, std::span<const Context> burst);
void settle(Rooms& rooms, std::span<const Context> burst);
// The same for one that is found later.
void catch_up(Rooms& rooms, FlowIndex i);
// The burst has been sent.
void publish_offloads(Rooms& rooms);
// About every millisecond.
void tick_offloads(Rooms& rooms);
// Takes all connections back.
void end_offloads(Rooms& rooms);

}  // namespace synproxy
