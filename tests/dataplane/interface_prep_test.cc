// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/interface_prep.h"

#include <gtest/gtest.h>
#include <linux/ethtool.h>

#include <fstream>

#include "dataplane/veth_pair.h"

namespace synproxy::dataplane {
namespace {

using tests::ip;
using tests::VethPair;

class Prep : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!tests::own_network_namespace()) GTEST_SKIP() << "needs root: no network namespace";
    wire_.emplace("prep-near", "prep-far");
  }
  static int ipv6_disabled() {
    int disabled = -1;
    std::ifstream("/proc/sys/net/ipv6/conf/prep-near/disable_ipv6") >> disabled;
    return disabled;
  }
  static void set_ipv6_disabled(int value) {
    std::ofstream("/proc/sys/net/ipv6/conf/prep-near/disable_ipv6") << value;
  }

  std::optional<VethPair> wire_;
};

TEST_F(Prep, OffloadsAreOffInsideAndAsBeforeAfterwards) {
  const Netdev dev("prep-near");
  ASSERT_TRUE(dev.ethtool_set(ETHTOOL_SGRO, 1));
  ASSERT_TRUE(dev.ethtool_set(ETHTOOL_STXCSUM, 1));
  ASSERT_TRUE(dev.ethtool_set(ETHTOOL_STSO, 0));
  {
    const InterfacePrep prep(dev, InterfacePrep::Frames::kAsOnTheWire);
    for (const std::uint32_t get : std::initializer_list<std::uint32_t>{
             ETHTOOL_GGRO, ETHTOOL_GTXCSUM, ETHTOOL_GRXCSUM, ETHTOOL_GTSO, ETHTOOL_GGSO}) {
      EXPECT_EQ(dev.ethtool_get(get), 0U) << get;
    }
    EXPECT_EQ(dev.ethtool_get(ETHTOOL_GFLAGS).value_or(0) &
                  (ETH_FLAG_LRO | ETH_FLAG_RXVLAN | ETH_FLAG_TXVLAN),
              0U);
    EXPECT_EQ(prep.warning(), "");
  }
  EXPECT_EQ(dev.ethtool_get(ETHTOOL_GGRO), 1U);
  EXPECT_EQ(dev.ethtool_get(ETHTOOL_GTXCSUM), 1U);
  EXPECT_EQ(dev.ethtool_get(ETHTOOL_GTSO), 0U);
}

TEST_F(Prep, InterfaceThatIsDownIsUpInsideAndDownAfterwards) {
  const Netdev dev("prep-near");
  ASSERT_TRUE(ip("link set prep-near down"));
  {
    const InterfacePrep prep(dev, InterfacePrep::Frames::kAsOnTheWire);
    EXPECT_TRUE(dev.facts()->up);
  }
  EXPECT_FALSE(dev.facts()->up);
}

TEST_F(Prep, InterfaceWithoutAddressHasNoIpv6Inside) {
  const Netdev dev("prep-near");
  set_ipv6_disabled(0);
  {
    const InterfacePrep prep(dev, InterfacePrep::Frames::kAsOnTheWire);
    EXPECT_EQ(ipv6_disabled(), 1);
  }
  EXPECT_EQ(ipv6_disabled(), 0);
  set_ipv6_disabled(1);
  { const InterfacePrep prep(dev, InterfacePrep::Frames::kAsOnTheWire); }
  EXPECT_EQ(ipv6_disabled(), 1) << "it was off before";
}

TEST_F(Prep, InterfaceThatTheHostUsesIsLeftItsAddressesAndReported) {
  const Netdev dev("prep-near");
  set_ipv6_disabled(0);
  ASSERT_TRUE(ip("addr add 192.0.2.1/24 dev prep-near"));
  const InterfacePrep prep(dev, InterfacePrep::Frames::kAsOnTheWire);
  EXPECT_NE(prep.warning().find("ip address flush dev prep-near"), std::string::npos);
  EXPECT_EQ(ipv6_disabled(), 0);
}

TEST_F(Prep, InterfaceThatVanishedMeanwhileIsNotMissed) {
  const Netdev dev("prep-near");
  {
    const InterfacePrep prep(dev, InterfacePrep::Frames::kAsOnTheWire);
    wire_->remove();
  }
  EXPECT_FALSE(dev.facts());
}

}  // namespace
}  // namespace synproxy::dataplane
