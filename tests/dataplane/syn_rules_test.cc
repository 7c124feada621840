// SPDX-License-Identifier: BSD-3-Clause
// Rules that bring SYNs into queues of their own: their content, and what happens if a device
// refuses them. No device here has such rules, so the test simulates one.
#include "dataplane/syn_rules.h"

#include <gtest/gtest.h>
#include <rte_bus_vdev.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <array>
#include <optional>
#include <set>

#include "dataplane/dpdk_version.h"
#include "dataplane/eth_port.h"
#include "dataplane/proxy_fixture.h"
#include "synproxy/wire/bytes.h"

namespace synproxy::dataplane {
namespace {

using Octets = std::vector<std::uint8_t>;

const SynQueues kOne{1, 1, 0, {}};
const SynQueues kThree{
    3, 3, RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP,
    Octets(40, 0x6d)};

// Accepts what it is told to, and says whether the device ran when it was asked.
class PlayedDevice final : public FlowDevice {
 public:
  SynMatching can = SynMatching::kFlags;
  std::function<bool(const SynRule&)> accept = [](const SynRule&) { return true; };
  unsigned adds_until_refusal = UINT_MAX;
  std::function<void()> on_add = [] {};

  std::set<void*> rules;
  unsigned asked = 0;

  [[nodiscard]] SynMatching matching() const override { return can; }
  [[nodiscard]] bool accepts(const SynRule& rule) override {
    ++asked;
    return accept(rule);
  }
  [[nodiscard]] void* add(const SynRule&) override {
    on_add();
    if (adds_until_refusal-- == 0) return nullptr;
    void* handle = handles_ + next_++;
    rules.insert(handle);
    return handle;
  }
  void remove(void* handle) override { EXPECT_EQ(rules.erase(handle), 1U) << "never added"; }

