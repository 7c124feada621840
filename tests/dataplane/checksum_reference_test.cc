// SPDX-License-Identifier: BSD-3-Clause
// Compares the core's checksums with DPDK's own over a million random packets.
#include <gtest/gtest.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include <array>
#include <cstring>
#include <random>

#include "support/packet_builder.h"
#include "synproxy/wire/checksum.h"
#include "synproxy/wire/segment.h"

namespace synproxy {
namespace {

// A random IP packet that is complete except for the checksums.
struct RandomPacket {
  alignas(8) std::array<std::uint8_t, 512> bytes{};
  std::size_t l4_length = 0;

  RandomPacket(std::mt19937_64& random, bool ipv6) {
    for (std::size_t i = 0; i < bytes.size(); i += 8) {
      // Words of all ones and all zeros are where carries can go wrong.
      const std::uint64_t r = random();
      const std::uint64_t word = (r & 15) == 0 ? 0 : (r & 15) == 1 ? ~0ULL : r;
      std::memcpy(&bytes[i], &word, sizeof word);
    }
    l4_length = 20 + random() % 400;
    if (ipv6) {
      bytes[0] = 0x60;
      bytes[6] = 6;
      store_be<std::uint16_t>(&bytes[4], static_cast<std::uint16_t>(l4_length));
    } else {
      bytes[0] = 0x45;
      bytes[9] = 6;
      store_be<std::uint16_t>(&bytes[2], static_cast<std::uint16_t>(20 + l4_length));
      std::memset(&bytes[10], 0, 2);
    }
    std::memset(&bytes[(ipv6 ? 40U : 20U) + 16], 0, 2);
  }
};

TEST(ChecksumReference, Ipv4HeadersAgreeWithDpdk) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1'000'000; ++i) {
    RandomPacket p(random, false);
    const auto expected = rte_ipv4_cksum(reinterpret_cast<const rte_ipv4_hdr*>(p.bytes.data()));
    ASSERT_EQ(finish_sum(add_to_sum(0, p.bytes.data(), 20)), expected) << "packet " << i;
  }
}

TEST(ChecksumReference, TcpOverIpv4AgreesWithDpdk) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 500'000; ++i) {
    RandomPacket p(random, false);
    const std::uint8_t* tcp = p.bytes.data() + 20;
    const auto expected =
        rte_ipv4_udptcp_cksum(reinterpret_cast<const rte_ipv4_hdr*>(p.bytes.data()), tcp);
    const auto length = static_cast<std::uint32_t>(p.l4_length);
    const std::uint64_t pseudo = pseudo_header_sum(p.bytes.data() + 12, false, 6, length);
    ASSERT_EQ(finish_sum(add_to_sum(pseudo, tcp, length)), expected) << "packet " << i;
  }
}

TEST(ChecksumReference, TcpOverIpv6AgreesWithDpdk) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 500'000; ++i) {
    RandomPacket p(random, true);
    const std::uint8_t* tcp = p.bytes.data() + 40;
    const auto expected =
        rte_ipv6_udptcp_cksum(reinterpret_cast<const rte_ipv6_hdr*>(p.bytes.data()), tcp);
    const auto length = static_cast<std::uint32_t>(p.l4_length);
    const std::uint64_t pseudo = pseudo_header_sum(p.bytes.data() + 8, true, 6, length);
    ASSERT_EQ(finish_sum(add_to_sum(pseudo, tcp, length)), expected) << "packet " << i;
  }
}

// The builder's checksums judge everything else here, so they too are compared with DPDK's.
TEST(ChecksumReference, ThePacketBuilderAgreesWithDpdk) {
  std::mt19937 random(4);
  for (int i = 0; i < 20'000; ++i) {
    test::PacketBuilder b;
    const bool ipv6 = (i & 1) != 0;
    if (ipv6) b.ipv6("2001:db8:1::7", "2001:db8::10");
    b.seq(static_cast<std::uint32_t>(random())).ack(static_cast<std::uint32_t>(random()));
    test::Bytes payload(random() % 100);
    for (auto& byte : payload) byte = static_cast<std::uint8_t>(random());
    test::Bytes frame = b.payload(payload).build();
    const std::uint8_t* ip = frame.data() + 14;
    std::uint8_t* tcp = frame.data() + 14 + (ipv6 ? 40 : 20);
    const auto made = load_raw<std::uint16_t>(tcp + 16);
    std::memset(tcp + 16, 0, 2);
    const auto expected =
        ipv6 ? rte_ipv6_udptcp_cksum(reinterpret_cast<const rte_ipv6_hdr*>(ip), tcp)
             : rte_ipv4_udptcp_cksum(reinterpret_cast<const rte_ipv4_hdr*>(ip), tcp);
    ASSERT_EQ(made, expected) << "packet " << i;
    if (!ipv6) {
      ASSERT_EQ(rte_ipv4_cksum(reinterpret_cast<const rte_ipv4_hdr*>(ip)), 0);
    }
  }
}

}  // namespace
}  // namespace synproxy
