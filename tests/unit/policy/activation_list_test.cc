// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/activation_list.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

ActiveService service(std::uint16_t cell) {
  ActiveService s;
  s.port = 80;
  s.cell = cell;
  s.address[3] = static_cast<std::uint8_t>(cell);
  return s;
}

ActiveList shown(const ActiveServices& services) {
  ActiveList list;
  auto seen = Published<ActiveList>::kNone;
  EXPECT_TRUE(services.published().news(seen, list));
  return list;
}

TEST(ActiveServices, AreShownUntilTheirCellIsAtPeace) {
  ActiveServices services;
  EXPECT_TRUE(shown(services).all().empty());
  services.add(service(1));
  services.add(service(2));
  services.add(service(1));  // another one of the same cell
  EXPECT_EQ(shown(services).all().size(), 3U);
  services.remove(1);
  const ActiveList left = shown(services);
  ASSERT_EQ(left.all().size(), 1U);
  EXPECT_TRUE(left.all()[0].same_service(service(2)));
  services.clear();
  EXPECT_TRUE(shown(services).all().empty());
}

TEST(ActiveServices, MoreThanFitAreNotNamed) {
  ActiveServices services;
  for (std::uint16_t cell = 0; cell < ActiveList::kMost + 5; ++cell) services.add(service(cell));
  EXPECT_EQ(shown(services).all().size(), ActiveList::kMost);
}

TEST(ActiveServices, AServiceIsItsAddressPortAndVlan) {
  const ActiveService s = service(1);
  ActiveService other = s;
  other.value = 7;
  EXPECT_TRUE(s.same_service(other));
  other.port = 81;
  EXPECT_FALSE(s.same_service(other));
  other = s;
  other.vlan = 5;
  EXPECT_FALSE(s.same_service(other));
}

}  // namespace
}  // namespace synproxy