 private:
  char handles_[64] = {};
  unsigned next_ = 0;
};

const rte_flow_item* item(const SynRule& rule, rte_flow_item_type type) {
  for (const rte_flow_item* i = rule.pattern(); i->type != RTE_FLOW_ITEM_TYPE_END; ++i) {
    if (i->type == type) return i;
  }
  return nullptr;
}

bool names_an_address(const SynRule& rule) {
  const auto* v4 = item(rule, RTE_FLOW_ITEM_TYPE_IPV4);
  const auto* v6 = item(rule, RTE_FLOW_ITEM_TYPE_IPV6);
  return (v4 != nullptr && v4->spec != nullptr) || (v6 != nullptr && v6->spec != nullptr);
}

// The rule looks only at the destination port and the flags of the header.
std::string tcp_of(const SynRule& rule) {
  const auto* tcp = item(rule, RTE_FLOW_ITEM_TYPE_TCP);
  std::string text;
  for (const void* side : {tcp->spec, tcp->mask}) {
    Octets bytes(20);
    std::memcpy(bytes.data(), side, bytes.size());
    text += std::to_string(load_be<std::uint16_t>(bytes.data() + 2)) + "/" +
            std::to_string(bytes[13]) + " ";
    bytes[2] = bytes[3] = bytes[13] = 0;
    EXPECT_EQ(bytes, Octets(20)) << "something else is matched";
  }
  return text;
}

TEST(SynRules, DriversThatWereRead) {
  EXPECT_EQ(syn_matching_of("mlx5_pci"), SynMatching::kFlags);
  EXPECT_EQ(syn_matching_of("net_ixgbe"), SynMatching::kFilter);
  EXPECT_EQ(syn_matching_of("net_e1000_igb"), SynMatching::kFilter);
  for (const char* other :
       {"net_virtio", "net_e1000_em", "net_i40e", "net_ice", "", "net_ixgbe_vf"}) {
    EXPECT_EQ(syn_matching_of(other), SynMatching::kNone) << other;
  }
}

TEST(SynRules, FilterIsOneTcpItemWithSynAloneAndOneQueue) {
  const auto plans = plan_syn_rules(SynMatching::kFilter, kOne, {});
  ASSERT_EQ(plans.size(), 1U);
  ASSERT_EQ(plans[0].size(), 1U);
  const SynRule& rule = *plans[0][0];
  EXPECT_EQ(rule.pattern()[0].type, RTE_FLOW_ITEM_TYPE_TCP);
  EXPECT_EQ(rule.pattern()[1].type, RTE_FLOW_ITEM_TYPE_END);
  EXPECT_EQ(tcp_of(rule), "0/2 0/2 ");
  EXPECT_EQ(rule.actions()[0].type, RTE_FLOW_ACTION_TYPE_QUEUE);
  EXPECT_EQ(static_cast<const rte_flow_action_queue*>(rule.actions()[0].conf)->index, 1);
  EXPECT_EQ(rule.actions()[1].type, RTE_FLOW_ACTION_TYPE_END);
  EXPECT_TRUE(rule.attributes().ingress);
  EXPECT_EQ(rule.attributes().priority, 0U);
}

TEST(SynRules, FilterIsNotForSeveralWorkers) {
  EXPECT_TRUE(plan_syn_rules(SynMatching::kFilter, kThree, {}).empty());
  EXPECT_TRUE(plan_syn_rules(SynMatching::kNone, kOne, {}).empty());
}

TEST(SynRules, FlagsAreMatchedByWhatIsProtected) {
  struct Row {
    const char* protect;
    Octets address, mask;
    const char* tcp;  // port/flags of spec, then of mask
  };
  const Row rows[] = {
      {"203.0.113.10:80", {203, 0, 113, 10}, {255, 255, 255, 255}, "80/2 65535/18 "},
      {"203.0.112.0/22:443", {203, 0, 112, 0}, {255, 255, 252, 0}, "443/2 65535/18 "},
      {"203.0.113.10", {203, 0, 113, 10}, {255, 255, 255, 255}, "0/2 0/18 "},
      {"203.0.113.10:80-89", {203, 0, 113, 10}, {255, 255, 255, 255}, "0/2 0/18 "},
      {"0.0.0.0/0:80", {}, {}, "80/2 65535/18 "},
      {"[2001:db8::/33]:443",
       {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
       {0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
       "443/2 65535/18 "},
      {"[::/0]:443", {}, {}, "443/2 65535/18 "},
  };
  for (const Row& row : rows) {
    const ProtectRule to = parse_protect_rule(row.protect);
    const SynRule rule(to, kOne);
    EXPECT_EQ(rule.pattern()[0].type, RTE_FLOW_ITEM_TYPE_ETH) << row.protect;
    EXPECT_EQ(rule.pattern()[0].spec, nullptr) << row.protect;
    EXPECT_EQ(rule.pattern()[3].type, RTE_FLOW_ITEM_TYPE_END) << row.protect;
    EXPECT_EQ(tcp_of(rule), row.tcp) << row.protect;
    const rte_flow_item& ip = rule.pattern()[1];
    ASSERT_EQ(ip.type, to.ipv6 ? RTE_FLOW_ITEM_TYPE_IPV6 : RTE_FLOW_ITEM_TYPE_IPV4) << row.protect;
    ASSERT_EQ(ip.spec == nullptr, row.address.empty()) << row.protect;
    if (row.address.empty()) continue;
    // The destination address is the last field of the header.
    const std::size_t header = to.ipv6 ? 40 : 20;
    for (const auto& [found, wanted] : {std::pair{ip.spec, row.address}, {ip.mask, row.mask}}) {
      Octets bytes(header);
      std::memcpy(bytes.data(), found, header);
      Octets expected(header);
      std::copy(wanted.begin(), wanted.end(),
                expected.end() - static_cast<std::ptrdiff_t>(wanted.size()));
      EXPECT_EQ(bytes, expected) << row.protect;
    }
  }
}

TEST(SynRules, SeveralQueuesAreFilledAsTheOrdinaryOnesAre) {
  for (const bool ipv6 : {false, true}) {
    const SynRule rule(parse_protect_rule(ipv6 ? "2001:db8::1" : "203.0.113.10"), kThree);
    ASSERT_EQ(rule.actions()[0].type, RTE_FLOW_ACTION_TYPE_RSS);
    const auto& rss = *static_cast<const rte_flow_action_rss*>(rule.actions()[0].conf);
    EXPECT_EQ(rss.func, RTE_ETH_HASH_FUNCTION_DEFAULT);
    EXPECT_EQ(rss.level, 0U);
    EXPECT_EQ(rss.types, ipv6 ? RTE_ETH_RSS_NONFRAG_IPV6_TCP : RTE_ETH_RSS_NONFRAG_IPV4_TCP);
    EXPECT_EQ(Octets(rss.key, rss.key + rss.key_len), kThree.key);
    EXPECT_EQ(std::vector(rss.queue, rss.queue + rss.queue_num),
              (std::vector<std::uint16_t>{3, 4, 5}));
  }
}

TEST(SynRules, WhatIsProtectedFirstThenEverything) {
  const std::vector<ProtectRule> few{parse_protect_rule("203.0.113.10:80"),
                                     parse_protect_rule("203.0.113.11:80"),
                                     parse_protect_rule("[2001:db8::1]:80")};
  const auto plans = plan_syn_rules(SynMatching::kFlags, kThree, few);
  ASSERT_EQ(plans.size(), 2U);
  EXPECT_EQ(plans[0].size(), 3U);
  ASSERT_EQ(plans[1].size(), 2U);
  EXPECT_NE(item(*plans[1][0], RTE_FLOW_ITEM_TYPE_IPV4), nullptr);
  EXPECT_NE(item(*plans[1][1], RTE_FLOW_ITEM_TYPE_IPV6), nullptr);
  for (const auto& rule : plans[1]) {
    EXPECT_FALSE(names_an_address(*rule));
    EXPECT_EQ(tcp_of(*rule), "0/2 0/18 ");
  }
  const std::vector<ProtectRule> many(65, few[0]);
  EXPECT_EQ(plan_syn_rules(SynMatching::kFlags, kThree, many).size(), 1U);
}

class Installing : public ::testing::Test {
 protected:
  PlayedDevice device_;
  const std::vector<ProtectRule> protect_{parse_protect_rule("203.0.113.10:80"),
                                          parse_protect_rule("203.0.113.11:80"),
                                          parse_protect_rule("[2001:db8::1]:80")};
  SynRules rules_{device_, plan_syn_rules(SynMatching::kFlags, kThree, protect_)};
};

TEST_F(Installing, ADeviceThatTakesAllGetsTheFirstSet) {
  EXPECT_TRUE(rules_.acceptable());
  EXPECT_TRUE(device_.rules.empty()) << "asking changes nothing";
  EXPECT_TRUE(rules_.install());
  EXPECT_EQ(device_.rules.size(), 3U);
}

TEST_F(Installing, AddressesAreRefusedSoAllSynsAreTaken) {
  device_.accept = [](const SynRule& rule) { return !names_an_address(rule); };
  EXPECT_TRUE(rules_.acceptable());
  EXPECT_TRUE(rules_.install());
  EXPECT_EQ(device_.rules.size(), 2U);
}

TEST_F(Installing, AFamilyIsRefusedSoNothingIsInstalled) {
  device_.accept = [](const SynRule& rule) {
    return item(rule, RTE_FLOW_ITEM_TYPE_IPV6) == nullptr;
  };
  EXPECT_FALSE(rules_.acceptable());
  EXPECT_FALSE(rules_.install());
  EXPECT_TRUE(device_.rules.empty());
}

TEST_F(Installing, ATableTooSmallForTheFirstSetGetsTheSecond) {
  device_.adds_until_refusal = 2;
  device_.on_add = [this] {
    if (device_.adds_until_refusal > 2) device_.adds_until_refusal = UINT_MAX;  // has refused once
  };
  EXPECT_TRUE(rules_.install());
  EXPECT_EQ(device_.rules.size(), 2U) << "of the first set something was left";
}

TEST_F(Installing, NothingIsLeftWhereEverySetFails) {
  for (unsigned n = 0; n < 2; ++n) {
    unsigned added = 0;
    device_.on_add = [&] { device_.adds_until_refusal = added++ % (n + 1) == n ? 0 : 1; };
    EXPECT_FALSE(rules_.install()) << n;
    EXPECT_TRUE(device_.rules.empty()) << n;
  }
}

TEST(SynRules, GoWhenTheirOwnerGoes) {
  PlayedDevice device;
  {
    SynRules rules(device, plan_syn_rules(SynMatching::kFilter, kOne, {}));
    ASSERT_TRUE(rules.install());
    EXPECT_EQ(device.rules.size(), 1U);
  }
  EXPECT_TRUE(device.rules.empty());
}

// EthPort on DPDK's own devices, with simulated rules.
class SynQueuePort : public ::testing::Test {
 protected:
  void SetUp() override {
    static_cast<void>(tests::shared_eal());
    pool_ = rte_pktmbuf_pool_create("syn", 16384, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
    ASSERT_NE(pool_, nullptr);
  }
  void TearDown() override {
    port_.reset();
    EXPECT_EQ(rte_mempool_in_use_count(pool_), 0U) << "buffers lost";
    rte_mempool_free(pool_);
    EXPECT_TRUE(device_.rules.empty()) << "rules are left in the device";
  }

  static std::uint16_t make(const std::string& name, const std::string& arguments) {
    EXPECT_EQ(rte_vdev_init(name.c_str(), arguments.c_str()), 0);
    std::uint16_t id = 0;
    EXPECT_EQ(rte_eth_dev_get_port_by_name(name.c_str(), &id), 0);
    return id;
  }

  EthPort& open(const std::string& name, unsigned workers = 1, PortId id = PortId::kClient,
                bool physical = true) {
    EthPortRequest request;
    request.typed = name;
    request.id = id;
    request.workers = workers;
    request.physical = physical;
    request.rss_word = 0x6d5a;
    request.flows = &device_;
    request.log = &tests::shared_eal().log();
    request.vdev = name;
    EXPECT_EQ(rte_eth_dev_get_port_by_name(name.c_str(), &request.port_id), 0);
    device_.on_add = [this, id = request.port_id] {
      rte_eth_dev_info info{};
      EXPECT_EQ(rte_eth_dev_info_get(id, &info), 0);
      queues_at_add_ = info.nb_rx_queues;
    };
    port_ = std::make_unique<EthPort>(std::move(request), pool_);
    port_->start();
    return *port_;
  }

  // net_null's link is up from its start to its stop.
  static bool started(const std::string& name) {
    std::uint16_t id = 0;
    EXPECT_EQ(rte_eth_dev_get_port_by_name(name.c_str(), &id), 0);
    rte_eth_link link{};
    EXPECT_EQ(rte_eth_link_get_nowait(id, &link), 0);
    return link.link_status == RTE_ETH_LINK_UP;
  }

  // The device receives on every queue that the port has.
  void expect_queues(const EthPort& port, std::uint16_t ordinary, std::uint16_t syns) {
    ASSERT_EQ(port.receive_queues(), ordinary + syns);
    EXPECT_EQ(port.status().rx_queues, ordinary + syns);
    EXPECT_EQ(port.status().syn_queues, syns);
    for (std::uint16_t q = 0; q < port.receive_queues(); ++q) {
      EXPECT_EQ(port.is_syn_queue(q), q >= ordinary) << q;
      // A bonding device looks at the links below it only now and then.
      EXPECT_TRUE(tests::eventually([&] {
        rte_mbuf* frames[4];
        IoCounters io;
        const std::uint16_t n = port_->receive(q, frames, 4, io);
        if (n != 0) rte_pktmbuf_free_bulk(frames, n);
        return n == 4;
      })) << q;
    }
    EXPECT_EQ(device_.rules.empty(), syns == 0);
  }

  rte_mempool* pool_ = nullptr;
  PlayedDevice device_;
  std::unique_ptr<EthPort> port_;
  unsigned queues_at_add_ = 0;
};

TEST_F(SynQueuePort, GetsTheSecondOfTwoQueues) {
  make("net_null_syn", "");
  expect_queues(open("net_null_syn"), 1, 1);
  EXPECT_EQ(queues_at_add_, 2U);
}

TEST_F(SynQueuePort, RefusedRulesLeaveTheDeviceAsWithoutThemAndStartItOnce) {
  make("net_null_syn", "");
  device_.accept = [](const SynRule&) {
    EXPECT_FALSE(started("net_null_syn"));
    return false;
  };
  expect_queues(open("net_null_syn"), 1, 0);
  EXPECT_GT(device_.asked, 0U);
  EXPECT_TRUE(started("net_null_syn"));
}

TEST_F(SynQueuePort, RulesThatFailAfterTheStartLeaveTheDeviceAsWithoutThem) {
  make("net_null_syn", "");
  device_.adds_until_refusal = 1;  // the second of the two families
  expect_queues(open("net_null_syn"), 1, 0);
  EXPECT_EQ(queues_at_add_, 2U) << "it was tried";
}

TEST_F(SynQueuePort, NobodyElseIsAsked) {
  make("net_null_syn", "");
  expect_queues(open("net_null_syn", 1, PortId::kServer), 1, 0);
  port_.reset();
  make("net_null_syn", "");
  expect_queues(open("net_null_syn", 1, PortId::kClient, false), 1, 0);
  port_.reset();
  make("net_null_syn", "");
  device_.can = SynMatching::kNone;
  expect_queues(open("net_null_syn"), 1, 0);
  EXPECT_EQ(device_.asked, 0U);
}

// Rings: DPDK 24.11 gives net_null RSS.
TEST_F(SynQueuePort, WithoutRssThereIsOneQueueForTwoWorkers) {
  std::array<rte_ring*, 4> rings{};
  for (std::size_t i = 0; i < rings.size(); ++i) {
    rings[i] = rte_ring_create(("syn_" + std::to_string(i)).c_str(), 64, SOCKET_ID_ANY, 0);
    ASSERT_NE(rings[i], nullptr);
  }
  ASSERT_GE(rte_eth_from_rings("syn", rings.data(), 4, rings.data(), 4, 0), 0);
  const EthPort& port = open("net_ring_syn", 2);
  EXPECT_EQ(port.receive_queues(), 1);
  EXPECT_EQ(port.status().syn_queues, 0);
  EXPECT_EQ(device_.asked, 0U);
  port_.reset();
  for (rte_ring* ring : rings) rte_ring_free(ring);
}

// A bonding device has a key and a redirection table to set; in DPDK 22.11 net_null alone has none.
class SynQueueRssPort : public SynQueuePort {
 protected:
  void SetUp() override {
    SynQueuePort::SetUp();
    make("net_null_member", "");
    const std::uint16_t id =
        make("net_bonding_syn", std::string("mode=0,") + kBondingMember + "=net_null_member");
    rte_eth_conf conf{};
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    // On the first start it finds the device below, on the second it learns the length of the key.
    ASSERT_EQ(rte_eth_dev_configure(id, 2, 2, &conf), 0);
    ASSERT_EQ(rte_eth_dev_configure(id, 2, 2, &conf), 0);
  }
  void TearDown() override {
    SynQueuePort::TearDown();
    static_cast<void>(rte_vdev_uninit("net_null_member"));
  }
};

TEST_F(SynQueueRssPort, TwoWorkersGetTwoQueuesMoreAndRssKeepsToTheFirst) {
  EthPort& port = open("net_bonding_syn", 2);
  expect_queues(port, 2, 2);
  EXPECT_TRUE(port.status().rss);
  EXPECT_EQ(port.spread().queues, 2) << "as many as workers";
  EXPECT_EQ(port.spread().period, 2);
}

TEST_F(SynQueueRssPort, RefusedRulesLeaveRssAsWithoutThem) {
  device_.adds_until_refusal = 0;
  EthPort& port = open("net_bonding_syn", 2);
  expect_queues(port, 2, 0);
  EXPECT_EQ(port.spread().queues, 2);
  EXPECT_EQ(port.spread().period, 2);
}

}  // namespace
}  // namespace synproxy::dataplane
