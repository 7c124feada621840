// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/vlan_pairs.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace synproxy {
namespace {

TEST(VlanPairs, AreReadAndChecked) {
  EXPECT_EQ(parse_vlan_pair("100:101"), (VlanPair{100, 101}));
  for (const char* bad : {"", "100", "100:", ":101", "0:1", "1:4095", "1:2:3", "a:b", "1: 2"}) {
    EXPECT_THROW(static_cast<void>(parse_vlan_pair(bad)), std::invalid_argument) << bad;
  }
  EXPECT_THROW(VlanPairs({{1, 2}, {1, 3}}), std::invalid_argument);
  EXPECT_THROW(VlanPairs({{1, 2}, {3, 2}}), std::invalid_argument);
  EXPECT_NO_THROW(VlanPairs({{1, 2}, {2, 1}}));
}

TEST(VlanPairs, BothTagsOfAStackAreTranslated) {
  const VlanPairs pairs({{10, 20}, {11, 21}});
  const VlanStack client = VlanStack{}.pushed(kEtherTypeQinQ, 10).pushed(kEtherTypeVlan, 11);
  const VlanStack server = VlanStack{}.pushed(kEtherTypeQinQ, 20).pushed(kEtherTypeVlan, 21);
  EXPECT_EQ(pairs.as_clients(server, Role::kServer), client);
  EXPECT_EQ(pairs.as_clients(client, Role::kClient), client);
  EXPECT_EQ(pairs.as_clients(VlanStack{}, Role::kServer), VlanStack{});
}

}  // namespace
}  // namespace synproxy
