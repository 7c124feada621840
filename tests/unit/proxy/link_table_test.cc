// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/link_table.h"

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>

#include "support/packet_builder.h"
#include "synproxy/proxy/answer_ways.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::Mac;

constexpr Mac kServer = test::kServerMac;

Mac host(unsigned n) {
  return {2, 0, 0, 0, static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n)};
}
LinkHeader header(const Mac& source, const Mac& destination, unsigned tags = 0) {
  test::PacketBuilder b;
  b.macs(source, destination);
  for (unsigned i = 0; i < tags; ++i) b.vlan(static_cast<std::uint16_t>(0xa000 + 10 + i));
  const Bytes frame = b.build();
  return LinkHeader({frame.data(), 14 + 4 * tags});
}
Link plain(unsigned n, unsigned tags = 0) {
  const LinkHeader to_server = header(host(n), kServer, tags);
  return {to_server, answer_to(to_server, Role::kClient, {})};
}

TEST(LinkTable, SameLinkSameIndex) {
  LinkTable t;
  std::set<unsigned> indices;
  for (const unsigned tags : {0U, 1U, 2U}) {
    const auto index = t.intern(plain(1, tags));
    EXPECT_EQ(t.intern(plain(1, tags)), index);
    EXPECT_EQ(t[index], plain(1, tags));
    indices.insert(index);
  }
  EXPECT_EQ(indices.size(), 3U);
  const Link other_way{plain(1).to_server, plain(2).to_client};
  EXPECT_NE(t.intern(other_way), t.intern(plain(1)));
}

TEST(LinkTable, HandfulOfRoutersNeverPushesOneAnotherOut) {
  LinkTable t;
  std::vector<std::uint16_t> indices;
  for (unsigned i = 0; i < 100; ++i) indices.push_back(t.intern(plain(i, i % 3)));
  for (unsigned i = 0; i < 100; ++i) {
    EXPECT_EQ(t.intern(plain(i, i % 3)), indices[i]);
    EXPECT_EQ(t[indices[i]], plain(i, i % 3));
  }
}

// An attacker who forges source MACs gets an entry for each. Old entries go, and nothing else
// happens.
TEST(LinkTable, FloodOfLinksStaysInside) {
  LinkTable t;
  for (unsigned i = 0; i < 60'000; ++i) {
    const auto index = t.intern(plain(i, 1));
    ASSERT_LT(index, LinkTable::kEntries);
    ASSERT_EQ(t[index], plain(i, 1));
  }
}

TEST(LinkHeader, AnswerSwapsTheAddressesAndKeepsTheTags) {
  EXPECT_EQ(answer_to(header(host(1), kServer, 2), Role::kClient, {}), header(kServer, host(1), 2));
}

TEST(LinkHeader, AnswerToAGroupComesFromAStation) {
  const LinkHeader h = answer_to(header(host(1), {3, 0xbf, 10, 0, 0, 1}), Role::kClient, {});
  EXPECT_EQ(h, header({2, 0xbf, 10, 0, 0, 1}, host(1)));
}

TEST(LinkHeader, AnswerHasTheOtherVidOfItsPairAndKeepsThePriority) {
  const VlanPairs pairs({{10, 77}});
  LinkHeader there = header(host(1), kServer, 1);
  const LinkHeader back = answer_to(there, Role::kClient, pairs);
  EXPECT_EQ(load_be<std::uint16_t>(back.bytes.data() + 14), 0xa000 + 77);
  EXPECT_EQ(answer_to(back, Role::kServer, pairs), there);
  EXPECT_EQ(answer_to(there, Role::kServer, pairs), header(kServer, host(1), 1))
      << "a server's frame in the clients' VLAN is of another pair";
}

TEST(Link, AnAddressThatMovesMovesInBothDirections) {
  const Link after = moved(plain(1), Role::kClient, header(host(2), kServer));
  EXPECT_EQ(after, plain(2));
  const Mac standby{2, 0x5e, 0, 0, 0, 9};
  const Link server = moved(plain(1), Role::kServer, header(standby, host(1)));
  EXPECT_EQ(server.to_server, header(host(1), standby));
  EXPECT_EQ(server.to_client, header(standby, host(1)));
}

TEST(Link, ADirectionOfItsOwnKeepsWhatItHasSeen) {
  const Link split = moved(plain(1), Role::kServer, header(kServer, host(5)));
  EXPECT_EQ(split.to_server, header(host(5), kServer)) << "nobody had shown that they differ";
  const Link apart{header(host(1), kServer), header(kServer, host(5))};
  const Link after = moved(apart, Role::kClient, header(host(2), kServer));
  EXPECT_EQ(after.to_server, header(host(2), kServer));
  EXPECT_EQ(after.to_client, apart.to_client);
}

TEST(AnswerWays, AWayIsSharedOnceTwoClientsHaveShownIt) {
  AnswerWays ways;
  const LinkHeader from = header(host(1), kServer);
  const LinkHeader usual = header(kServer, host(1));
  const LinkHeader back = header(kServer, host(5));
  ways.learn(from, usual, usual, 7);
  EXPECT_FALSE(ways.any());
  ways.learn(from, back, usual, 7);
  EXPECT_TRUE(ways.any());
  ASSERT_NE(ways.find(from, 7), nullptr);
  EXPECT_EQ(*ways.find(from, 7), back);
  EXPECT_EQ(ways.find(from, 8), nullptr);
  ways.learn(from, back, usual, 8);
  ASSERT_NE(ways.find(from, 9), nullptr);
  // A host beside the balancer is answered directly. That is its own affair.
  for (unsigned i = 0; i < 7; ++i) ways.learn(from, header(kServer, host(6)), usual, 10);
  EXPECT_EQ(*ways.find(from, 9), back);
  ways.learn(from, header(kServer, host(6)), usual, 10);
  EXPECT_EQ(ways.find(from, 9), nullptr);
}

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
