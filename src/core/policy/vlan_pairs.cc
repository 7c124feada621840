// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/vlan_pairs.h"

namespace synproxy {

VlanStack VlanPairs::as_clients(VlanStack vlan, Role sender) const {
  if (sender == Role::kClient || vlan.tags() == 0) return vlan;
  const std::uint32_t inner = answering(vlan.inner(), sender);
  const std::uint32_t outer = vlan.tags() == 2 ? answering(vlan.outer(), sender) : 0U;
  return vlan.with_vids(inner, outer);
}

}  // namespace synproxy
