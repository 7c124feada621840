// SPDX-License-Identifier: BSD-3-Clause
#include "runner.h"

#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "world.h"

namespace synproxy::test::sim {
namespace {

volatile std::uint64_t running = 0;

// Strictly, formatting is not safe in a signal handler; but here the program is lost anyway.
void on_crash(int signal) {
  std::array<char, 80> text{};
  const int n = std::snprintf(text.data(), text.size(), "failed SYNPROXY_SEED=%llu: signal %d\n",
                              static_cast<unsigned long long>(running), signal);
  if (n > 0 && ::write(STDOUT_FILENO, text.data(), static_cast<std::size_t>(n)) < 0) ::_exit(2);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

void announce_crashes() {
  for (const int signal : {SIGABRT, SIGSEGV, SIGFPE, SIGILL, SIGBUS}) std::signal(signal, on_crash);
}

Outcome run_seed(std::uint64_t seed, bool trace) {
  running = seed;
  const Plan plan = make_plan(seed, lwip_is_there(), from_environment("SYNPROXY_DIES", 0) != 0);
  World world(plan, trace);
  Outcome o;
  o.failure = world.run();
  o.fingerprint = world.fingerprint();
  o.chance_hit = world.chance_hit();
  o.limited = world.limited();
  o.told = world.told();
  o.offloaded = world.offloaded();
  return o;
}

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace synproxy::test::sim
