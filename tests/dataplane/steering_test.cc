// SPDX-License-Identifier: BSD-3-Clause
// Ownership by RSS: whatever a device reports or does, all frames of a connection come to one
// worker.
#include "dataplane/steering.h"
#include "dataplane/topology.h"

#include <gtest/gtest.h>
#include <rte_mbuf.h>

#include <set>
#include <string>

#include "dataplane/proxy_fixture.h"
#include "support/packet_builder.h"
#include "synproxy/policy/protect.h"

namespace synproxy::dataplane {
namespace {

using test::Bytes;
using test::PacketBuilder;

constexpr RssWord kWord = 0x6d5a;
constexpr unsigned kWorkers = 4;

class SteeringTest : public ::testing::Test {
 protected:
  void SetUp() override {
    static_cast<void>(tests::shared_eal());
    pool_ =
        rte_pktmbuf_pool_create("steering", 1023, 0, 0, 256 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
    ASSERT_NE(pool_, nullptr);
    hand_over_ = std::make_unique<HandOver>(kWorkers);
    for (unsigned w = 0; w < kWorkers; ++w) {
      steering_.push_back(std::make_unique<Steering>(w, kWorkers, protect_, IndexKey{1, 2, 3, 4},
                                                     &rss_, *hand_over_));
    }
  }
  void TearDown() override {
    hand_over_.reset();
    EXPECT_EQ(rte_mempool_in_use_count(pool_), 0U) << "buffers lost";
    rte_mempool_free(pool_);
  }

  rte_mbuf* buffer(const Bytes& frame, std::uint64_t flags, std::uint32_t hash) {
    rte_mbuf* m = rte_pktmbuf_alloc(pool_);
    std::copy(frame.begin(), frame.end(), rte_pktmbuf_mtod(m, std::uint8_t*));
    m->data_len = static_cast<std::uint16_t>(frame.size());
    m->pkt_len = m->data_len;
    m->ol_flags = flags;
    m->hash.rss = hash;
    return m;
  }
  // Returns who gets the last frame of a burst that `receiver` has received. Frees all frames.
  unsigned owner_of_last(std::span<rte_mbuf*> burst, Role side, unsigned receiver) {
    rte_mbuf* last = burst.back();
    std::vector<rte_mbuf*> all(burst.begin(), burst.end());
    const std::uint16_t kept =
        steering_[receiver]->sort(Topology::out_port(side), side, burst.data(),
                                  static_cast<std::uint16_t>(burst.size()), io_);
    unsigned found = kWorkers;
    for (std::uint16_t i = 0; i < kept; ++i) {
      if (burst[i] == last) found = receiver;
    }
    for (unsigned w = 0; w < kWorkers; ++w) {
      rte_mbuf* taken = nullptr;
      while (hand_over_->take(w, side, &taken, 1) == 1) {
        if (taken == last) found = w;
      }
    }
    for (rte_mbuf* m : all) rte_pktmbuf_free(m);
    return found;
  }
  // Returns who gets the frame if it comes with these flags and this hash.
  unsigned owner(const Bytes& frame, Role side = Role::kClient, std::uint64_t flags = 0,
                 std::uint32_t hash = 0, unsigned receiver = 0) {
    rte_mbuf* m = buffer(frame, flags, hash);
    return owner_of_last({&m, 1}, side, receiver);
  }
  unsigned owner_of_second(const Bytes& frame, Role side, std::uint32_t hash) {
    std::array<rte_mbuf*, 2> burst{buffer(frame, 0, 0),
                                   buffer(frame, RTE_MBUF_F_RX_RSS_HASH, hash)};
    return owner_of_last(burst, side, 0);
  }
  static std::uint32_t hash_of(const Bytes& frame) {
    const PlainTcp family = plain_tcp(frame.data(), static_cast<std::uint32_t>(frame.size()));
    EXPECT_NE(family, PlainTcp::kNo);
    return RssOwner(kWord, 128, kWorkers).hash_of(fold_of(frame.data(), family));
  }
  static PacketBuilder to_server(std::uint16_t port) {
    return PacketBuilder().ipv4("192.0.2.1", "203.0.113.10").ports(port, 80);
  }
  static PacketBuilder to_client(std::uint16_t port) {
    return PacketBuilder().ipv4("203.0.113.10", "192.0.2.1").ports(80, port);
  }

  rte_mempool* pool_ = nullptr;
  const ProtectSet protect_{
      {parse_protect_rule("203.0.113.10:80"), parse_protect_rule("[2001:db8::10]:80")}};
  const RssOwner rss_{kWord, 128, kWorkers};
  std::unique_ptr<HandOver> hand_over_;
  std::vector<std::unique_ptr<Steering>> steering_;
  IoCounters io_;
};

TEST_F(SteeringTest, EveryFrameOfAConnectionMeetsOneOwner) {
  std::array<unsigned, kWorkers> share{};
  for (std::uint16_t port = 5000; port < 5064; ++port) {
    const unsigned w = owner(to_server(port).build());
    EXPECT_EQ(owner(to_client(port).build(), Role::kServer), w);
    EXPECT_EQ(owner(to_server(port).vlan(9).build()), w) << "tagged";
    EXPECT_EQ(owner(to_client(port).vlan(9, kEtherTypeQinQ).vlan(2).build(), Role::kServer), w);
    EXPECT_EQ(owner(to_server(port).ip_options(Bytes(4, 1)).build()), w) << "IP options";
    const Bytes quoted = to_client(port).build_packet(28);
    const Bytes error =
        PacketBuilder().ipv4("192.0.2.77", "203.0.113.10").icmp_error(3, 4, 1400, quoted).build();
    EXPECT_EQ(owner(error), w) << "an ICMP error that quotes it";
    ++share.at(w);
  }
  for (const unsigned n : share) EXPECT_EQ(n, 64U / kWorkers);
}

TEST_F(SteeringTest, FramesOfIpv6MeetOneOwnerToo) {
  for (std::uint16_t port = 5000; port < 5032; ++port) {
    const auto there = [&] {
      return PacketBuilder().ipv6("2001:db8::1", "2001:db8::10").ports(port, 80);
    };
    const unsigned w = owner(there().build());
    EXPECT_EQ(owner(there().extension(60).build()), w) << "extension header";
    const auto back = PacketBuilder().ipv6("2001:db8::10", "2001:db8::1").ports(80, port);
    EXPECT_EQ(owner(back.build(), Role::kServer), w);
  }
}

TEST_F(SteeringTest, WhatIsNotProtectedTcpStaysWhereItCame) {
  for (const unsigned receiver : {0U, 3U}) {
    for (const Bytes& frame :
         {to_server(5000).protocol(17).build(), to_server(5000).ether_type(0x0806).build(),
          to_server(5000).fragment(0x0010).build(),
          PacketBuilder().ipv4("192.0.2.1", "203.0.113.10").ports(5000, 81).vlan(3).build()}) {
      EXPECT_EQ(owner(frame, Role::kClient, 0, 0, receiver), receiver);
    }
  }
}

// Each fragment of a source comes to one worker, whatever its place in the packet and whoever
// received it; the whole packet then goes where all others of its connection go.
TEST_F(SteeringTest, FragmentsOfASourceMeetAtOneWorker) {
  for (const auto& s : steering_) s->gather_fragments(true);
  std::set<unsigned> used;
  for (unsigned n = 1; n < 65; ++n) {
    const std::string four = "192.0.2." + std::to_string(n);
    const std::string six = "2001:db8:" + std::to_string(n) + "::1";
    for (const bool ipv6 : {false, true}) {
      const auto from = [&] {
        return PacketBuilder()
            .ip(ipv6 ? six : four, ipv6 ? "2001:db8::10" : "203.0.113.10")
            .ports(5000, 80)
            .vlan(7);
      };
      const unsigned w = owner(from().fragment(ipv6 ? 1 : 0x2000).build());
      used.insert(w);
      for (unsigned receiver = 0; receiver < kWorkers; ++receiver) {
        EXPECT_EQ(owner(from().fragment(0x0010).build(), Role::kClient, 0, 0, receiver), w);
      }
      const Bytes whole = from().build();
      for (const auto& s : steering_) {
        EXPECT_EQ(s->owner_of_whole(Role::kClient, whole), owner(whole));
      }
      const Bytes other = PacketBuilder()
                              .ip(ipv6 ? six : four, ipv6 ? "2001:db8::11" : "203.0.113.11")
                              .fragment(0x0010)
                              .build();
      EXPECT_EQ(owner(other, Role::kClient, 0, 0, 3), 3U) << "not protected";
    }
  }
  EXPECT_EQ(used.size(), kWorkers);
}

// A hash that names another owner shows whether Steering used it.
TEST_F(SteeringTest, HashOfADeviceThatHasProvenRightIsTaken) {
  const Bytes four = to_server(6000).build();
  const Bytes six = PacketBuilder().ipv6("2001:db8::1", "2001:db8::10").ports(6000, 80).build();
  const auto taken = [&](const Bytes& f, Role side) {
    // Second in its burst, so that it is not checked.
    const unsigned w = owner(f, side);
    return owner_of_second(f, side, hash_of(f) + 1) == (w + 1) % kWorkers;
  };
  for (unsigned i = 0; i < HashTrust::kProofs; ++i) {
    EXPECT_FALSE(taken(four, Role::kClient)) << "after " << i << " proofs";
    ASSERT_EQ(owner(four, Role::kClient, RTE_MBUF_F_RX_RSS_HASH, hash_of(four)), owner(four));
  }
  EXPECT_TRUE(taken(four, Role::kClient));
  EXPECT_FALSE(taken(six, Role::kClient)) << "proven for IPv4 alone";
  EXPECT_FALSE(taken(four, Role::kServer)) << "the other port has proven nothing";
  EXPECT_EQ(io_.rss_mismatch[0].get(), 0U);
  // After one wrong hash it is never trusted again.
  EXPECT_EQ(owner(four, Role::kClient, RTE_MBUF_F_RX_RSS_HASH, hash_of(four) + 1), owner(four));
  EXPECT_EQ(io_.rss_mismatch[0].get(), 1U);
  for (unsigned i = 0; i < 2 * HashTrust::kProofs; ++i) {
    static_cast<void>(owner(four, Role::kClient, RTE_MBUF_F_RX_RSS_HASH, hash_of(four)));
    ASSERT_FALSE(taken(four, Role::kClient));
  }
}

TEST_F(SteeringTest, DeviceThatReportsAnotherHashIsCountedAndMovesNothing) {
  for (std::uint16_t port = 6000; port < 6064; ++port) {
    const Bytes f = to_client(port).build();
    const unsigned w = owner(f, Role::kServer);
    EXPECT_EQ(owner(f, Role::kServer, RTE_MBUF_F_RX_RSS_HASH, hash_of(f) ^ 1U), w);
  }
  EXPECT_EQ(io_.rss_mismatch[1].get(), 64U);
  EXPECT_EQ(io_.rss_mismatch[0].get(), 0U);
}

TEST_F(SteeringTest, HashOfOtherFieldsIsNeitherTakenNorAMismatch) {
  const Bytes f = to_server(7000).build();
  const Bytes tagged = to_server(7000).vlan(4).build();
  const unsigned w = owner(f);
  for (unsigned i = 0; i < HashTrust::kProofs; ++i) {
    static_cast<void>(owner(f, Role::kClient, RTE_MBUF_F_RX_RSS_HASH, hash_of(f)));
  }
  for (std::uint32_t hash = 0; hash < kWorkers; ++hash) {
    for (const std::uint64_t also :
         {RTE_MBUF_F_RX_FDIR, RTE_MBUF_F_RX_IP_CKSUM_BAD, RTE_MBUF_F_RX_L4_CKSUM_BAD}) {
      EXPECT_EQ(owner(f, Role::kClient, RTE_MBUF_F_RX_RSS_HASH | also, hash), w);
    }
    EXPECT_EQ(owner(tagged, Role::kClient, RTE_MBUF_F_RX_RSS_HASH, hash), w);
  }
  EXPECT_EQ(io_.rss_mismatch[0].get(), 0U);
}

}  // namespace
}  // namespace synproxy::dataplane
