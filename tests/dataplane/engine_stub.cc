// SPDX-License-Identifier: BSD-3-Clause
// An engine that frames tell what to do, linked in place of the real one: see engine_stub.h.
#include "dataplane/engine_stub.h"

#include <bit>
#include <vector>

#include "synproxy/policy/stateless_shed.h"
#include "synproxy/proxy/arrival.h"
#include "synproxy/proxy/engine.h"

namespace synproxy {

namespace stub = tests::engine_stub;

struct Engine::State {
  Counters& counters;
  EngineTuning tuning;
  const StatelessShedder* shedder = nullptr;
  std::uint64_t stateless = 0;
  bool screens = false;
  Published<RefusedList> refused{RefusedList{}};
  ActiveServices active{};
};

Engine::Engine(const EngineConfig& config, const ProtectSet&, const KeyRing&,
               std::array<std::uint64_t, 4>, Counters& counters, std::span<std::byte>)
    : state_(new State{.counters = counters, .tuning = config.tuning}) {}
Engine::~Engine() = default;
std::size_t Engine::store_bytes(const EngineShape&, const ProtectSet&) { return 4096; }
Found Engine::resume(std::uint64_t) { return {}; }
CarryBook Engine::begin_carrying() const { return {0, 0}; }
void Engine::begin_pass(CarryBook&, bool) {}
FlowIndex Engine::flows_to_carry(const CarryBook&) const { return 0; }
std::uint32_t Engine::replays_to_carry() const { return 0; }
std::size_t Engine::find_changed_flows(const CarryBook&, FlowIndex, FlowIndex,
                                       std::span<FlowIndex>) const {
  return 0;
}
std::size_t Engine::find_changed_replays(const CarryBook&, std::uint32_t, std::uint32_t,
                                         std::span<std::uint32_t>) const {
  return 0;
}
void Engine::carry_flows(CarryBook&, std::span<const FlowIndex>, std::span<CarriedFlow>) const {}
void Engine::carry_replays(CarryBook&, std::span<const std::uint32_t>,
                           std::span<CarriedReplay>) const {}
std::span<const std::byte> Engine::carry_services() const { return {}; }
void Engine::adopt_services(std::span<const std::byte>, std::uint64_t) {}
void Engine::adopt_replays(std::span<const CarriedReplay>, std::uint64_t) {}
FlowIndex Engine::adopt(const CarriedFlow&, std::uint64_t) { return kNoFlow; }
void Engine::forget(FlowIndex) {}
void Engine::count_adopted(const Found&) {}
std::uint32_t Engine::flows() const { return 0; }
FlowSlice Engine::copy_flows(FlowIndex, std::uint32_t, std::span<FlowInfo>, std::uint64_t) const {
  return {};
}
FlowSlice Engine::copy_services(FlowIndex, std::uint32_t, std::span<ServiceInfo>) const {
  return {};
}
bool Engine::delete_flow(FlowIndex, const FlowKey&, std::uint64_t, FrameSink&) { return false; }
void Engine::use_lists(const SourceLists* lists) { state_->screens = lists != nullptr; }
bool Engine::screens() const { return state_->screens; }
std::uint32_t Engine::screen(std::span<Packet> burst) {
  std::uint32_t dropped = 0;
  for (std::size_t i = 0; i < burst.size(); ++i) {
    if (burst[i].data[stub::kTcpFlagsAt] != kSyn) continue;
    if ((burst[i].data[stub::kSourceAt + 3] & 1U) == 0) continue;
    dropped |= 1U << i;
    burst[i].decide(Verdict::kDrop, Reason::denied);
  }
  state_->counters.count(Reason::denied, static_cast<std::uint64_t>(std::popcount(dropped)));
  return dropped;
}
void Engine::offload_to(const OffloadTable&) {}
void Engine::allow_offloads(bool) {}
void Engine::sent() {}
void Engine::end_offloads() {}
Offloaded Engine::take_offloaded() { return {}; }
void Engine::shed_by(const StatelessShedder& shedder) { state_->shedder = &shedder; }
std::uint64_t Engine::stateless() const { return state_->stateless; }
void Engine::retune(const EngineTuning& tuning, const ServiceTunings*) { state_->tuning = tuning; }

void Engine::process(Role side, std::span<Packet> burst, std::uint64_t, FrameSink& sink) {
  for (Packet& p : burst) {
    if (state_->tuning.early_window == stub::kDropAll) {
      p.decide(Verdict::kDrop, Reason::bad_checksum);
      state_->counters.count(Reason::bad_checksum);
      continue;
    }
    if (state_->tuning.early_window == stub::kAcksAreStateless &&
        p.data[stub::kTcpFlagsAt] == kAck) {
      ++state_->stateless;
      if (state_->shedder->shedding() &&
          !state_->shedder->lets_through(p.data + stub::kSourceAt, false)) {
        p.decide(Verdict::kDrop, Reason::ack_shed);
        state_->counters.count(Reason::ack_shed);
        continue;
      }
    }
    constexpr std::size_t kTtlAt = 22;
    if (is_super(p.checksum) && p.data[kTtlAt] == stub::kCutTtl) {
      p.verdict = Verdict::kCut;
      continue;
    }
    p.decide(Verdict::kForward, Reason::forwarded);
    state_->counters.count(Reason::forwarded);
    const std::span<const std::uint8_t> frame(p.data, p.length);
    if (!stub::is_command(frame)) continue;
    switch (static_cast<stub::Command>(p.data[stub::kCommandAt])) {
      case stub::Command::kForward:
        break;
      case stub::Command::kDrop:
        p.verdict = Verdict::kDrop;
        break;
      case stub::Command::kBad:
        p.decide(Verdict::kDrop, Reason::bad_checksum);
        state_->counters.count(Reason::bad_checksum);
        break;
      case stub::Command::kReply:
        p.verdict = Verdict::kReply;
        break;
      case stub::Command::kGrow:
        p.verdict = Verdict::kReply;
        for (std::uint32_t i = 0; i < stub::kGrowth; ++i) p.data[p.length++] = stub::kGrowthFill;
        break;
      case stub::Command::kEmit: {
        std::vector<std::uint8_t> made(frame.begin(), frame.end());
        made[stub::kCommandAt] = static_cast<std::uint8_t>(stub::Command::kForward);
        for (unsigned i = 0; i < stub::kEmitted; ++i) {
          made[stub::kNumberAt] = static_cast<std::uint8_t>(i);
          sink.emit(other(side), made);
        }
        break;
      }
    }
  }
}

void Engine::share_sources(KnownSources&) {}
void Engine::share_places(ServerPlaces&) {}
void Engine::limit_by(SourceLimits&, NamedServiceId) {}
const Published<ActiveList>& Engine::active_services() const { return state_->active.published(); }
const Published<RefusedList>& Engine::refused() const { return state_->refused; }
void Engine::process_whole(Role sender, Packet& whole, const CameInFragments&, std::uint64_t now,
                           FrameSink& sink) {
  process(sender, {&whole, 1}, now, sink);
  if (whole.verdict == Verdict::kForward) sink.emit(other(sender), {whole.data, whole.length});
  if (whole.verdict == Verdict::kReply) sink.emit(sender, {whole.data, whole.length});
}

void Engine::tick(std::uint64_t, FrameSink&) { state_->counters.count(Reason::keepalive_probe); }

std::uint32_t owner_of(std::span<const std::uint8_t> frame, Role, const ProtectSet&,
                       const std::array<std::uint64_t, 4>&, std::uint32_t workers,
                       std::uint32_t fallback, Arrival&) {
  return stub::is_command(frame) ? frame[stub::kOwnerAt] % workers : fallback;
}

}  // namespace synproxy
