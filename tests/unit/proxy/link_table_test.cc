// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/link_table.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

#include "support/packet_builder.h"

namespace synproxy {
namespace {

using test::Bytes;

Bytes header(unsigned host, unsigned tags) {
  test::PacketBuilder b;
  b.macs({2, 0, 0, 0, static_cast<std::uint8_t>(host >> 8), static_cast<std::uint8_t>(host)},
         test::kServerMac);
  for (unsigned i = 0; i < tags; ++i) b.vlan(static_cast<std::uint16_t>(10 + i));
  Bytes frame = b.build();
  frame.resize(14 + 4 * tags);
  return frame;
}

TEST(LinkTable, SameHeaderSameIndex) {
  LinkTable t;
  for (const unsigned tags : {0U, 1U, 2U}) {
    const auto index = t.intern(header(1, tags));
    EXPECT_EQ(t.intern(header(1, tags)), index);
    EXPECT_EQ(t[index].length, 14 + 4 * tags);
  }
  std::set<unsigned> indices;
  for (const unsigned tags : {0U, 1U, 2U}) indices.insert(t.intern(header(1, tags)));
  EXPECT_EQ(indices.size(), 3U);
}

TEST(LinkTable, WritesTheHeaderOfEitherDirection) {
  LinkTable t;
  const Bytes h = header(7, 2);
  const LinkHeader& link = t[t.intern(h)];
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
  LinkTable t;
  std::vector<std::uint16_t> indices;
  for (unsigned i = 0; i < 100; ++i) indices.push_back(t.intern(header(i, i % 3)));
  for (unsigned i = 0; i < 100; ++i) {
    EXPECT_EQ(t.intern(header(i, i % 3)), indices[i]);
    const Bytes h = header(i, i % 3);
    EXPECT_EQ(
        Bytes(t[indices[i]].bytes.begin(), t[indices[i]].bytes.begin() + t[indices[i]].length), h);
  }
}

// An attacker who forges source MACs gets an entry for each. Old entries go, and nothing else
// happens.
TEST(LinkTable, FloodOfHeadersStaysInside) {
  LinkTable t;
  for (unsigned i = 0; i < 60'000; ++i) {
    const Bytes h = header(i, 1);
    const auto index = t.intern(h);
    ASSERT_LT(index, LinkTable::kEntries);
    ASSERT_EQ(t[index].length, 18);
    ASSERT_EQ(std::memcmp(t[index].bytes.data(), h.data(), h.size()), 0);
  }
}

}  // namespace
}  // namespace synproxy
