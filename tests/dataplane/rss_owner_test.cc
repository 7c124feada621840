// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/rss_owner.h"

#include <gtest/gtest.h>
#include <rte_thash.h>

#include <random>
#include <set>
#include <string>

#include "support/packet_builder.h"

namespace synproxy::dataplane {
namespace {

using test::Bytes;
using test::PacketBuilder;

constexpr RssWord kWord = 0x6d5a;

// What a device makes of a frame's addresses and ports, as they lie in the frame.
std::uint32_t toeplitz(const Bytes& frame, std::size_t at, std::size_t words, RssWord word) {
  std::array<std::uint8_t, 40> key{};
  for (std::size_t i = 0; i < key.size(); i += 2) store_be<std::uint16_t>(key.data() + i, word);
  std::array<std::uint32_t, 9> tuple{};
  for (std::size_t i = 0; i < words; ++i) tuple[i] = load_be<std::uint32_t>(&frame.at(at + 4 * i));
  return rte_softrss(tuple.data(), static_cast<std::uint32_t>(words), key.data());
}

PlainTcp plain(const Bytes& frame) {
  return plain_tcp(frame.data(), static_cast<std::uint32_t>(frame.size()));
}

class Addresses {
 public:
  PacketBuilder ipv4() {
    const std::string a = v4();
    return PacketBuilder().ipv4(a, v4()).ports(number(), number());
  }
  PacketBuilder ipv6() {
    const std::string a = v6();
    return PacketBuilder().ipv6(a, v6()).ports(number(), number());
  }

 private:
  std::uint16_t number() { return static_cast<std::uint16_t>(random_()); }
  std::string v4() {
    std::string text = std::to_string(number() % 223 + 1);
    for (int i = 0; i < 3; ++i) text += "." + std::to_string(number() % 256);
    return text;
  }
  std::string v6() {
    const auto hex = [](unsigned v) {
      char text[8];
      static_cast<void>(std::snprintf(text, sizeof text, "%x", v));
      return std::string(text);
    };
    std::string text = "2001";
    for (int i = 0; i < 7; ++i) text += ":" + hex(number());
    return text;
  }

  std::mt19937 random_{7};
};

TEST(RssOwner, HashIsTheToeplitzHashOfTheFrame) {
  Addresses any;
  for (const RssWord word : std::initializer_list<RssWord>{kWord, 0x01fc, 0xff01, 0x4b2d}) {
    const RssOwner owner(word, 128, 2);
    for (int i = 0; i < 200; ++i) {
      const Bytes four = any.ipv4().build();
      ASSERT_EQ(plain(four), PlainTcp::kIpv4);
      ASSERT_EQ(owner.hash_of(fold_of(four.data(), PlainTcp::kIpv4)), toeplitz(four, 26, 3, word));
      const Bytes six = any.ipv6().build();
      ASSERT_EQ(plain(six), PlainTcp::kIpv6);
      ASSERT_EQ(owner.hash_of(fold_of(six.data(), PlainTcp::kIpv6)), toeplitz(six, 22, 9, word));
    }
  }
}

// Every value of the fold has its own hash, so connections with different folds keep different
// hashes.
TEST(RssOwner, GoodWordKeepsAllFoldsApart) {
  for (const RssWord word : std::initializer_list<RssWord>{kWord, 0x007f, 0xaab5}) {
    ASSERT_TRUE(is_good(word));
    const RssHash hash(word);
    std::set<std::uint32_t> seen;
    for (unsigned fold = 0; fold < 0x10000; ++fold) {
      seen.insert(hash.of(static_cast<RssFold>(fold)));
    }
    EXPECT_EQ(seen.size(), 0x10000U) << word;
  }
}

TEST(RssOwner, WorkersGetEvenSharesOfConnections) {
  for (const std::uint16_t workers : std::initializer_list<std::uint16_t>{2, 3, 8}) {
    const RssOwner owner(kWord, 128, workers);
    Addresses any;
    std::vector<unsigned> share(workers);
    constexpr unsigned kConnections = 12'000;
    for (unsigned i = 0; i < kConnections; ++i) {
      const Bytes frame = any.ipv4().build();
      ++share.at(owner.of(fold_of(frame.data(), PlainTcp::kIpv4)));
    }
    for (const unsigned n : share) EXPECT_NEAR(n, kConnections / workers, 400) << workers;
  }
}

TEST(RssOwner, FrameOfWhichADeviceMayNotTakeThePortsIsNotPlain) {
  const auto v4 = [] { return PacketBuilder().ipv4("192.0.2.1", "203.0.113.10").ports(4000, 80); };
  const auto v6 = [] { return PacketBuilder().ipv6("2001:db8::1", "2001:db8::2").ports(4000, 80); };
  struct Row {
    const char* what;
    Bytes frame;
  };
  Bytes cut4 = v4().build();
  cut4.resize(53);
  Bytes cut6 = v6().build();
  cut6.resize(73);
  const Row rows[] = {
      {"tagged", v4().vlan(5).build()},
      {"two tags", v6().vlan(5, kEtherTypeQinQ).vlan(7).build()},
      {"IP options", v4().ip_options(Bytes(4, 1)).build()},
      {"first fragment", v4().fragment(0x2000).build()},
      {"later fragment", v4().fragment(0x0010).build()},
      {"fragment of IPv6", v6().fragment(0x0001).build()},
      {"extension header", v6().extension(60).build()},
      {"UDP", v4().protocol(17).build()},
      {"UDP over IPv6", v6().protocol(17).build()},
      {"ARP", v4().ether_type(0x0806).build()},
      {"IPv4 that calls itself IPv6", v4().ether_type(kEtherTypeIpv6).build()},
      {"too short", cut4},
      {"too short for IPv6", cut6},
      {"empty", {}},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(plain(row.frame), PlainTcp::kNo) << row.what;
  }
}

TEST(RssOwner, PortsAgreeOnlyWhereBothPutAConnectionOnTheSameQueue) {
  struct Row {
    const char* what;
    RssSpread client, server;
    bool agree;
  };
  const RssSpread two{2, 128, true};
  const Row rows[] = {
      {"equal", two, two, true},
      {"no RSS on the server port", two, {}, false},
      {"no RSS on the client port", {}, two, false},
      {"ports not hashed", two, {2, 128, false}, false},
      {"fewer queues than workers", two, {1, 128, true}, false},
      {"table unknown", two, {2, 0, true}, false},
      {"tables of different period", two, {2, 64, true}, false},
      {"table too small", {2, 1, true}, {2, 1, true}, false},
      {"smallest table", {2, 2, true}, {2, 2, true}, true},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(agree_on_owner(row.client, row.server, 2, kWord).has_value(), row.agree) << row.what;
  }
}

}  // namespace
}  // namespace synproxy::dataplane
