// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/proxy_fixture.h"

#include <sched.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace synproxy::tests {
namespace {

std::vector<unsigned> cpus(unsigned count) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ::sched_getaffinity(0, sizeof allowed, &allowed);
  std::vector<unsigned> mine;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) mine.push_back(cpu);
  }
  std::vector<unsigned> list;
  for (unsigned w = 0; w < count; ++w) list.push_back(mine[w % mine.size()]);
  return list;
}

}  // namespace

dataplane::Eal& shared_eal() {
  static const std::shared_ptr<dataplane::Eal> eal = [] {
    dataplane::EalRequest request;
    request.name = "synproxy-test-" + std::to_string(::getpid());
    // More than any pair of ports here takes; touched only when used.
    request.pools = {{.buffers = 100'000, .data_room = 2176}};
    return dataplane::Eal::acquire(request);
  }();
  return *eal;
}

PortName raw(const std::string& interface) {
  return {PortName::Kind::kRawSocket, interface, interface};
}

PortName vdev(const std::string& text) { return {PortName::Kind::kVdev, text, text}; }

ProxyUnderTest::ProxyUnderTest(PortName client, PortName server, unsigned workers,
                               std::uint32_t idle_sleep_us)
    : protect_({parse_protect_rule("203.0.113.10:80")}) {
  static_cast<void>(shared_eal());
  Config config;
  config.client_port = std::move(client);
  config.server_port = std::move(server);
  config.workers = cpus(workers);
  config.loop.idle_sleep_us = idle_sleep_us;
  dataplane_ = std::make_unique<dataplane::Dataplane>(config, protect_, keys_);
  dataplane_->start();
}

std::uint64_t ProxyUnderTest::sum(
    const std::function<std::uint64_t(const dataplane::IoCounters&)>& f) const {
  std::uint64_t total = 0;
  for (unsigned w = 0; w < dataplane_->workers(); ++w) total += f(dataplane_->io(w));
  return total;
}

bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace synproxy::tests
