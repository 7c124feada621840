// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/restore_tags.h"

#include <gtest/gtest.h>

#include "support/packet_builder.h"

namespace synproxy::dataplane {
namespace {

using test::Bytes;
using test::PacketBuilder;

// The mbuf that a driver would deliver for `frame`, with `headroom` in front of it.
class Delivered {
 public:
  Delivered(const Bytes& frame, std::uint64_t flags, std::uint16_t headroom = 128)
      : memory_(headroom + frame.size()) {
    std::copy(frame.begin(), frame.end(), memory_.begin() + headroom);
    m.buf_addr = memory_.data();
    m.buf_len = static_cast<std::uint16_t>(memory_.size());
    m.data_off = headroom;
    m.data_len = static_cast<std::uint16_t>(frame.size());
    m.pkt_len = m.data_len;
    m.nb_segs = 1;
    m.ol_flags = flags;
  }
  [[nodiscard]] Bytes frame() const {
    const auto* data = rte_pktmbuf_mtod(&m, const std::uint8_t*);
    EXPECT_EQ(m.pkt_len, m.data_len);
    return {data, data + m.data_len};
  }

  rte_mbuf m{};

 private:
  Bytes memory_;
};

constexpr std::uint64_t kOne = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
constexpr std::uint64_t kOuter =
    RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_QINQ | RTE_MBUF_F_RX_QINQ_STRIPPED;

PacketBuilder segment() { return PacketBuilder().flags(kSyn).mss(1460); }

TEST(RestoreTags, OneTagIsBackWithItsPriority) {
  Delivered d(segment().build(), kOne);
  d.m.vlan_tci = 0x6005;
  ASSERT_TRUE(restore_tags(d.m));
  EXPECT_EQ(d.frame(), segment().vlan(0x6005).build());
  EXPECT_EQ(d.m.ol_flags & kTagsStripped, 0U);
}

TEST(RestoreTags, TwoTagsAreBackInTheirOrder) {
  Delivered d(segment().build(), kOne | kOuter);
  d.m.vlan_tci = 5;
  d.m.vlan_tci_outer = 0x2007;
  ASSERT_TRUE(restore_tags(d.m));
  EXPECT_EQ(d.frame(), segment().vlan(0x2007, kEtherTypeQinQ).vlan(5).build());
}

TEST(RestoreTags, OuterTagAloneGoesInFrontOfTheOneThatStayed) {
  Delivered d(segment().vlan(5).build(), kOuter);
  d.m.vlan_tci = 5;
  d.m.vlan_tci_outer = 7;
  ASSERT_TRUE(restore_tags(d.m));
  EXPECT_EQ(d.frame(), segment().vlan(7, kEtherTypeQinQ).vlan(5).build());
}

TEST(RestoreTags, FrameThatHasItsTagIsLeftAlone) {
  const Bytes frame = segment().vlan(5).build();
  Delivered d(frame, RTE_MBUF_F_RX_VLAN);
  d.m.vlan_tci = 5;
  ASSERT_TRUE(restore_tags(d.m));
  EXPECT_EQ(d.frame(), frame);
}

TEST(RestoreTags, WithoutRoomItSaysSo) {
  Delivered d(segment().build(), kOne, 3);
  EXPECT_FALSE(restore_tags(d.m));
}

TEST(RestoreTags, WhatIsShorterThanTwoAddressesIsNoFrame) {
  Delivered d(Bytes(11), kOne);
  EXPECT_FALSE(restore_tags(d.m));
}

}  // namespace
}  // namespace synproxy::dataplane
