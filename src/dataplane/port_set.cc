// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/port_set.h"

#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <initializer_list>
#include <thread>

#include "base/port_errors.h"

namespace synproxy::dataplane {
namespace {

bool needs_all(const PerPort<PortPlan>& plans) {
  return std::ranges::any_of(
      plans, [](const PortPlan& plan) { return plan.name.kind == PortName::Kind::kPci; });
}

template <Sharing kSharing>
bool has(const PortPlan& plan) {
  return plan.sharing == kSharing;
}

using std::chrono::milliseconds;

// A process that was killed may still be about to end.
constexpr auto kPauses = {milliseconds(0), milliseconds(60), milliseconds(120)};

// Opens what another process had a moment ago.
void open_soon(Port& port) {
  for (const milliseconds& pause : kPauses) {
    std::this_thread::sleep_for(pause);
    try {
      return port.open();
    } catch (const std::exception&) {
      if (&pause + 1 == kPauses.end()) throw;
    }
  }
}

}  // namespace

PortSet::PortSet(const PerPort<PortPlan>& plans, RssWord rss_word, const ProtectSet& protect,
                 const Pools& pools, Eal& eal, const Predecessor* predecessor)
    : plans_(plans), all_open_(std::ranges::all_of(plans, has<Sharing::kCopies>)) {
  const bool stops_first = predecessor != nullptr && needs_all(plans);
  if (stops_first) predecessor->stop();
  const auto make = [&](PortId id) {
    const auto i = static_cast<std::size_t>(id);
    ports_[id] = make_port(plans[id], rss_word, protect,
                           predecessor != nullptr && predecessor->files ? predecessor->files(id)
                                                                        : std::vector<Descriptor>{},
                           pools[i], pools[i + 2], eal);
  };
  if (predecessor != nullptr) {
    for (const PortId id : kAllPorts) make(id);
    if (all_open_ || stops_first) open_all();
    return;
  }
  // A device that cannot exist is reported first.
  for (const bool interfaces : {false, true}) {
    for (const PortId id : kAllPorts) {
      if (interfaces) refuse_used_interface(plans[id].name, id);
    }
    for (const PortId id : kAllPorts) {
      if (plans[id].name.is_interface() == interfaces) make(id);
    }
    for (const PortId id : kAllPorts) {
      if (plans[id].name.is_interface() == interfaces) ports_[id]->open();
    }
  }
  all_open_ = true;
}

void PortSet::open_beside() {
  for (const PortId id : kAllPorts) {
    if (plans_[id].sharing == Sharing::kParts) ports_[id]->open();
  }
}

bool PortSet::opens_without_rights() const {
  return std::ranges::all_of(kAllPorts, [this](PortId id) {
    return all_open_ || plans_[id].sharing == Sharing::kCopies ||
           ports_[id]->opens_without_rights();
  });
}

bool PortSet::loads_programs() const {
  return std::ranges::any_of(kAllPorts, [this](PortId id) {
    return ports_[id]->loads_programs() || plans_[id].name.device.starts_with("net_af_xdp");
  });
}

bool PortSet::shares() const { return std::ranges::any_of(plans_, has<Sharing::kParts>); }

void PortSet::open_all() {
  for (const PortId id : kAllPorts) {
    if (!all_open_ && plans_[id].sharing == Sharing::kAlone) {
      open_soon(*ports_[id]);
    } else {
      ports_[id]->open();
    }
  }
  all_open_ = true;
}

void PortSet::close_alone() {
  for (const PortId id : kAllPorts) {
    if (plans_[id].sharing != Sharing::kAlone) continue;
    ports_[id]->close();
    all_open_ = false;
  }
}

void PortSet::forget_received(PortId id) const {
  constexpr unsigned kMostBursts = 512;  // longer than any ring; what comes meanwhile ends nowhere
  IoCounters uncounted;
  Port& port = *ports_[id];
  for (std::uint16_t q = 0; q < port.receive_queues(); ++q) {
    std::array<rte_mbuf*, kMaxBurst> frames;
    for (unsigned burst = 0; burst < kMostBursts; ++burst) {
      const std::uint16_t n = port.receive(q, frames.data(), kMaxBurst, uncounted);
      rte_pktmbuf_free_bulk(frames.data(), n);
      if (n == 0) break;
    }
  }
}

void PortSet::forget_copies() const {
  for (const PortId id : kAllPorts) {
    if (plans_[id].sharing == Sharing::kCopies) forget_received(id);
  }
}

std::vector<std::string> PortSet::supervise() const {
  std::vector<std::string> lines;
  for (const PortId id : kAllPorts) {
    std::vector<std::string> news;
    ports_[id]->supervise(news);
    for (const std::string& line : news) {
      lines.push_back(flag_and_value(plans_[id].name, id) + ": " + line);
    }
  }
  return lines;
}

}  // namespace synproxy::dataplane
