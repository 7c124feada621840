// SPDX-License-Identifier: BSD-3-Clause
// The limits per source, as one worker's engine applies them: what each of its flows is counted
// for, in step with the flow's state.
//
// A flow that is over counts no more, as with connlimit. If a segment shows that it is not over
// after all, it counts again. What flows give back in a burst is given back at the end of the
// burst, when all their places in the table are fetched together, or at once if it could let
// somebody in. Flows that were opened while there was no limit, and those that the server has
// opened, are not counted.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "burst/moment.h"
#include "flows/named_services.h"
#include "synproxy/flow/key.h"
#include "synproxy/flow/mapping.h"
#include "synproxy/flow/record.h"
#include "synproxy/policy/refused_sources.h"
#include "synproxy/policy/source_limits.h"

namespace synproxy {

class Limiter {
 public:
  // Throws std::bad_alloc.
  Limiter(const EngineConfig& config, const Moment& now, const NamedServices& named)
      : now_(now),
        named_(named),
        held_(std::size_t{config.shape.max_flows} * sizeof(ConnSlots), Mapping::Kind::kSparse),
        table_of_(config.shape.max_flows, Mapping::Kind::kSparse) {
    retune(config.tuning.limits);
  }

  // Without a table there are no limits. `service`: whose limits, if it has some of its own; 0: all
  // others. It outlives the engine.
  void share(SourceLimits& table, NamedServiceId service) {
    tables_.at(service) = &table;
    set_switches();
  }
  void retune(LimitTuning tuning) {
    const ServiceTuning& all = named_.tuning(0);
    for (std::size_t i = 0; i < rules_.size(); ++i) {
      const ServiceTuning& service = named_.tuning(static_cast<NamedServiceId>(i));
      tuning.rate = service.rate;
      tuning.conns = service.conns;
      tuning.monitored = service.monitored;
      own_[i] = service.rate != all.rate || service.conns != all.conns;
      rules_[i] = LimitRules(tuning);
    }
    set_switches();
  }

  [[nodiscard]] bool on() const { return on_; }
  [[nodiscard]] const LimitRules& rules(std::uint8_t table) const { return rules_[table]; }
  void prefetch(const std::uint8_t* address, bool ipv6) const {
    if (tables_[0] != nullptr) tables_[0]->prefetch(rules_[0], {address, ipv6});
  }

  // Only while on(). `replaced`: the flow that is to give way; kNoFlow: none.
  [[nodiscard]] SourceLimits::Charge charge(const KeyView& key, const std::uint8_t* address,
                                            FlowIndex replaced) {
    SourceLimits::Charge charge = charge_now(key, address, replaced);
    if (closed_ != 0 && charge.is_tight()) [[unlikely]] {
      if (charge.refused == SourceLimits::Refusal::kNone) give_back(charge);
      give_closed();
      charge = charge_now(key, address, replaced);
    }
    return charge;
  }
  // The flow was opened, or was not.
  void keep(FlowIndex i, const SourceLimits::Charge& charge) {
    hold(i, charge.table, charge.conns);
  }
  void give_back(const SourceLimits::Charge& charge) {
    SourceLimits* const table = tables_[charge.table];
    if (table != nullptr) table->give_back(rules_[charge.table], charge);
  }

  // Whether moves() is to be called.
  [[nodiscard]] bool watches() const { return watches_; }
  template <typename KeyOf>
  void moves(const FlowRecord& f, FlowIndex i, FlowState to, KeyOf&& key_of) {
    const bool was = is_open(f.state());
    const bool is = is_open(to);
    if (was == is) return;
    if (was) {
      if (slots(i) != ConnSlots{}) close(counted_in(i), slots(i));
      slots(i) = {};
    } else if (f.state() != FlowState::kFree && f.state() != FlowState::kPassed &&
               !f.opened_by_server()) {
      count(i, key_of());
    }
  }

  // The flow was found in a store. It counts as if it were opened now.
  template <typename KeyOf>
  void found(const FlowRecord& f, FlowIndex i, KeyOf&& key_of) {
    if (!watches_ || !is_open(f.state()) || f.opened_by_server()) return;
    count(i, key_of());
  }

