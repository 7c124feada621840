// SPDX-License-Identifier: BSD-3-Clause
// Turns the name that the user typed into an open port. Planning comes before EAL and refuses what
// can be seen from outside; opening comes after EAL.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/config.h"
#include "dataplane/eal.h"
#include "dataplane/memory_plan.h"
#include "dataplane/port.h"
#include "synproxy/policy/protect.h"

namespace synproxy::dataplane {

struct PortPlan {
  PortName name;
  PortId id = PortId::kClient;
  unsigned workers = 1;
  PoolPlan pool;
  PoolPlan super_pool;          // empty: the port brings no super-frames
  std::uint32_t max_frame = 0;  // bytes, tags included
  std::uint16_t xdp_queues = 0;
  bool moves_addresses = false;  // those of the interface go to the other port
  bool needs_hugepages = false;  // a device without an IOMMU needs physical addresses
};

// "--client-port eth1", as an error text begins.
[[nodiscard]] std::string flag_and_value(const PortName& name, PortId id);

[[nodiscard]] PortPlan plan_port(const PortName& name, PortId id, unsigned workers);
// Both throw UsageError if the name, the device's state or the rights are wrong, and RuntimeFailure
// if a proper device fails.
[[nodiscard]] std::unique_ptr<Port> open_port(const PortPlan& plan, RssWord rss_word,
                                              const ProtectSet& protect, rte_mempool* pool,
                                              rte_mempool* super_pool, Eal& eal);

}  // namespace synproxy::dataplane
