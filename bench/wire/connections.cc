// SPDX-License-Identifier: BSD-3-Clause
#include "connections.h"

#include "players.h"
#include "rate_windows.h"

namespace synproxy::generator {

namespace {

constexpr double kWarmUp = 0.1;
constexpr double kSettle = 0.5;

void turn(Players& players, std::uint64_t at) {
  players.clients.visit(at);
  players.to_proxy.send();
  players.receive_client(at);
  players.to_proxy.send();
  players.receive_server();
  players.to_client.send();
}

}  // namespace

nlohmann::json run_connections(const Step& step, const Stand& stand) {
  constexpr auto kHabit = Clients::Habit::kHasty;
  Players players(step, stand);
  RateWindows rate(step.seconds);
  const std::uint64_t begin = now();
  const std::uint64_t warm = begin + ticks(kWarmUp);
  const std::uint64_t end = warm + ticks(step.seconds);
  players.clients.join(kHabit, step.concurrent, begin, 0);
  bool measuring = false;
  for (std::uint64_t at = begin; at < end && !stand.stopped(); at = now()) {
    if (at >= warm) {
      if (!measuring) rate.begin(at, players.clients.tally(kHabit).done);
      measuring = true;
      rate.observe(at, players.clients.tally(kHabit).done);
    }
    turn(players, at);
  }
  // Finish what has begun, so that the next step finds nothing of it.
  players.clients.retire();
  for (std::uint64_t at = now(); at < end + ticks(kSettle) && players.clients.busy() != 0;
       at = now()) {
    turn(players, at);
  }
  nlohmann::json j = report_of(players.clients.tally(kHabit));
  j["unfinished"] = players.clients.busy();
  j["connections_rate"] = rate.median();
  j["faults"] = report_of(players.faults());
  return j;
}

}  // namespace synproxy::generator
