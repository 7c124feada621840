// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/interface_prep.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/ethtool.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

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
    EXPECT_TRUE(dev.facts()->promiscuous);
  }
  EXPECT_FALSE(dev.facts()->promiscuous);
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

// Killed: no destructor runs. The next one knows what was before.
TEST_F(Prep, WhatAKilledProxyChangedIsRestoredByTheNext) {
  const Netdev dev("prep-near");
  const auto records =
      std::filesystem::temp_directory_path() / ("synproxy-prep-test-" + std::to_string(::getpid()));
  set_ipv6_disabled(0);
  ASSERT_TRUE(dev.ethtool_set(ETHTOOL_SGRO, 1));
  ASSERT_TRUE(ip("link set prep-near down"));
  for (int kills = 0; kills < 3; ++kills) {
    const pid_t child = ::fork();
    if (child == 0) {
      const InterfacePrep prep(dev, InterfacePrep::Frames::kAsOnTheWire, records);
      ::raise(SIGKILL);
    }
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    EXPECT_EQ(ipv6_disabled(), 1);
    EXPECT_EQ(dev.ethtool_get(ETHTOOL_GGRO), 0U);
    EXPECT_TRUE(dev.facts()->up);
  }
  EXPECT_FALSE(interface_has_user("prep-near", records)) << "it was killed";
  for (const auto& entry : std::filesystem::directory_iterator(records)) {
    const int fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(::flock(fd, LOCK_SH | LOCK_NB), 0);
    EXPECT_FALSE(interface_has_user("prep-near", records)) << "somebody else looks, too";
    ::close(fd);
  }
  {
    const InterfacePrep prep(dev, InterfacePrep::Frames::kAsOnTheWire, records);
    EXPECT_TRUE(interface_has_user("prep-near", records));
    EXPECT_FALSE(interface_has_user("prep-far", records));
    EXPECT_FALSE(interface_has_user("prep-none", records));
    EXPECT_EQ(ipv6_disabled(), 1);
    // Another one beside it has no record, and restores nothing that is not its own.
    { const InterfacePrep second(dev, InterfacePrep::Frames::kAsOnTheWire, records); }
    EXPECT_EQ(ipv6_disabled(), 1);
  }
  EXPECT_EQ(ipv6_disabled(), 0);
  EXPECT_EQ(dev.ethtool_get(ETHTOOL_GGRO), 1U);
  EXPECT_FALSE(dev.facts()->up);
  EXPECT_TRUE(std::filesystem::is_empty(records));

  set_ipv6_disabled(1);
  { const InterfacePrep prep(dev, InterfacePrep::Frames::kAsOnTheWire, records); }
  EXPECT_EQ(ipv6_disabled(), 1) << "nothing is restored twice";
  std::filesystem::remove_all(records);
}

TEST_F(Prep, RecordThatIsCutOrNotOursIsNotBelieved) {
  const Netdev dev("prep-near");
  const auto records =
      std::filesystem::temp_directory_path() / ("synproxy-prep-test-" + std::to_string(::getpid()));
  const InterfaceSetting whole{.what = ETHTOOL_SGRO, .before = 1};
  {
    InterfaceRecord record(records, dev.name(), *dev.facts());
    record.add(whole);
  }
  const std::filesystem::path file = std::filesystem::directory_iterator(records)->path();
  std::ofstream(file, std::ios::app) << ETHTOOL_STSO << " 1";
  for (int looks = 0; looks < 2; ++looks) {
    const InterfaceRecord record(records, dev.name(), *dev.facts());
    EXPECT_EQ(record.left_behind(), std::vector<InterfaceSetting>{whole});
    record.add({InterfaceSetting::kUp, 0});
    std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  }
  std::filesystem::permissions(records, std::filesystem::perms::all);
  EXPECT_TRUE(InterfaceRecord(records, dev.name(), *dev.facts()).left_behind().empty());
  std::filesystem::remove_all(records);
  EXPECT_TRUE(InterfaceRecord("", dev.name(), *dev.facts()).left_behind().empty());
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
