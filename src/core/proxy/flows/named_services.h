// SPDX-License-Identifier: BSD-3-Clause
// The counters of the services with names. Without any, nothing here is done.
//
// Theory of operation. Whose a packet is stands in it before it is decided, and what became of it
// afterwards. So both are looked at around the decision (Tally), and the stages in between know
// nothing of services. What has no packet of its own is counted where it happens, by the key of the
// connection: a few times in its life.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "synproxy/base/counters.h"
#include "synproxy/base/packet.h"
#include "synproxy/flow/identity.h"
#include "synproxy/flow/record.h"
#include "synproxy/policy/protect.h"

namespace synproxy {

class NamedServices {
 public:
  // `counters` shows what is counted, as long as this lives. Throws std::bad_alloc.
  NamedServices(const ProtectSet& protect, Counters& counters);

  [[nodiscard]] bool on() const { return !counters_.empty(); }

  void count(const KeyView& key, Reason r) {
    if (on()) [[unlikely]]
      count_event(key, r);
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
  void count_event(const KeyView& key, Reason r);

  const ProtectSet& protect_;
  std::unique_ptr<ServiceCounters[]> memory_;
  std::span<ServiceCounters> counters_;
};

}  // namespace synproxy
