// SPDX-License-Identifier: BSD-3-Clause
// Offsets and constants against the system's own headers.
#include "synproxy/wire/headers.h"

#include <gtest/gtest.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>

namespace synproxy {
namespace {

static_assert(kEthernetHeader == sizeof(ether_header) && kMacAddress == ETH_ALEN);
static_assert(ether_at::kDestination == offsetof(ether_header, ether_dhost));
static_assert(ether_at::kSource == offsetof(ether_header, ether_shost));
static_assert(ether_at::kType == offsetof(ether_header, ether_type));

static_assert(kIpv4Header == sizeof(iphdr));
static_assert(ipv4_at::kTrafficClass == offsetof(iphdr, tos));
static_assert(ipv4_at::kTotalLength == offsetof(iphdr, tot_len));
static_assert(ipv4_at::kId == offsetof(iphdr, id));
static_assert(ipv4_at::kFragment == offsetof(iphdr, frag_off));
static_assert(ipv4_at::kTtl == offsetof(iphdr, ttl));
static_assert(ipv4_at::kProtocol == offsetof(iphdr, protocol));
static_assert(ipv4_at::kChecksum == offsetof(iphdr, check));
static_assert(ipv4_at::kSource == offsetof(iphdr, saddr));
static_assert(ipv4_at::kDestination == offsetof(iphdr, daddr));
static_assert(kDontFragment == IP_DF && kMoreFragments == IP_MF && kFragmentOffset == IP_OFFMASK);

static_assert(kIpv6Header == sizeof(ip6_hdr));
static_assert(ipv6_at::kPayloadLength == offsetof(ip6_hdr, ip6_plen));
static_assert(ipv6_at::kNextHeader == offsetof(ip6_hdr, ip6_nxt));
static_assert(ipv6_at::kHopLimit == offsetof(ip6_hdr, ip6_hlim));
static_assert(ipv6_at::kSource == offsetof(ip6_hdr, ip6_src));
static_assert(ipv6_at::kDestination == offsetof(ip6_hdr, ip6_dst));

static_assert(kSmallestExtension == sizeof(ip6_frag));
static_assert(extension_at::kNextHeader == offsetof(ip6_ext, ip6e_nxt));
static_assert(extension_at::kLength == offsetof(ip6_ext, ip6e_len));
static_assert(extension_at::kFragmentOffset == offsetof(ip6_frag, ip6f_offlg));
static_assert(extension_at::kFragmentId == offsetof(ip6_frag, ip6f_ident));
static_assert(extension_at::kSegmentsLeft == offsetof(ip6_rthdr, ip6r_segleft));

static_assert(kTcpHeader == sizeof(tcphdr));
static_assert(tcp_at::kSourcePort == offsetof(tcphdr, source));
static_assert(tcp_at::kDestinationPort == offsetof(tcphdr, dest));
static_assert(tcp_at::kSeq == offsetof(tcphdr, seq) && tcp_at::kAck == offsetof(tcphdr, ack_seq));
static_assert(tcp_at::kFlags == offsetof(tcphdr, th_flags));
static_assert(tcp_at::kWindow == offsetof(tcphdr, window));
static_assert(tcp_at::kChecksum == offsetof(tcphdr, check));
static_assert(tcp_at::kUrgentPointer == offsetof(tcphdr, urg_ptr));
static_assert(kFin == TH_FIN && kSyn == TH_SYN && kRst == TH_RST && kPsh == TH_PUSH);
static_assert(kAck == TH_ACK && kUrg == TH_URG);

static_assert(icmp_at::kHeader == sizeof(icmphdr) && icmp_at::kHeader == sizeof(icmp6_hdr));
static_assert(icmp_at::kType == offsetof(icmphdr, type) &&
              icmp_at::kCode == offsetof(icmphdr, code));
static_assert(icmp_at::kChecksum == offsetof(icmphdr, checksum));

static_assert(kEtherTypeIpv4 == ETHERTYPE_IP && kEtherTypeIpv6 == ETHERTYPE_IPV6);
static_assert(kProtocolIcmp == IPPROTO_ICMP && kProtocolTcp == IPPROTO_TCP &&
              kProtocolIcmpv6 == IPPROTO_ICMPV6);

TEST(Headers, ExtensionsAreTheFourThatMayStandBeforeTcp) {
  for (unsigned next = 0; next < 256; ++next) {
    const bool is = next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING ||
                    next == IPPROTO_FRAGMENT || next == IPPROTO_DSTOPTS;
    EXPECT_EQ(is_extension(static_cast<std::uint8_t>(next)), is) << next;
  }
}

TEST(Headers, AnExtensionCountsItsSizeInUnitsOfEightBytesWithoutTheFirst) {
  EXPECT_EQ(extension_size(0), 8U);
  EXPECT_EQ(extension_size(1), 16U);
  EXPECT_EQ(extension_size(255), 2048U);
}

TEST(Headers, SizeAndFlagsOfTcpShareAWord) {
  for (std::size_t header = 20; header <= 60; header += 4) {
    for (unsigned flags = 0; flags <= kTcpFlagBits; ++flags) {
      const std::uint16_t word = tcp_offset_and_flags(header, flags);
      ASSERT_EQ(tcp_header_size(word), header);
      ASSERT_EQ(word & kTcpFlagBits, flags);
    }
  }
}

}  // namespace
}  // namespace synproxy
