// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/complete_checksum.h"

#include <gtest/gtest.h>

#include "support/naive_checksum.h"
#include "support/packet_builder.h"

namespace synproxy::dataplane {
namespace {

using test::Bytes;
using test::PacketBuilder;

// The mbuf that a driver would deliver for `frame`.
rte_mbuf holding(Bytes& frame) {
  rte_mbuf m{};
  m.buf_addr = frame.data();
  m.buf_len = m.data_len = static_cast<std::uint16_t>(frame.size());
  m.pkt_len = m.data_len;
  m.nb_segs = 1;
  m.ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_RSS_HASH;
  return m;
}

// Leaves in the field what a sender leaves there for its network card. `l4`: offset of TCP or UDP,
// without IP options before it.
void leave_undone(Bytes& frame, bool ipv6, std::size_t l4, bool tcp) {
  const std::size_t addresses = ipv6 ? 32 : 8;
  const std::uint16_t sum = test::naive_pseudo_header({frame.data() + l4 - addresses, addresses},
                                                      tcp ? 6 : 17, frame.size() - l4)
                                .sum();
  const std::size_t field = l4 + (tcp ? kTcpChecksumOffset : kUdpChecksumOffset);
  frame[field] = static_cast<std::uint8_t>(sum >> 8);
  frame[field + 1] = static_cast<std::uint8_t>(sum);
}

TEST(CompleteChecksum, OfTcpUnderAnyTags) {
  for (const bool ipv6 : {false, true}) {
    for (const unsigned tags : {0U, 1U, 2U}) {
      PacketBuilder builder;
      if (tags == 2) builder.vlan(7, kEtherTypeQinQ);
      if (tags > 0) builder.vlan(5);
      if (ipv6) builder.ipv6("2001:db8::7", "2001:db8::10");
      const Bytes wanted = builder.flags(kSyn).mss(1460).payload("odd").build();
      Bytes frame = wanted;
      leave_undone(frame, ipv6, 14 + 4 * tags + (ipv6 ? 40 : 20), true);
      ASSERT_NE(frame, wanted);
      rte_mbuf m = holding(frame);
      complete_checksum(m);
      EXPECT_EQ(frame, wanted) << "IPv6 " << ipv6 << ", tags " << tags;
      // The flags are then those of a frame that the device has verified; other flags stay.
      EXPECT_EQ(m.ol_flags, RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_RSS_HASH);
    }
  }
}

TEST(CompleteChecksum, OfUdpIsNeverZero) {
  // Ports, length, no checksum, and a payload that makes the sum all ones.
  Bytes udp{0x13, 0x88, 0x13, 0x89, 0, 10, 0, 0, 0, 0};
  Bytes frame = PacketBuilder().protocol(17).raw_l4(udp).build();
  const std::uint32_t rest = test::naive_pseudo_header({frame.data() + 26, 8}, 17, udp.size())
                                 .add({frame.data() + 34, udp.size()})
                                 .sum();
  const std::uint32_t last = 0xffff - rest;
  frame[42] = static_cast<std::uint8_t>(last >> 8);
  frame[43] = static_cast<std::uint8_t>(last);
  leave_undone(frame, false, 34, false);
  rte_mbuf m = holding(frame);
  complete_checksum(m);
  EXPECT_EQ(frame[40], 0xff);
  EXPECT_EQ(frame[41], 0xff);
}

TEST(CompleteChecksum, NothingElseIsTouched) {
  for (const Bytes& original :
       {PacketBuilder().fragment(0x2000).build(), PacketBuilder().protocol(47).build(),
        PacketBuilder().ether_type(0x88b5).build(), Bytes(14, 0)}) {
    Bytes frame = original;
    rte_mbuf m = holding(frame);
    complete_checksum(m);
    EXPECT_EQ(frame, original);
    EXPECT_EQ(m.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, RTE_MBUF_F_RX_L4_CKSUM_NONE);
  }
}

TEST(CompleteChecksum, OfAFrameCutInItsHeaderIsLeftAlone) {
  const Bytes whole = PacketBuilder().flags(kSyn).build();
  for (std::size_t length = 14; length < 34 + kTcpChecksumOffset + 2; ++length) {
    Bytes frame(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    const Bytes before = frame;
    rte_mbuf m = holding(frame);
    complete_checksum(m);
    EXPECT_EQ(frame, before) << length;
  }
}

}  // namespace
}  // namespace synproxy::dataplane
