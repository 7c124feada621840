// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/engine.h"

#include <algorithm>
#include <utility>

#include "burst/engine_state.h"

namespace synproxy {

struct Engine::State : EngineState {
  using EngineState::EngineState;
};

namespace {

std::size_t retry_capacity(std::uint32_t max_flows) {
  return std::clamp<std::size_t>(max_flows, 16, 1U << 17);
}

template <std::size_t... I>
std::array<RetryQueue, kRetryLevels> make_queues(std::size_t capacity, std::index_sequence<I...>) {
  return {((void)I, RetryQueue(capacity))...};
}

constexpr std::size_t kLargestFrame = 0x10000;

void run_stages(EngineState& s, Role sender, std::span<Context> burst, FrameSink& sink);

// In order of arrival: what one packet changes, the next one finds.
void act(EngineState& s, Context& c, FrameSink& sink) {
  if (c.kind == Kind::kDecided) return;
  if (c.kind == Kind::kIcmp) return on_icmp(s, c, c.sender, sink);
  if (c.kind == Kind::kRefuted && s.changes.any()) {
    // A packet before it may have opened its flow.
    c.kind = Kind::kTcp;
    return run_stages(s, c.sender, {&c, 1}, sink);
  }
  if (s.changes.touch(c.hash)) find_flow(s, c);
  if (c.ack.refuted && c.flow == kNoFlow && !s.tuning.forward_tcp_auth) {
    ++s.acks_refuted;
    return drop(s, c, Reason::cookie_invalid);
  }
  c.sender == Role::kClient ? on_client_segment(s, c, sink) : on_server_segment(s, c, sink);
}

void run_stages(EngineState& s, Role sender, std::span<Context> burst, FrameSink& sink) {
  classify(s, burst);
  look_up(s, burst);
  if (sender == Role::kClient) make_and_check_cookies(s, burst);
  for (Context& c : burst) act(s, c, sink);
}

void drop_all(EngineState& s, std::span<Packet> burst) {
  for (Packet& p : burst) p.verdict = Verdict::kDrop;
  s.acks_refuted = static_cast<std::uint32_t>(burst.size());
  s.counters.count(Reason::cookie_invalid, burst.size());
}

}  // namespace

EngineState::EngineState(const EngineConfig& c, const ProtectSet& p, const KeyRing& r,
                         const IndexKey& k, Counters& n)
    : shape(c.shape),
      tuning(c.tuning),
      protect(p),
      ring(r),
      index_key(k),
      counters(n),
      table(c.shape.max_flows),
      replay(std::max(c.shape.max_flows, c.shape.replays_per_epoch)),
      early(c.shape.early_data_memory),
      syn_retries(
          // Each element owns its ring from the start; the analyzer loses it in the pack.
          // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks)
          make_queues(retry_capacity(c.shape.max_flows), std::make_index_sequence<kRetryLevels>())),
      ack_repeats(retry_capacity(c.shape.max_flows)),
      synack_repeats(c.tuning.synack_repeats),
      scratch(kLargestFrame) {}

void EngineState::set_time(std::uint64_t ms) {
  if (ms == now_ms && epoch.epoch != 0) return;
  now_ms = ms;
  epoch = epoch_at(shape.unix_ms_at_start + ms, shape.epoch_ms);
  keys.refresh(ring, epoch);
}

void EngineState::retune(const EngineTuning& to) {
  if (to == tuning) return;
  earlier.changed(tuning, to, epoch.epoch, now_ms);
  tuning = to;
  offers.retuned(earlier);
  synack_repeats.set_repeats(to.synack_repeats);
}

Engine::Engine(const EngineConfig& config, const ProtectSet& protect, const KeyRing& keys,
               std::array<std::uint64_t, 4> index_key, Counters& counters)
    : state_(std::make_unique<State>(config, protect, keys, index_key, counters)) {}
Engine::~Engine() = default;

std::uint32_t Engine::flows() const { return state_->table.size(); }

void Engine::retune(const EngineTuning& tuning) { state_->retune(tuning); }

void Engine::process(Role sender, std::span<Packet> burst, std::uint64_t now_ms, FrameSink& sink) {
  State& s = *state_;
  s.set_time(now_ms);
  const std::span<Packet> packets = burst.first(std::min(burst.size(), kMaxBurst));
  prefetch_headers(packets);
  s.changes.clear();
  std::uint32_t answered = 0;
  std::uint32_t refuted = 0;
  if (sender == Role::kClient) {
    answered = answer_syn_burst(s, packets);
    refuted = refute_ack_burst(s, packets, answered);
    if (refuted != 0 && refuted == (~0U >> (kMaxBurst - packets.size()))) {
      return drop_all(s, packets);
    }
    s.acks_refuted = 0;
  }
  std::size_t n = 0;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    if ((answered >> i & 1U) != 0) continue;
    Context& c = s.contexts[n++];
    c.packet = &packets[i];
    c.sender = sender;
    c.kind = Kind::kTcp;
    if ((refuted >> i & 1U) != 0) {
      c.kind = Kind::kRefuted;
      c.flow = kNoFlow;
      c.ack.refuted = true;
    }
  }
  run_stages(s, sender, {s.contexts.data(), n}, sink);
  publish_gauges(s);
}

void Engine::tick(std::uint64_t now_ms, FrameSink& sink) {
  State& s = *state_;
  s.set_time(now_ms);
  run_timers(s, sink);
  sweep(s, sink);
  publish_gauges(s);
}

}  // namespace synproxy
