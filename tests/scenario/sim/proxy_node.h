// SPDX-License-Identifier: BSD-3-Clause
// The engine under the virtual clock. With some seeds a second one runs the same packets in
// differently poisoned buffers, so that a byte that the engine forgot to write makes the outputs
// differ. With one seed in four without a rival, every second packet comes in two fragments, in any
// order.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "plan.h"
#include "support/fake_kernel.h"
#include "synproxy/cookie/key_ring.h"
#include "synproxy/policy/source_limits.h"
#include "synproxy/policy/source_lists.h"
#include "synproxy/proxy/engine.h"

namespace synproxy::test::sim {

// Knows from the text of the documentation how many events a rate lets pass.
class RateReferee {
 public:
  RateReferee() = default;
  RateReferee(double per_ms, double burst) : per_ms_(per_ms), burst_(burst) {}
  // `events`: all so far. False: they are too many.
  [[nodiscard]] bool allows(std::uint64_t now_ms, std::uint64_t events) {
    if (per_ms_ == 0) return true;
    const double earned = static_cast<double>(now_ms - seen_ms_) * per_ms_;
    spent_ = std::max(spent_ - earned, 0.0) + static_cast<double>(events - events_);
    seen_ms_ = now_ms;
    events_ = events;
    return spent_ <= burst_ * 1.001 + 0.001;
  }

  void forgive() { spent_ = 0; }

 private:
  double per_ms_ = 0;  // 0: any number
  double burst_ = 0;
  double spent_ = 0;
  std::uint64_t seen_ms_ = 0;
  std::uint64_t events_ = 0;
};

class ProxyNode {
 public:
  struct Output {
    Role side;
    Bytes bytes;
    int cause;  // index of the packet that was changed in place; -1: the engine made it
    bool operator==(const Output&) const = default;
  };

  explicit ProxyNode(const Plan& plan);

  // Takes at most kMaxBurst frames of one side; the frames that come out replace `out`.
  void feed(Role side, const std::vector<const Bytes*>& frames, std::uint64_t now);
  void tick(std::uint64_t now);
  // The process dies, and the next one goes on with its store.
  void die(std::uint64_t now);
  void end_rival() { rival_ = false; }
  std::vector<Output> out;

  [[nodiscard]] std::uint32_t flows() const { return engines_[0]->flows(); }
  [[nodiscard]] const Counters& counters() const { return *counters_[0]; }
  // Empty, or what does not add up: each packet must have exactly one fate, and the gauges must
  // agree.
  [[nodiscard]] std::string check_accounts() const;
  // Empty, or what is left after everything is over.
  [[nodiscard]] std::string check_empty() const;
  std::string violation;  // the first one

 private:
  void make_engine(std::size_t i);
  void allow_offloads();
  void publish_keys(std::uint64_t now);
  void check_limits(std::uint64_t now);
  void play_rival(std::uint64_t now);
  void feed_rival(const Bytes& frame, std::uint64_t now);
  void hide_rival();
  [[nodiscard]] PacketBuilder rival_frame() const;
  void tick_engines(std::uint64_t now);
  void feed_host(Role side, const std::vector<const Bytes*>& frames, std::uint64_t now);
  void change_mode(std::uint64_t now);
  void pass_on(Role side, const std::vector<const Bytes*>& frames);
  void feed_in_pieces(Role side, const std::vector<const Bytes*>& frames, std::uint64_t now);
  // Packets that the engine has sent on or answered.
  [[nodiscard]] std::uint64_t passed() const;
  void run(std::size_t engine, Role side, const std::vector<const Bytes*>& frames,
           std::uint64_t now, std::vector<Output>& said);

  EngineConfig config_;
  KeyRing ring_;
  std::size_t engines_in_use_;
  std::array<std::unique_ptr<Counters>, 2> counters_;
  std::array<std::unique_ptr<SourceLimits>, 2> limits_;
  std::array<std::optional<Mapping>, 2> stores_;        // if the process dies
  std::array<std::unique_ptr<FakeKernel>, 2> kernels_;  // if the kernel carries connections
  std::array<std::unique_ptr<Engine>, 2> engines_;
  RateReferee admitted_;
  RateReferee answered_;
  const bool offloads_;
  std::mt19937 offload_dice_;  // when it may not
  const bool over_limits_;
  const bool tight_;
  const bool allows_client_;
  const bool denies_rival_;
  const std::uint64_t adopts_at_;
  const SourceLists lists_;
  // Of the rival. It was there (`rivals_` of them) even when it comes no more.
  bool rival_;
  const HostPlan host_;
  const Bytes rival_address_;
  std::uint32_t rivals_ = 0;
  std::uint64_t rival_comes_ = 0;
  std::vector<std::vector<std::uint8_t>> buffers_;
  std::vector<Output> second_;
  const bool fragments_;
  std::mt19937 dice_;  // for the fragments
  const bool modes_;
  std::mt19937 mode_dice_;
  std::uint64_t mode_until_ = 0;
  std::uint32_t fragment_id_ = 0;
  std::uint64_t published_ = 0;
  std::uint64_t packets_in_ = 0;
  std::uint64_t carried_before_ = 0;  // by kernels of processes that died, and not counted by them
};

}  // namespace synproxy::test::sim
