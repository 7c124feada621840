// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/link_table.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "support/packet_builder.h"
#include "support/rounds.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::Mac;

constexpr IndexKey kKey{0x243f6a8885a308d3ULL, 0x13198a2e03707344ULL, 0xa4093822299f31d0ULL,
                        0x082efa98ec4e6c89ULL};
constexpr Mac kServer = test::kServerMac;

Mac host(unsigned n) {
  return {2, 0, 0, 0, static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n)};
}
LinkHeader header(const Mac& source, const Mac& destination,
                  std::initializer_list<std::uint16_t> tags = {}) {
  test::PacketBuilder b;
  b.macs(source, destination);
  for (const std::uint16_t tag : tags) b.vlan(tag);
  const Bytes frame = b.build();
  return LinkHeader({frame.data(), 14 + 4 * tags.size()});
}

struct Tagged {
  Link link;
  VlanStack vlan;
};
Tagged tagged(unsigned n, std::initializer_list<std::uint16_t> vids) {
  VlanStack vlan;
  for (const std::uint16_t vid : vids) vlan = vlan.pushed(kEtherTypeVlan, vid);
  const LinkHeader to_server = header(host(n), kServer, vids);
  return {{to_server, answer_to(to_server, Role::kClient, {})}, vlan};
}
Tagged plain(unsigned n, unsigned tags) {
  if (tags == 0) return tagged(n, {});
  return tags == 1 ? tagged(n, {10}) : tagged(n, {10, 11});
}
std::uint16_t intern(LinkTable& t, const Tagged& l) { return t.intern(l.link, l.vlan); }
// The link that a connection with these tags finds at the index.
std::optional<Link> found(const LinkTable& t, std::uint16_t index, VlanStack vlan) {
  const Link* link = t.find(index, vlan);
  if (link == nullptr) return std::nullopt;
  return *link;
}

TEST(LinkTable, SameLinkSameIndex) {
  LinkTable t(kKey);
  std::set<unsigned> indices;
  for (const unsigned tags : {0U, 1U, 2U}) {
    const Tagged l = plain(1, tags);
    const auto index = intern(t, l);
    EXPECT_EQ(intern(t, l), index);
    EXPECT_EQ(found(t, index, l.vlan), l.link);
    indices.insert(index);
  }
  EXPECT_EQ(indices.size(), 3U);
  const Link other_way{plain(1, 0).link.to_server, plain(2, 0).link.to_client};
  EXPECT_NE(t.intern(other_way, {}), intern(t, plain(1, 0)));
}

TEST(LinkTable, HandfulOfRoutersNeverPushesOneAnotherOut) {
  LinkTable t(kKey);
  std::vector<std::uint16_t> indices;
  for (unsigned i = 0; i < 100; ++i) indices.push_back(intern(t, plain(i, i % 3)));
  for (unsigned i = 0; i < 100; ++i) {
    const Tagged l = plain(i, i % 3);
    EXPECT_EQ(intern(t, l), indices[i]);
    EXPECT_EQ(found(t, indices[i], l.vlan), l.link);
  }
}

