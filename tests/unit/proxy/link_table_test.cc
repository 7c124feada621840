// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/link_table.h"

#include <gtest/gtest.h>

#include <array>
#include <initializer_list>
#include <set>

#include "support/packet_builder.h"

namespace synproxy {
namespace {

using test::Bytes;

constexpr IndexKey kKey{0x243f6a8885a308d3ULL, 0x13198a2e03707344ULL, 0xa4093822299f31d0ULL,
                        0x082efa98ec4e6c89ULL};

struct Tagged {
  Bytes header;
  VlanStack vlan;
};
Tagged tagged(unsigned host, std::initializer_list<std::uint16_t> vids) {
  test::PacketBuilder b;
  VlanStack vlan;
  b.macs({2, 0, 0, 0, static_cast<std::uint8_t>(host >> 8), static_cast<std::uint8_t>(host)},
         test::kServerMac);
  for (const std::uint16_t vid : vids) {
    b.vlan(vid);
    vlan = vlan.pushed(kEtherTypeVlan, vid);
  }
  Bytes frame = b.build();
  frame.resize(14 + 4 * vids.size());
  return {frame, vlan};
}
Tagged header(unsigned host, unsigned tags) {
  if (tags == 0) return tagged(host, {});
  return tags == 1 ? tagged(host, {10}) : tagged(host, {10, 11});
}
std::uint16_t intern(LinkTable& t, const Tagged& h) { return t.intern(h.header, h.vlan); }
// The header that a connection with these tags finds at the index.
Bytes found(const LinkTable& t, std::uint16_t index, VlanStack vlan) {
  const LinkHeader* link = t.find(index, vlan);
  if (link == nullptr) return {};
  return {link->bytes.begin(), link->bytes.begin() + link->length};
}

TEST(LinkTable, SameHeaderSameIndex) {
  LinkTable t(kKey);
  std::set<unsigned> indices;
  for (const unsigned tags : {0U, 1U, 2U}) {
    const Tagged h = header(1, tags);
    const auto index = intern(t, h);
    EXPECT_EQ(intern(t, h), index);
    EXPECT_EQ(found(t, index, h.vlan), h.header);
    indices.insert(index);
  }
  EXPECT_EQ(indices.size(), 3U);
}

TEST(LinkTable, WritesTheHeaderOfEitherDirection) {
  LinkTable t(kKey);
  const Tagged tags = header(7, 2);
  const Bytes& h = tags.header;
  const LinkHeader& link = *t.find(intern(t, tags), tags.vlan);
  std::array<std::uint8_t, 40> frame;
  frame.fill(0xee);
  link.write(frame.data(), Role::kServer);
  EXPECT_EQ(Bytes(frame.begin(), frame.begin() + 22), h);
  EXPECT_EQ(frame[22], 0xee);
  link.write(frame.data(), Role::kClient);
  EXPECT_EQ(Bytes(frame.begin(), frame.begin() + 6), Bytes(h.begin() + 6, h.begin() + 12));
  EXPECT_EQ(Bytes(frame.begin() + 6, frame.begin() + 12), Bytes(h.begin(), h.begin() + 6));
  EXPECT_EQ(Bytes(frame.begin() + 12, frame.begin() + 22), Bytes(h.begin() + 12, h.end()));
  EXPECT_EQ(frame[22], 0xee);
}

TEST(LinkTable, HandfulOfRoutersNeverPushesOneAnotherOut) {
  LinkTable t(kKey);
  std::vector<std::uint16_t> indices;
  for (unsigned i = 0; i < 100; ++i) indices.push_back(intern(t, header(i, i % 3)));
  for (unsigned i = 0; i < 100; ++i) {
    const Tagged h = header(i, i % 3);
    EXPECT_EQ(intern(t, h), indices[i]);
    EXPECT_EQ(found(t, indices[i], h.vlan), h.header);
  }
}

// An attacker who forges source MACs gets an entry for each. Only entries of his VLAN go.
TEST(LinkTable, FloodOfHeadersStaysInside) {
  LinkTable t(kKey);
  std::vector<std::uint16_t> others;
  for (std::uint16_t vid = 100; vid < 600; ++vid) others.push_back(intern(t, tagged(vid, {vid})));
  for (unsigned i = 0; i < 60'000; ++i) {
    const Tagged h = header(i, 1);
    const auto index = intern(t, h);
    ASSERT_LT(index, LinkTable::kEntries);
    ASSERT_EQ(found(t, index, h.vlan), h.header);
  }
  for (std::uint16_t vid = 100; vid < 600; ++vid) {
    const Tagged h = tagged(vid, {vid});
    EXPECT_EQ(found(t, others[vid - 100U], h.vlan), h.header);
  }
}

TEST(LinkTable, AHeaderInUseStaysWhileOthersComeAndGo) {
  LinkTable t(kKey);
  const Tagged router = header(1, 0);
  const auto index = intern(t, router);
  for (unsigned i = 2; i < 60'000; ++i) {
    static_cast<void>(intern(t, header(i, 0)));
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
    const Tagged h = tagged(vid, {vid});
    EXPECT_EQ(found(t, indices[vid - 1U], h.vlan), h.header) << vid;
  }
}

// With more VLANs than there are places, a header may be forgotten, but never mistaken.
TEST(LinkTable, NoHeaderOfAnotherVlanIsEverFound) {
  LinkTable t(kKey);
  std::vector<std::uint16_t> indices;
  const auto nth = [](unsigned i) {
    return tagged(
        i, {static_cast<std::uint16_t>(1 + i / 200), static_cast<std::uint16_t>(1 + i % 200)});
  };
  for (unsigned i = 0; i < 20'000; ++i) indices.push_back(intern(t, nth(i)));
  unsigned forgotten = 0;
  for (unsigned i = 0; i < 20'000; ++i) {
    const Bytes h = found(t, indices[i], nth(i).vlan);
    if (h.empty()) {
      ++forgotten;
    } else {
      ASSERT_EQ(h, nth(i).header);
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
    same += intern(a, header(i, 1)) / LinkTable::kWays == intern(b, header(i, 1)) / LinkTable::kWays
                ? 1U
                : 0U;
  }
  EXPECT_LT(same, 20U);
}

}  // namespace
}  // namespace synproxy
