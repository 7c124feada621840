// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/ip_header.h"

#include <gtest/gtest.h>

#include "support/exact_buffer.h"
#include "support/packet_builder.h"
#include "synproxy/wire/segment.h"

namespace synproxy {
namespace {

using namespace test;

// Every frame that the parser finds addresses in, cut at every length.
TEST(IpHeader, IsFoundWhereverTheParserFindsAddresses) {
  for (const bool ipv6 : {false, true}) {
    for (std::size_t tags = 0; tags <= 5; ++tags) {
      PacketBuilder b;
      for (std::size_t i = 0; i < tags; ++i)
        b.vlan(5, i % 2 == 0 ? kEtherTypeQinQ : kEtherTypeVlan);
      b.ip(ipv6 ? "2001:db8::7" : "198.51.100.7", ipv6 ? "2001:db8::10" : "203.0.113.10").ttl(33);
      const Bytes frame = b.flags(kSyn).build();
      for (std::size_t length = 0; length <= frame.size(); ++length) {
        SCOPED_TRACE(std::to_string(tags) + " tags, " + std::to_string(length) + " bytes");
        ExactBuffer buffer({frame.begin(), frame.begin() + static_cast<long>(length)});
        const IpHeader ip = find_ip_header(buffer.data(), length);
        Segment s;
        parse_frame(buffer.data(), length, s);
        const std::size_t headers = kEthernetHeader + 4 * tags + ip_header_size(ipv6);
        ASSERT_EQ(ip.at != nullptr, tags <= kMostVlanTags && length >= headers);
        if (ip.at == nullptr) {
          EXPECT_TRUE(s.result == ParseResult::kOther || s.result == ParseResult::kTagPile);
          continue;
        }
        EXPECT_EQ(ip.ipv6, ipv6);
        EXPECT_EQ(ip.source(), s.source());
        EXPECT_EQ(ip.destination(), s.destination());
        EXPECT_EQ(ip.ttl(), 33);
        EXPECT_EQ(ip.length, length - (headers - ip_header_size(ipv6)));
      }
    }
  }
}

TEST(IpHeader, IsNotFoundInOtherFrames) {
  const Bytes arp = PacketBuilder().ether_type(0x0806).build();
  EXPECT_EQ(find_ip_header(arp.data(), arp.size()).at, nullptr);
}

}  // namespace
}  // namespace synproxy
