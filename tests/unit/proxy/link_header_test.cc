// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/link_header.h"

#include <gtest/gtest.h>

#include "support/packet_builder.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::Mac;

constexpr Mac kServer = test::kServerMac;

Mac host(unsigned n) { return {2, 0, 0, 0, 0, static_cast<std::uint8_t>(n)}; }
LinkHeader header(const Mac& source, const Mac& destination, unsigned tags = 0) {
  test::PacketBuilder b;
  b.macs(source, destination);
  for (unsigned i = 0; i < tags; ++i) b.vlan(static_cast<std::uint16_t>(0xa000 + 10 + i));
  const Bytes frame = b.build();
  return LinkHeader({frame.data(), 14 + 4 * tags});
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

}  // namespace
}  // namespace synproxy
