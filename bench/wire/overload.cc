// SPDX-License-Identifier: BSD-3-Clause
// Theory of operation. Here the client link is a wire that does not wait. SYNs come at their rate,
// with the frames of real clients at random places among them. A frame that finds the proxy's
// receive ring full is lost, whoever sent it, as on a network card. (memif tells the sender. A SYN
// that was not taken is sent next, because nobody has seen it; so offering SYNs costs little.)
//
// First the steady clients connect and talk undisturbed. Then the flood begins, and in its first
// part newcomers arrive who want a page each. In the rest of the time they can try again.
#include "overload.h"

#include <algorithm>

#include "players.h"
#include "syn_source.h"

namespace synproxy::generator {
namespace {

using Habit = Clients::Habit;

constexpr double kConnect = 1;      // for the steady clients to connect
constexpr double kUndisturbed = 2;  // to be compared with
constexpr double kLeft = 15.5;      // for the last newcomer, who tries after 0, 1, 3, 7 and 15 s
constexpr double kPause = 1e-3;     // after a longer pause, another program had the CPU: plan anew
constexpr std::uint16_t kRealOnes = 16;  // of a burst

// Arrivals at a rate.
class Pace {
 public:
  Pace(double rate, std::uint64_t at)
      : interval_(static_cast<double>(rte_get_tsc_hz()) / rate), next_(static_cast<double>(at)) {}
  [[nodiscard]] std::uint16_t due(std::uint64_t at, std::uint16_t most) {
    const double late = static_cast<double>(at) - next_;
    if (late < 0) return 0;
    if (late > static_cast<double>(ticks(kPause))) next_ = static_cast<double>(at);
    return static_cast<std::uint16_t>(std::min<double>(most, late / interval_ + 1));
  }
  void done(std::uint16_t n) { next_ += interval_ * n; }

 private:
  const double interval_;
  double next_;
};

class Overload {
 public:
  Overload(const Step& step, const Stand& stand)
      : step_(step),
        stand_(stand),
        players_(step, stand),
        source_(unhurried(step), false),
        flood_(step, stand, false),
        random_(1) {}

  nlohmann::json run() {
    const std::uint64_t begin = now();
    players_.clients.join(Habit::kSteady, step_.flows, begin, ticks(kConnect / 2));
    run_until(begin + ticks(kConnect), nullptr);
    const double undisturbed = responses_per_second(kUndisturbed, nullptr);
    const std::uint64_t at = now();
    players_.clients.join(Habit::kOnce, step_.newcomers, at,
                          ticks(std::max(step_.seconds / 4, step_.seconds - kLeft)));
    Pace pace(step_.rate, at);
    const double loaded = responses_per_second(step_.seconds, &pace);
    return report(undisturbed, loaded);
  }

 private:
  // The source gives as many frames as it is asked for: the pace is kept here.
  static Step unhurried(Step step) {
    step.rate = 0;
    return step;
  }

  double responses_per_second(double duration, Pace* pace) {
    const std::uint64_t before = players_.clients.tally(Habit::kSteady).responses;
    const std::uint64_t at = now();
    run_until(at + ticks(duration), pace);
    const std::uint64_t count = players_.clients.tally(Habit::kSteady).responses - before;
    return static_cast<double>(count) / seconds(now() - at);
  }

  void run_until(std::uint64_t end, Pace* pace) {
    for (std::uint64_t at = now(); at < end && !stand_.stopped(); at = now()) {
      players_.clients.visit(at);
      send(at, pace);
      for (int burst = 0; burst < 4 && players_.receive_client(at, &flood_) == kBurst; ++burst) {
      }
      players_.receive_server();
      players_.to_client.send();
    }
  }

  // A burst as it arrives on a wire; frames that do not fit into the ring are lost.
  void send(std::uint64_t at, Pace* pace) {
    const auto real =
        static_cast<std::uint16_t>(std::min<unsigned>(players_.to_proxy.count(), kRealOnes));
    std::uint16_t syns = 0;
    if (pace != nullptr) {
      syns = pace->due(at, static_cast<std::uint16_t>(kBurst - real));
      pace->done(syns);
      source_.make(at);
    }
    std::array<rte_mbuf*, kBurst> frames;
    std::copy_n(source_.burst(), syns, frames.begin());
    std::array<bool, kBurst> is_real{};
    std::uint16_t n = syns;
    for (std::uint16_t i = 0; i < real; ++i, ++n) {  // each at a random place
      const std::uint32_t place = random_.below(n + 1U);
      frames[n] = frames[place];
      is_real[n] = is_real[place];
      frames[place] = players_.to_proxy.take();
      is_real[place] = true;
    }
    if (n == 0) return;
    const std::uint16_t accepted = stand_.client->send(frames.data(), n);
    offered_ += syns;
    // SYNs that were not taken go back to the source, before those that it has not given yet.
    std::uint16_t kept = syns;
    for (std::uint16_t i = n; i > accepted; --i) {
      if (is_real[i - 1U]) {
        ++real_lost_;
        rte_pktmbuf_free(frames[i - 1U]);
      } else {
        source_.burst()[--kept] = frames[i - 1U];
      }
    }
    source_.taken(kept);
    taken_ += kept;
    real_sent_ += real;
  }

  nlohmann::json report(double undisturbed, double loaded);

  const Step& step_;
  const Stand& stand_;
  Players players_;
  SynSource source_;
  Answers flood_;
  Random random_;
  std::uint64_t offered_ = 0;    // SYNs of the flood
  std::uint64_t taken_ = 0;      // of these, by the link
  std::uint64_t real_sent_ = 0;  // frames of clients
  std::uint64_t real_lost_ = 0;  // of these, on a full ring
};

nlohmann::json Overload::report(double undisturbed, double loaded) {
  const Tally& steady = players_.clients.tally(Habit::kSteady);
  const Tally& once = players_.clients.tally(Habit::kOnce);
  const Histogram& pages = players_.clients.page_times();
  const auto ms = [&](double p) {
    return pages.percentile(p) * 1e3 / static_cast<double>(rte_get_tsc_hz());
  };
  FaultCount faults = players_.faults();
  faults.add(flood_.faults());
  return {{"offered_rate", static_cast<double>(offered_) / step_.seconds},
          {"taken_rate", static_cast<double>(taken_) / step_.seconds},
          {"answered_rate", static_cast<double>(flood_.answered()) / step_.seconds},
          {"undisturbed", undisturbed},
          {"loaded", loaded},
          {"goodput_share", undisturbed > 0 ? loaded / undisturbed : 0.0},
          {"pages_asked", step_.newcomers},
          {"pages_fetched", once.responses},
          {"pages_share", static_cast<double>(once.responses) / step_.newcomers},
          {"syns_needed", players_.clients.syns_needed()},
          {"page_ms", {{"p50", ms(0.5)}, {"p99", ms(0.99)}}},
          {"real_sent", real_sent_},
          {"real_lost", real_lost_},
          {"steady", report_of(steady)},
          {"newcomers", report_of(once)},
          {"faults", report_of(faults)}};
}

}  // namespace

nlohmann::json run_overload(const Step& step, const Stand& stand) {
  return Overload(step, stand).run();
}

}  // namespace synproxy::generator
