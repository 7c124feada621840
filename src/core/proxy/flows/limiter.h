// SPDX-License-Identifier: BSD-3-Clause
// The limits per source, as one worker's engine applies them: what each of its flows is counted
// for, in step with the flow's state.
//
// A flow that is over counts no more, as with connlimit. If a segment shows that it is not over
// after all, it counts again. Flows that were opened while there was no limit, and those that the
// server has opened, are not counted.
#pragma once

#include <cstdint>
#include <memory>

#include "burst/moment.h"
#include "synproxy/flow/key.h"
#include "synproxy/flow/mapping.h"
#include "synproxy/flow/record.h"
#include "synproxy/policy/refused_sources.h"
#include "synproxy/policy/source_limits.h"

namespace synproxy {

class Limiter {
 public:
  // Throws std::bad_alloc.
  Limiter(const EngineConfig& config, const Moment& now)
      : now_(now),
        rules_(config.tuning.limits),
        held_(std::size_t{config.shape.max_flows} * sizeof(ConnSlots), Mapping::Kind::kSparse) {}

  // Without a table there are no limits. It outlives the engine.
  void share(SourceLimits& table) {
    table_ = &table;
    set_switches();
  }
  void retune(const LimitTuning& tuning) {
    rules_ = LimitRules(tuning);
    set_switches();
  }

  [[nodiscard]] bool on() const { return on_; }
  [[nodiscard]] const LimitRules& rules() const { return rules_; }
  void prefetch(const std::uint8_t* address, bool ipv6) const {
    table_->prefetch(rules_, {address, ipv6});
  }

  // Only while on(). `replaced`: the flow that is to give way; kNoFlow: none.
  [[nodiscard]] SourceLimits::Charge charge(const std::uint8_t* address, bool ipv6,
                                            FlowIndex replaced) {
    return table_->charge(rules_, {address, ipv6}, now_.ms(),
                          replaced == kNoFlow ? ConnSlots{} : slots(replaced));
  }
  // The flow was opened, or was not.
  void keep(FlowIndex i, const SourceLimits::Charge& charge) { hold(i, charge.conns); }
  void give_back(const SourceLimits::Charge& charge) { table_->give_back(rules_, charge); }

  // Whether moves() is to be called.
  [[nodiscard]] bool watches() const { return watches_; }
  template <typename KeyOf>
  void moves(const FlowRecord& f, FlowIndex i, FlowState to, KeyOf&& key_of) {
    const bool was = is_open(f.state());
    const bool is = is_open(to);
    if (was == is) return;
    if (was) {
      table_->release(slots(i));
      slots(i) = {};
    } else if (f.state() != FlowState::kFree && f.state() != FlowState::kPassed &&
               !f.opened_by_server()) {
      const FlowKey key = key_of();
      hold(i, table_->hold(rules_, {key.client.data(), key.ipv6}, now_.ms()));
    }
  }

  // The flow was found in a store. It counts if it would if it were opened now.
  template <typename KeyOf>
  void found(const FlowRecord& f, FlowIndex i, KeyOf&& key_of) {
    if (!watches_ || !is_open(f.state()) || f.opened_by_server()) return;
    const FlowKey key = key_of();
    hold(i, table_->hold(rules_, {key.client.data(), key.ipv6}, now_.ms()));
  }

  [[nodiscard]] RefusedSources& refused() { return *refused_; }

 private:
  [[nodiscard]] static bool is_open(FlowState s) {
    return s == FlowState::kSynSent || s == FlowState::kEstablished;
  }
  [[nodiscard]] ConnSlots& slots(FlowIndex i) const {
    return static_cast<ConnSlots*>(held_.data())[i];
  }
  void hold(FlowIndex i, const ConnSlots& charged) {
    if (charged == ConnSlots{}) return;
    slots(i) = charged;
    watches_ = true;
  }
  // What is held is given back also after the last rule is gone. So once a flow was counted, states
  // are watched until the end.
  void set_switches() {
    on_ = table_ != nullptr && rules_.any();
    watches_ |= on_ && !rules_.conns().empty();
  }

  const Moment& now_;
  std::unique_ptr<RefusedSources> refused_ = std::make_unique<RefusedSources>();
  LimitRules rules_;
  Mapping held_;  // ConnSlots of each flow
  SourceLimits* table_ = nullptr;
  bool on_ = false;
  bool watches_ = false;
};

}  // namespace synproxy
