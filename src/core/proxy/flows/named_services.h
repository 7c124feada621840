// SPDX-License-Identifier: BSD-3-Clause
// The services with names: their counters, and what each has of its own. Without any, nothing here
// is done.
//
// Theory of operation. Before a packet is decided, it shows whose it is; afterwards, what became of
// it. So both are looked at around the decision (Tally), and of the stages in between only
// burst/screen asks it. Events without a packet of their own are counted where they happen, by the
// key of the connection: a few times in its life.
//
// As long as all services have the same tuning, no code asks which one a packet is for. Once one
// differs, the code that needs a value looks the service up: for packets that begin a connection or
// belong to none, but for no fitting segment of a connection.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <memory>
#include <span>

#include "synproxy/base/counters.h"
#include "synproxy/base/packet.h"
#include "synproxy/flow/identity.h"
#include "synproxy/flow/record.h"
#include "synproxy/policy/protect.h"
#include "synproxy/policy/service_tuning.h"
#include "synproxy/proxy/offers.h"

namespace synproxy {

class NamedServices final : public ModeOfService {
 public:
  // `counters` shows what is counted, as long as this lives. Throws std::bad_alloc.
  NamedServices(const ProtectSet& protect, Counters& counters, const EngineTuning& tuning);

  // --- Tuning.
  // That of all. `own`: of the services; nullptr: as before.
  void retune(const EngineTuning& tuning, const ServiceTunings* own = nullptr);
  // Whether some service has lists of sources of its own.
  void note_lists(bool differ);
  // Whether some service has something else than all.
  [[nodiscard]] bool differ() const { return differ_; }
  // 0 as long as none differs.
  [[nodiscard]] NamedServiceId number_of(const KeyView& key) const {
    return differ_ ? look_up(key) : NamedServiceId{0};
  }
  [[nodiscard]] const ServiceTuning& tuning(NamedServiceId number) const {
    return tunings_[number];
  }
  [[nodiscard]] const ServiceTuning& tuning(const KeyView& key) const {
    return tunings_[number_of(key)];
  }
  [[nodiscard]] Mode mode_of(const KeyView& key) const override { return tuning(key).mode; }
  // The mode that all have. Where modes differ, the one whose parts are needed: adaptive before
  // off.
  [[nodiscard]] Mode mode() const { return mode_; }
  // Whether services differ in their mode, or in when cookies begin.
  [[nodiscard]] bool modes_differ() const { return modes_differ_; }
  // Whether what becomes of segments that belong to no connection depends on the service.
  [[nodiscard]] bool unknowns_differ() const { return unknowns_differ_; }
  // Whether any lets pass what belongs to no connection.
  [[nodiscard]] bool forwards_unknown() const { return forwards_unknown_; }
  // Whether any resets what belongs to no connection.
  [[nodiscard]] bool resets_unknown() const { return resets_unknown_; }
  // The highest of all.
  [[nodiscard]] std::uint8_t min_ttl() const { return min_ttl_; }
  [[nodiscard]] bool bounds_backlog() const { return bounds_backlog_; }

  // --- Counters.

  [[nodiscard]] bool on() const { return !counters_.empty(); }

  // Counts an event: in the totals, and for the service that has this key. A key that would first
  // have to be made is given by a function.
  void count(const KeyView& key, Reason r) {
    all_.count(r);
    if (on()) [[unlikely]]
      count_event(key, r);
  }
  template <std::invocable KeyOf>
  void count(KeyOf&& key_of, Reason r, std::uint64_t n = 1) {
    all_.count(r, n);
    if (on()) [[unlikely]]
      count_event(key_of(), r, n);
  }
  void count(NamedServiceId service, Reason r) {
    all_.count(r);
    if (ServiceCounters* const to = counters_of(service); to != nullptr) to->count(r);
  }
  // While on(): before the state of a flow changes. What is not in use is kFree.
  void moves(const FlowKey& key, FlowState from, FlowState to);

  // Counts the packets of a burst, up to kMaxBurst of them, from one sender.
  class Tally {
   public:
    Tally(NamedServices& services, Role sender, std::span<Packet> burst) : services_(services) {
      if (services_.on()) [[unlikely]]
        begin(sender, burst);
    }
    ~Tally() {
      if (services_.on()) [[unlikely]]
        end();
    }
    Tally(const Tally&) = delete;
    Tally& operator=(const Tally&) = delete;
    // 0: the packet is of no service, or no TCP.
    [[nodiscard]] NamedServiceId service_of(std::size_t packet) const {
      return services_.on() ? of_[packet] : NamedServiceId{0};
    }
    // Those whose bit is not set come again.
    void only(std::uint32_t decided) { decided_ = decided; }

   private:
    void begin(Role sender, std::span<Packet> burst);
    void end();

    NamedServices& services_;
    // From here on: while on().
    std::span<Packet> burst_{};
    std::array<NamedServiceId, kMaxBurst> of_;
    std::uint32_t syns_ = 0;  // of clients
    std::uint32_t decided_ = ~0U;
  };

 private:
  [[nodiscard]] ServiceCounters* counters_of(NamedServiceId id) {
    return id == 0 ? nullptr : &counters_[id - std::size_t{1}];
  }
  void count_event(const KeyView& key, Reason r, std::uint64_t n = 1);
  [[nodiscard]] NamedServiceId look_up(const KeyView& key) const;

  const ProtectSet& protect_;
  Counters& all_;
  std::unique_ptr<ServiceCounters[]> memory_;
  std::span<ServiceCounters> counters_;

  bool differ_ = false;
  bool lists_differ_ = false;
  bool modes_differ_ = false;
  bool unknowns_differ_ = false;
  bool forwards_unknown_ = false;
  bool resets_unknown_ = false;
  bool bounds_backlog_ = false;
  std::uint8_t min_ttl_ = 0;
  Mode mode_ = Mode::kAlways;

  std::array<ServiceTuning, kMostNamedServices + 1> tunings_{};  // 0: of all
  ServiceTunings own_;
};

}  // namespace synproxy