  // At the end of each burst and each tick.
  void end_burst() {
    if (closed_ != 0) [[unlikely]]
      give_closed();
  }

  [[nodiscard]] RefusedSources& refused() { return *refused_; }

 private:
  [[nodiscard]] static bool is_open(FlowState s) {
    return s == FlowState::kSynSent || s == FlowState::kEstablished;
  }
  [[nodiscard]] ConnSlots& slots(FlowIndex i) const {
    return static_cast<ConnSlots*>(held_.data())[i];
  }
  [[nodiscard]] std::uint8_t& table_of(FlowIndex i) const {
    return static_cast<std::uint8_t*>(table_of_.data())[i];
  }
  // In which table a flow is counted. As long as there is only one table, that is not noted.
  [[nodiscard]] std::uint8_t counted_in(FlowIndex i) const {
    return several_ ? table_of(i) : std::uint8_t{0};
  }
  [[nodiscard]] std::uint8_t table_for(const KeyView& key) const {
    const NamedServiceId service = named_.number_of(key);
    return own_[service] ? service : std::uint8_t{0};
  }
  [[nodiscard]] SourceLimits::Charge charge_now(const KeyView& key, const std::uint8_t* address,
                                                FlowIndex replaced) {
    const NamedServiceId service = named_.number_of(key);
    const std::uint8_t table = own_[service] ? service : std::uint8_t{0};
    SourceLimits::Charge charge;
    if (tables_[table] != nullptr) {
      const bool same = replaced != kNoFlow && counted_in(replaced) == table;
      // A service may share the limits of all, and only watch what they would do to it.
      charge = tables_[table]->charge(rules_[service], {address, key.ipv6()}, now_.ms(),
                                      same ? slots(replaced) : ConnSlots{});
    }
    charge.table = table;
    return charge;
  }
  void count(FlowIndex i, const FlowKey& key) {
    const std::uint8_t table = table_for(key);
    if (tables_[table] == nullptr) return;
    hold(i, table, tables_[table]->hold(rules_[table], {key.client.data(), key.ipv6}, now_.ms()));
  }
  void hold(FlowIndex i, std::uint8_t table, const ConnSlots& charged) {
    if (charged == ConnSlots{}) return;
    slots(i) = charged;
    if (several_) table_of(i) = table;
    watches_ = true;
  }
  void close(std::uint8_t table, const ConnSlots& held) {
    if (closed_ == given_later_.size()) give_closed();
    given_later_[closed_++] = {held, table};
  }
  [[gnu::noinline]] void give_closed() {
    const std::span<const Closed> all(given_later_.data(), closed_);
    for (const Closed& c : all) tables_[c.table]->prefetch(c.slots);
    for (const Closed& c : all) tables_[c.table]->release(c.slots);
    closed_ = 0;
  }
  // What is held is given back also after the last rule is gone. So once a flow was counted, states
  // are watched until the end.
  void set_switches() {
    on_ = false;
    for (std::size_t i = 0; i < rules_.size(); ++i) {
      if (tables_[i] == nullptr || (i != 0 && !own_[i])) continue;
      on_ |= rules_[i].any();
      several_ |= i != 0;
      watches_ |= !rules_[i].conns().empty();
    }
  }

  const Moment& now_;
  const NamedServices& named_;
  std::unique_ptr<RefusedSources> refused_ = std::make_unique<RefusedSources>();
  bool on_ = false;
  bool watches_ = false;
  bool several_ = false;  // services have or had limits of their own
  std::uint32_t closed_ = 0;
  // For all services, then for each that has limits of its own.
  static constexpr std::size_t kTables = kMostNamedServices + 1;
  std::array<SourceLimits*, kTables> tables_{};
  std::array<bool, kTables> own_{};
  std::array<LimitRules, kTables> rules_{};
  Mapping held_;      // ConnSlots of each flow
  Mapping table_of_;  // of each flow, where its slots are
  struct Closed {
    ConnSlots slots;
    std::uint8_t table;
  };
  std::array<Closed, 32> given_later_;  // the first closed_ are in use
};

}  // namespace synproxy
