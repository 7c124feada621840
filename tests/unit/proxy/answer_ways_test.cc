// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/answer_ways.h"

#include <gtest/gtest.h>

#include "support/packet_builder.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::Mac;

constexpr Mac kServer = test::kServerMac;

Mac host(unsigned n) { return {2, 0, 0, 0, 0, static_cast<std::uint8_t>(n)}; }
LinkHeader header(const Mac& source, const Mac& destination) {
  const Bytes frame = test::PacketBuilder().macs(source, destination).build();
  return LinkHeader({frame.data(), kEthernetHeader});
}
constexpr IndexKey kKey{1, 2, 3, 4};

TEST(AnswerWays, AWayIsSharedOnceTwoClientsHaveShownIt) {
  AnswerWays ways(kKey);
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

// Of 2,000 neighbours with addresses of their own some share its place, whatever the key.
TEST(AnswerWays, ASharedWayOutlivesOneThatMeetsIt) {
  AnswerWays ways(kKey);
  const LinkHeader from = header(host(1), kServer);
  const LinkHeader usual = header(kServer, host(1));
  const LinkHeader back = header(kServer, host(5));
  const auto show = [&](std::uint32_t client) { ways.learn(from, back, usual, client); };
  show(7);
  show(8);
  for (unsigned i = 0; i < 2000; ++i) {
    const Mac neighbour{
        2, 0, 0, 1, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)};
    ways.learn(header(neighbour, kServer), back, header(kServer, neighbour), 9);
    if (i % 100 == 0) show(10);
    ASSERT_NE(ways.find(from, 11), nullptr) << i;
  }
}

}  // namespace
}  // namespace synproxy
