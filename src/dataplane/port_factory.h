// SPDX-License-Identifier: BSD-3-Clause
// Turns the name that the user typed into a port. Planning comes before EAL and refuses what can be
// seen from outside; making and opening it come after EAL.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/descriptor.h"
#include "base/port_id.h"
#include "dataplane/eal.h"
#include "dataplane/memory_plan.h"
#include "dataplane/port.h"
#include "synproxy/policy/protect.h"

namespace synproxy::dataplane {

// What two processes get that have the device at the same time.
enum class Sharing : std::uint8_t {
  kCopies,  // each gets every frame
  kParts,   // a frame goes to one of them
  kAlone,   // only one can have it
};

struct PortPlan {
  PortName name;
  PortId id = PortId::kClient;
  unsigned workers = 1;
  PoolPlan pool{};
  PoolPlan super_pool{};         // empty: the port brings no super-frames
  std::uint32_t max_frame = 0;   // bytes, tags included
  bool moves_addresses = false;  // those of the interface go to the other port
  bool needs_hugepages = false;  // a device without an IOMMU needs physical addresses
  Sharing sharing = Sharing::kAlone;
};

[[nodiscard]] PortPlan plan_port(const PortName& name, PortId id, unsigned workers);
// Ports of which each process gets copies are open then; for the others Port::open() is to be
// called. `files`: Port::files() of the predecessor's port. All three throw UsageError if the name,
// the device's state or the rights are wrong, and RuntimeFailure if a proper device fails. `eal`
// outlives the port.
[[nodiscard]] std::unique_ptr<Port> make_port(const PortPlan& plan, RssWord rss_word,
                                              const ProtectSet& protect,
                                              std::vector<Descriptor> files, rte_mempool* pool,
                                              rte_mempool* super_pool, Eal& eal);

}  // namespace synproxy::dataplane