// An attacker who forges source MACs gets an entry for each. Only entries of his VLAN go.
TEST(LinkTable, FloodOfLinksStaysInside) {
  LinkTable t(kKey);
  std::vector<std::uint16_t> others;
  for (std::uint16_t vid = 100; vid < 600; ++vid) others.push_back(intern(t, tagged(vid, {vid})));
  for (unsigned i = 0; i < test::rounds(60'000U); ++i) {
    const Tagged l = plain(i, 1);
    const auto index = intern(t, l);
    ASSERT_LT(index, LinkTable::kEntries);
    ASSERT_EQ(found(t, index, l.vlan), l.link);
  }
  for (std::uint16_t vid = 100; vid < 600; ++vid) {
    const Tagged l = tagged(vid, {vid});
    EXPECT_EQ(found(t, others[vid - 100U], l.vlan), l.link);
  }
}

TEST(LinkTable, ALinkInUseStaysWhileOthersComeAndGo) {
  LinkTable t(kKey);
  const Tagged router = plain(1, 0);
  const auto index = intern(t, router);
  for (unsigned i = 2; i < 60'000; ++i) {
    static_cast<void>(intern(t, plain(i, 0)));
    if (i % 100 == 0) {
      ASSERT_EQ(intern(t, router), index);
    }
  }
}

TEST(LinkTable, AllVlansAtOnceAreServedRight) {
  LinkTable t(kKey);
  std::vector<std::uint16_t> indices;
  for (std::uint16_t vid = 1; vid <= 4094; ++vid) indices.push_back(intern(t, tagged(vid, {vid})));
  for (std::uint16_t vid = 1; vid <= 4094; ++vid) {
    const Tagged l = tagged(vid, {vid});
    EXPECT_EQ(found(t, indices[vid - 1U], l.vlan), l.link) << vid;
  }
}

// With more VLANs than there are places, a header may be forgotten, but never mistaken.
TEST(LinkTable, NoLinkOfAnotherVlanIsEverFound) {
  LinkTable t(kKey);
  std::vector<std::uint16_t> indices;
  const auto nth = [](unsigned i) {
    return tagged(
        i, {static_cast<std::uint16_t>(1 + i / 200), static_cast<std::uint16_t>(1 + i % 200)});
  };
  for (unsigned i = 0; i < 20'000; ++i) indices.push_back(intern(t, nth(i)));
  unsigned forgotten = 0;
  for (unsigned i = 0; i < 20'000; ++i) {
    const std::optional<Link> link = found(t, indices[i], nth(i).vlan);
    if (link) {
      ASSERT_EQ(*link, nth(i).link);
    } else {
      ++forgotten;
    }
  }
  EXPECT_GT(forgotten, 0U);
}

// Without the key nobody can tell which headers share their places.
TEST(LinkTable, PlacesFollowFromTheKey) {
  LinkTable a(kKey);
  LinkTable b({1, 2, 3, 4});
  unsigned same = 0;
  for (unsigned i = 0; i < 500; ++i) {
    same += intern(a, plain(i, 1)) / LinkTable::kWays == intern(b, plain(i, 1)) / LinkTable::kWays
                ? 1U
                : 0U;
  }
  EXPECT_LT(same, 20U);
}

TEST(Link, AnAddressThatMovesMovesInBothDirections) {
  const Link after = moved(plain(1, 0).link, Role::kClient, header(host(2), kServer));
  EXPECT_EQ(after, plain(2, 0).link);
  const Mac standby{2, 0x5e, 0, 0, 0, 9};
  const Link server = moved(plain(1, 0).link, Role::kServer, header(standby, host(1)));
  EXPECT_EQ(server.to_server, header(host(1), standby));
  EXPECT_EQ(server.to_client, header(standby, host(1)));
}

TEST(Link, ADirectionOfItsOwnKeepsWhatItHasSeen) {
  const Link split = moved(plain(1, 0).link, Role::kServer, header(kServer, host(5)));
  EXPECT_EQ(split.to_server, header(host(5), kServer)) << "nobody had shown that they differ";
  const Link apart{header(host(1), kServer), header(kServer, host(5))};
  const Link after = moved(apart, Role::kClient, header(host(2), kServer));
  EXPECT_EQ(after.to_server, header(host(2), kServer));
  EXPECT_EQ(after.to_client, apart.to_client);
}

TEST(LinkTable, NextProcessFindsTheLinksAndNoHeaderThatIsNone) {
  const Mapping memory(LinkTable::store_bytes(), Mapping::Kind::kSparse);
  const std::span<std::byte> bytes(static_cast<std::byte*>(memory.data()), memory.bytes());
  std::vector<std::uint16_t> indices;
  {
    Arena arena(bytes);
    LinkTable t(kKey, &arena);
    for (unsigned i = 0; i < 9; ++i) indices.push_back(intern(t, plain(i, i % 3)));
  }
  // The length of one header's, a type of another one's tag, a third one in another VLAN.
  constexpr std::size_t kEntry = 64;
  bytes[indices[0] * kEntry + offsetof(LinkHeader, length)] = std::byte{200};
  bytes[indices[1] * kEntry + 12] = std::byte{0};
  bytes[indices[2] * kEntry + 15] ^= std::byte{1};
  Arena arena(bytes);
  LinkTable t(kKey, &arena);
  t.restore();
  for (unsigned i = 0; i < 9; ++i) {
    const Tagged l = plain(i, i % 3);
    if (i < 3) {
      EXPECT_NE(found(t, indices[i], l.vlan), l.link) << i;
    } else {
      EXPECT_EQ(found(t, indices[i], l.vlan), l.link) << i;
      EXPECT_EQ(intern(t, l), indices[i]) << i;
    }
  }
}

}  // namespace
}  // namespace synproxy
