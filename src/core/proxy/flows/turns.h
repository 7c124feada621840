// SPDX-License-Identifier: BSD-3-Clause
// Who may ask a server, and who waits for a turn (--server-backlog): one worker's part.
//
// Theory of operation. A flow in handshake has a place of its service (policy/server_places.h) from
// the time when its server is asked until it leaves that state. Where all places are taken, the
// flow waits: it is established from its client's side, and its early data is held as always. Those
// that wait for one service stand in lists by index, one for each level, and the lowest level goes
// first.
//
// An entry per flow and one per service stand beside the records, in memory that is touched only
// while there is a bound.
//
// Invariants. A flow stands in a list exactly while it has kFlowWaits. A flow in a list has no
// place. What has a place or stands in a list is in kSynSent, because moves() is told of every
// change.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>

#include "burst/moment.h"
#include "flows/named_services.h"
#include "synproxy/flow/mapping.h"
#include "synproxy/flow/record.h"
#include "synproxy/policy/server_places.h"

namespace synproxy {

class Turns {
 public:
  // Throws std::bad_alloc.
  Turns(const EngineConfig& config, const Moment& now, const NamedServices& named,
        const ServerPlaces::Key& key);

  // With several workers: the places of all of them. Outlives the engine.
  void share(ServerPlaces& places) { places_ = &places; }
  void retune();

  // A bound of some service is in force.
  [[nodiscard]] bool on() const { return named_.bounds_backlog(); }
  [[nodiscard]] std::uint32_t waiting() const { return waiting_; }

  enum class Turn : std::uint8_t { kGoes, kGoesMonitored, kGoesUnbounded, kWaits };
  // A flow comes that is to ask its server. `above`: it takes a place, but never waits for one.
  // kWaits: it stands in a list. Only while on().
  [[nodiscard]] Turn arrive(FlowIndex i, const KeyView& key, const std::uint8_t* source,
                            bool above);
  // The server has left the flow's SYN unanswered for a while. If others wait for the service, the
  // flow gives its place up and waits behind them. False: it keeps it.
  [[nodiscard]] bool yield(FlowIndex i, const KeyView& key, const std::uint8_t* source);
  // The server has left a SYN of `asked_ms` unanswered. True: its bound was halved.
  [[nodiscard]] bool silent(FlowIndex i, std::uint32_t asked_ms);
  // Whether the flow's service has answered others within the last `ms`.
  [[nodiscard]] bool answers_others(FlowIndex i, std::uint32_t ms) const;

  // A place may have come free in this worker since the last call of run().
  [[nodiscard]] bool due() const { return due_count_ != 0; }
  // Calls go(index) for those whose turn it is; `go` clears kFlowWaits. `tick`: looks at services
  // whose places other workers may have given back, too.
  template <typename Go>
  void run(bool tick, Go&& go) {
    std::uint32_t budget = kMostAtOnce;
    for (std::uint32_t n = 0; n < due_count_; ++n) let_go(due_[n], tick, budget, go);
    due_count_ = 0;
    if (!tick) return;
    const std::uint32_t first = hand_;
    for (std::uint32_t n = 0; n < kMostServicesPerTick && hand_ != kNoService; ++n) {
      const std::uint32_t slot = hand_;
      hand_ = service(slot).next;
      let_go(slot, true, budget, go);
      if (budget == 0 || hand_ == first) return;
    }
  }

  // Whether moves() is to be called.
  [[nodiscard]] bool watches() const { return watches_; }
  // Call before the state changes.
  void moves(const FlowRecord& f, FlowIndex i, FlowState to);

 private:
  static constexpr std::uint32_t kNoService = ServerPlaces::kServices;
  // One call never takes longer than a few bursts do.
  static constexpr std::uint32_t kMostAtOnce = 512;
  static constexpr std::uint32_t kMostServicesPerTick = 256;

  struct Waiter {
    FlowIndex next;
    FlowIndex previous;
    std::uint32_t slot_and_one;  // of its service; 0: it neither has a place nor waits
    std::uint32_t level;
  };
  struct List {
    FlowIndex first;
    FlowIndex last;
  };
  struct alignas(64) Service {
    std::uint32_t levels;   // one bit for each that has somebody
    std::uint32_t own;      // places that flows of this worker have
    std::uint32_t answers;  // since the bound was raised
    std::uint32_t answered_ms;
    NamedServiceId named;  // whose bound it has
    // The ring of services for which somebody waits.
    std::uint32_t next;
    std::uint32_t previous;
    std::array<List, ServerPlaces::kLevels> lists;
  };

  [[nodiscard]] Waiter& waiter(FlowIndex i) const { return static_cast<Waiter*>(flows_.data())[i]; }
  [[nodiscard]] Service& service(std::uint32_t slot) const {
    return static_cast<Service*>(services_.data())[slot];
  }
  [[nodiscard]] const ServerBacklog& bound_of(std::uint32_t slot) const {
    return named_.tuning(service(slot).named).backlog;
  }
  [[nodiscard]] bool monitors(std::uint32_t slot) const {
    return named_.tuning(service(slot).named).monitors(kMonitorServerBacklog);
  }
  [[nodiscard]] bool may_take(std::uint32_t slot, bool tick) const;
  void take(FlowIndex i, std::uint32_t slot);
  void enlist(FlowIndex i, std::uint32_t slot, std::uint32_t level);
  void strike(FlowIndex i);
  void note_due(std::uint32_t slot);
  void begin_waiting(std::uint32_t slot);
  void end_waiting(std::uint32_t slot);
  // The first of the lowest level has a place now, or needs none.
  [[nodiscard]] FlowIndex next_of(std::uint32_t slot, bool tick);

  template <typename Go>
  void let_go(std::uint32_t slot, bool tick, std::uint32_t& budget, Go&& go) {
    while (budget != 0 && service(slot).levels != 0) {
      const FlowIndex i = next_of(slot, tick);
      if (i == kNoFlow) return;
      --budget;
      go(i);
    }
  }

  const Moment& now_;
  const NamedServices& named_;
  bool watches_ = false;
  std::unique_ptr<ServerPlaces> own_;
  ServerPlaces* places_;
  Mapping flows_;     // Waiter of each flow
  Mapping services_;  // Service of each slot
  std::uint32_t hand_ = kNoService;
  std::uint32_t waiting_ = 0;
  std::uint32_t due_count_ = 0;
  std::array<std::uint32_t, 64> due_;
};

}  // namespace synproxy
