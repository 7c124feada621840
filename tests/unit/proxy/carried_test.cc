// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/carried.h"

#include <gtest/gtest.h>

#include "synproxy/flow/index_hash.h"
#include "synproxy/flow/table.h"

namespace synproxy {
namespace {

FlowKey key(bool ipv6, VlanStack vlan) {
  FlowKey k{};
  k.client = {203, 0, 113, 7};
  k.server = {198, 51, 100, 9};
  if (ipv6) {
    k.client[15] = 1;
    k.server[15] = 2;
  }
  k.client_port = 40'000;
  k.server_port = 443;
  k.vlan = vlan;
  k.ipv6 = ipv6;
  return k;
}

// A key leads to a record and its addresses, and these lead back to the key.
TEST(CarriedFlow, HasTheKeyOfItsConnection) {
  for (const bool ipv6 : {false, true}) {
    const VlanStack outer = VlanStack{}.pushed(kEtherTypeQinQ, 7);
    for (const VlanStack vlan : {VlanStack{}, outer, outer.pushed(kEtherTypeVlan, 5)}) {
      FlowTable table(16);
      const FlowKey k = key(ipv6, vlan);
      const auto hash = [](const FlowKey& of) { return index_hash({1, 2, 3, 4}, of); };
      const FlowIndex i = table.insert(k, hash(k));
      ASSERT_NE(i, kNoFlow);
      CarriedFlow carried{};
      carried.record = table[i];
      carried.client = k.client;
      carried.server = k.server;
      EXPECT_EQ(carried.key(), k);
      EXPECT_TRUE(FlowTable::could_be(carried.record, carried.key(), hash(carried.key())));
      carried.server[0] ^= 1;
      EXPECT_FALSE(FlowTable::could_be(carried.record, carried.key(), hash(carried.key())))
          << "another server";
    }
  }
}

}  // namespace
}  // namespace synproxy
