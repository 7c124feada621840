// SPDX-License-Identifier: BSD-3-Clause
#include "flood.h"

#include <algorithm>

#include "answers.h"
#include "rate_windows.h"
#include "syn_source.h"

namespace synproxy::generator {
namespace {

constexpr double kWarmUp = 0.1;
constexpr double kSettle = 0.5;
// Our own turns of the loop take a tenth of that: a longer one means that another program had the
// CPU.
constexpr double kPause = 20e-6;
constexpr unsigned kServerTurns = 16;  // next to nothing comes from there

}  // namespace

nlohmann::json run_flood(const Step& step, const Stand& stand) {
  const bool timed = step.kind == Step::Kind::kLatency;
  SynSource source(step, timed);
  Answers answers(step, stand, timed);
  RateWindows rate(step.seconds);
  std::uint64_t sent = 0;
  std::uint64_t pauses = 0;
  std::uint64_t bursts = 0;
  std::uint64_t refused = 0;  // in part at least
  unsigned turn = 0;

  const std::uint64_t begin = now();
  const std::uint64_t warm = begin + ticks(kWarmUp);
  const std::uint64_t end = warm + ticks(step.seconds);
  source.begin(begin);
  answers.paused(timed ? warm : 0);
  rate.begin(warm, 0);
  bool measuring = false;
  std::uint64_t last = begin;
  for (std::uint64_t at = begin; at < end && !stand.stopped(); at = now()) {
    if (timed && at - last > ticks(kPause)) {
      ++pauses;
      source.begin(at);
      answers.paused(std::max(at, warm));
    }
    last = at;
    if (at >= warm) {
      if (!measuring) rate.begin(at, answers.answered());
      measuring = true;
      rate.observe(at, answers.answered());
    }
    source.make(at);
    if (source.ready() != 0) {
      const std::uint16_t n = stand.client->send(source.burst(), source.ready());
      ++bursts;
      if (n < source.ready()) ++refused;
      source.taken(n);
      sent += n;
    }
    // Never let answers wait: a full link would be our fault.
    while (answers.receive() == kBurst) {
    }
    if (++turn % kServerTurns == 0) answers.receive_server();
  }
  const double took = seconds(now() - begin);
  answers.settle(sent, ticks(kSettle));
  answers.conclude(sent);

  nlohmann::json j = answers.report();
  j["sent"] = sent;
  j["answered"] = answers.answered();
  j["sent_rate"] = static_cast<double>(sent) / took;
  j["answered_rate"] = rate.median();
  j["loss"] = sent > answers.answered()
                  ? 1.0 - static_cast<double>(answers.answered()) / static_cast<double>(sent)
                  : 0.0;
  // Near 1, the contender is the limit; near 0, the generator.
  j["link_full"] = bursts != 0 ? static_cast<double>(refused) / static_cast<double>(bursts) : 0.0;
  if (timed) j["pauses"] = pauses;
  return j;
}

}  // namespace synproxy::generator
