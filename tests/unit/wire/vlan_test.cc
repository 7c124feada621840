// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/vlan.h"

#include <gtest/gtest.h>

#include <set>

namespace synproxy {
namespace {

TEST(VlanStack, NoTagIsZero) {
  EXPECT_EQ(VlanStack{}.packed, 0U);
  EXPECT_EQ(VlanStack{}.tags(), 0U);
}

TEST(VlanStack, PacksAsTheHeaderSays) {
  const VlanStack one = VlanStack{}.pushed(kEtherTypeVlan, 0xa123);
  EXPECT_EQ(one.tags(), 1U);
  EXPECT_EQ(one.packed, 0x01000123U) << "the priority bits are no part of it";
  const VlanStack two = VlanStack{}.pushed(kEtherTypeQinQ, 0xffff).pushed(kEtherTypeVlan, 0x0001);
  EXPECT_EQ(two.tags(), 2U);
  EXPECT_EQ(two.packed, 0x0afff001U);
  const VlanStack both = VlanStack{}.pushed(kEtherTypeQinQ, 2).pushed(kEtherTypeQinQ, 1);
  EXPECT_EQ(both.packed, 0x0e002001U);
}

TEST(VlanStack, PriorityTagIsNoVlan) {
  EXPECT_EQ(VlanStack{}.pushed(kEtherTypeVlan, 0xe000), VlanStack{});
  const VlanStack five = VlanStack{}.pushed(kEtherTypeVlan, 5);
  EXPECT_EQ(VlanStack{}.pushed(kEtherTypeQinQ, 0x2000).pushed(kEtherTypeVlan, 5), five);
  EXPECT_EQ(five.pushed(kEtherTypeVlan, 0x2000), five);
}

// Two connections with the same addresses in different VLANs must never meet.
TEST(VlanStack, DifferentStacksNeverPackAlike) {
  const std::uint16_t vids[] = {1, 2, 0x800, 0xffe, 0xfff};
  const std::uint16_t tpids[] = {kEtherTypeVlan, kEtherTypeQinQ};
  std::set<std::uint32_t> seen{VlanStack{}.packed};
  std::size_t stacks = 1;
  for (const auto outer : vids) {
    for (const auto outer_tpid : tpids) {
      const VlanStack one = VlanStack{}.pushed(outer_tpid, outer);
      seen.insert(one.packed);
      ++stacks;
      for (const auto inner : vids) {
        for (const auto inner_tpid : tpids) {
          seen.insert(one.pushed(inner_tpid, inner).packed);
          ++stacks;
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), stacks);
  for (const std::uint32_t packed : seen) EXPECT_EQ(packed >> 28, 0U) << "bit 31 is the family's";
}

}  // namespace
}  // namespace synproxy
