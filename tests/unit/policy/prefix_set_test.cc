// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/prefix_set.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/rounds.h"
#include "synproxy/wire/bytes.h"

namespace synproxy {
namespace {

using ::testing::HasSubstr;

AddressBytes bytes(const std::string& text) {
  AddressBytes address{};
  const bool ipv6 = text.find(':') != std::string::npos;
  EXPECT_EQ(::inet_pton(ipv6 ? AF_INET6 : AF_INET, text.c_str(), address.data()), 1) << text;
  return address;
}

PrefixSet set_of(const std::vector<std::string>& texts, const PrefixSet& except = {}) {
  std::vector<Prefix> prefixes;
  prefixes.reserve(texts.size());
  for (const std::string& text : texts) prefixes.push_back(parse_prefix(text));
  return PrefixSet(prefixes, except);
}

bool has(const PrefixSet& set, const std::string& text) {
  return set.contains(bytes(text).data(), text.find(':') != std::string::npos);
}

TEST(ParsedPrefix, IsWhatWasTyped) {
  EXPECT_EQ(parse_prefix("198.51.100.7"), (Prefix{bytes("198.51.100.7"), 32, false}));
  EXPECT_EQ(parse_prefix("198.51.100.0/24"), (Prefix{bytes("198.51.100.0"), 24, false}));
  EXPECT_EQ(parse_prefix("0.0.0.0/0"), (Prefix{bytes("0.0.0.0"), 0, false}));
  EXPECT_EQ(parse_prefix("2001:db8::7"), (Prefix{bytes("2001:db8::7"), 128, true}));
  EXPECT_EQ(parse_prefix("2001:db8::/32"), (Prefix{bytes("2001:db8::"), 32, true}));
}

TEST(ParsedPrefix, IsRefusedWithWhatIsWrong) {
  const auto why = [](const char* text) -> std::string {
    try {
      (void)parse_prefix(text);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(why("10.1.2.3/8"), HasSubstr("bits set after the prefix; write 10.0.0.0/8"));
  EXPECT_THAT(why("2001:db8::1/32"), HasSubstr("write 2001:db8::/32"));
  EXPECT_THAT(why("10.0.0.0/33"), HasSubstr("0 to 32"));
  EXPECT_THAT(why("10.0.0.0/"), HasSubstr("0 to 32"));
  EXPECT_THAT(why("10.0.0.0/8/8"), HasSubstr("0 to 32"));
  EXPECT_THAT(why("10.0.0.1:80"), HasSubstr("has a port"));
  EXPECT_THAT(why("[2001:db8::1]"), HasSubstr("brackets"));
  EXPECT_THAT(why("[2001:db8::1]:80"), HasSubstr("brackets"));
  EXPECT_THAT(why("::ffff:10.0.0.1"), HasSubstr("write 10.0.0.1"));
  EXPECT_THAT(why("fe80::1%eth0"), HasSubstr("zone"));
  EXPECT_THAT(why("10.0.0"), HasSubstr("not an IPv4 or IPv6 address"));
  EXPECT_THAT(why("example.org"), HasSubstr("not an IPv4 or IPv6 address"));
  EXPECT_THAT(why(""), HasSubstr("has no address"));
}

TEST(PrefixSet, HoldsItsPrefixesAndNothingElse) {
  const PrefixSet set = set_of({"198.51.100.0/24", "203.0.113.7", "2001:db8::/32", "2001:db9::5"});
  for (const char* in : {"198.51.100.0", "198.51.100.255", "203.0.113.7",
                         "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::5"}) {
    EXPECT_TRUE(has(set, in)) << in;
  }
  for (const char* out : {"198.51.99.255", "198.51.101.0", "203.0.113.6", "203.0.113.8", "0.0.0.0",
                          "255.255.255.255", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
                          "2001:db9::", "2001:db9::4", "2001:db9::6", "::", "ffff::1"}) {
    EXPECT_FALSE(has(set, out)) << out;
  }
}

TEST(PrefixSet, ReachesBothEndsOfTheAddresses) {
  const PrefixSet all = set_of({"0.0.0.0/0", "::/0"});
  const PrefixSet ends = set_of({"255.255.255.255", "0.0.0.0", "::", "ffff::/16"});
  for (const char* text :
       {"0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}) {
    EXPECT_TRUE(has(all, text)) << text;
    EXPECT_TRUE(has(ends, text)) << text;
  }
  EXPECT_FALSE(has(ends, "255.255.255.254"));
  EXPECT_FALSE(has(ends, "0.0.0.1"));
  EXPECT_FALSE(has(ends, "::1"));
}

TEST(PrefixSet, OneWithoutAFamilyHoldsNothingOfIt) {
  EXPECT_TRUE(PrefixSet().empty());
  EXPECT_FALSE(has(PrefixSet(), "0.0.0.0"));
  EXPECT_FALSE(has(set_of({"0.0.0.0/0"}), "::"));
  EXPECT_FALSE(has(set_of({"::/0"}), "1.2.3.4"));
}

TEST(PrefixSet, LeavesOutWhatAnotherHolds) {
  const PrefixSet allowed = set_of({"10.1.0.0/16", "10.2.3.4", "2001:db8:1::/48"});
  const PrefixSet set = set_of({"10.0.0.0/8", "2001:db8::/32", "192.0.2.1"}, allowed);
  for (const char* in : {"10.0.255.255", "10.2.0.0", "10.2.3.3", "10.2.3.5", "192.0.2.1",
                         "2001:db8:0:ffff::", "2001:db8:2::"}) {
    EXPECT_TRUE(has(set, in)) << in;
  }
  for (const char* out : {"10.1.0.0", "10.1.255.255", "10.2.3.4", "2001:db8:1::1", "11.0.0.0"}) {
    EXPECT_FALSE(has(set, out)) << out;
  }
  EXPECT_TRUE(set_of({"10.1.2.0/24"}, allowed).empty());
}

TEST(PrefixSet, EqualsOneWithTheSameAddresses) {
  EXPECT_EQ(set_of({"10.0.0.0/9", "10.128.0.0/9", "10.1.2.3"}), set_of({"10.0.0.0/8"}));
  EXPECT_NE(set_of({"10.0.0.0/8"}), set_of({"10.0.0.0/9"}));
  EXPECT_NE(set_of({"::/64"}), set_of({"::/65"}));
}

// The reference looks at every prefix.
class Naive {
 public:
  explicit Naive(std::vector<Prefix> prefixes) : prefixes_(std::move(prefixes)) {}
  [[nodiscard]] bool contains(const AddressBytes& a, bool ipv6) const {
    return std::ranges::any_of(prefixes_, [&](const Prefix& p) {
      if (p.ipv6 != ipv6) return false;
      for (unsigned bit = 0; bit < p.length; ++bit) {
        if (((a[bit / 8] ^ p.address[bit / 8]) >> (7 - bit % 8) & 1U) != 0) return false;
      }
      return true;
    });
  }

 private:
  std::vector<Prefix> prefixes_;
};

Prefix random_prefix(std::mt19937_64& random, bool ipv6, unsigned shortest) {
  Prefix p;
  p.ipv6 = ipv6;
  const unsigned longest = ipv6 ? 128 : 32;
  p.length = static_cast<std::uint8_t>(shortest + random() % (longest + 1 - shortest));
  // Few distinct addresses, so that prefixes nest, touch and repeat.
  for (unsigned i = 0; i < longest / 8; ++i) {
    p.address[i] = static_cast<std::uint8_t>(i % 4 == 3 ? random() : random() % 2 * 255);
  }
  // Around 2000::/3 and at its ends.
  constexpr std::array<std::uint8_t, 6> kFirstBytes{0x1f, 0x20, 0x2a, 0x3f, 0x40, 0xff};
  if (ipv6) p.address[0] = kFirstBytes[random() % kFirstBytes.size()];
  for (unsigned bit = p.length; bit < longest; ++bit) {
    p.address[bit / 8] = static_cast<std::uint8_t>(p.address[bit / 8] & ~(0x80U >> bit % 8));
  }
  return p;
}

// Its first address, its last one, or one beside them.
AddressBytes near(const Prefix& p, std::mt19937_64& random) {
  AddressBytes a = p.address;
  const unsigned size = p.ipv6 ? 16 : 4;
  if (random() % 2 == 0) {
    for (unsigned bit = p.length; bit < 8 * size; ++bit) {
      a[bit / 8] = static_cast<std::uint8_t>(a[bit / 8] | 0x80U >> bit % 8);
    }
  }
  const auto how = static_cast<unsigned>(random() % 3);
  for (unsigned i = size; how != 0 && i-- > 0;) {
    a[i] = static_cast<std::uint8_t>(a[i] + (how == 1 ? 1 : 255));
    if (a[i] != (how == 1 ? 0 : 255)) break;
  }
  return a;
}

TEST(PrefixSet, AgreesWithALookAtEveryPrefix) {
  std::mt19937_64 random(7);
  for (const std::size_t size : {1U, 2U, 7U, 8U, 9U, 16U, 17U, 100U, 150U, 2000U}) {
    std::vector<Prefix> prefixes;
    std::vector<Prefix> exceptions;
    for (std::size_t i = 0; i < size; ++i) {
      const bool ipv6 = i % 2 == 0;
      prefixes.push_back(random_prefix(random, ipv6, 2));
      if (i % 3 == 0) exceptions.push_back(random_prefix(random, ipv6, 16));
    }
    const PrefixSet except(exceptions);
    const PrefixSet set(prefixes, except);
    const Naive naive(prefixes);
    const Naive naive_except(exceptions);
    for (int i = 0; i < 1000; ++i) {
      const auto& list = i % 2 == 0 && !exceptions.empty() ? exceptions : prefixes;
      const Prefix& p = list[random() % list.size()];
      const AddressBytes a = near(p, random);
      const bool expected = naive.contains(a, p.ipv6) && !naive_except.contains(a, p.ipv6);
      ASSERT_EQ(set.contains(a.data(), p.ipv6), expected) << size << " prefixes, look-up " << i;
    }
  }
}

TEST(PrefixSet, AnswersForABurstWhatItAnswersForEach) {
  std::mt19937_64 random(8);
  std::vector<Prefix> prefixes;
  for (int i = 0; i < 5000; ++i) prefixes.push_back(random_prefix(random, i % 2 == 0, 12));
  const PrefixSet set(prefixes);
  std::vector<std::uint32_t> burst4;
  std::vector<PrefixSet::Wide> burst6;
  std::uint32_t expected4 = 0;
  std::uint32_t expected6 = 0;
  for (unsigned i = 0; i < 32; ++i) {
    const AddressBytes a4 = near(prefixes[2 * i + 1], random);
    const AddressBytes a6 = near(prefixes[2 * i], random);
    burst4.push_back(load_be<std::uint32_t>(a4.data()));
    burst6.push_back({load_be<std::uint64_t>(a6.data()), load_be<std::uint64_t>(a6.data() + 8)});
    expected4 |= std::uint32_t{set.contains(a4.data(), false)} << i;
    expected6 |= std::uint32_t{set.contains(a6.data(), true)} << i;
  }
  EXPECT_EQ(set.contains_ipv4(burst4), expected4);
  EXPECT_EQ(set.contains_ipv6(burst6), expected6);
  EXPECT_NE(expected4, 0U);
  EXPECT_NE(expected6, 0U);
  EXPECT_NE(expected4, ~0U);
}

// The memory that docs/flags.md states.
TEST(PrefixSet, AMillionPrefixesTakeWhatIsStated) {
  std::mt19937 random(9);
  std::vector<Prefix> scattered(test::rounds(1'000'000U));
  for (Prefix& p : scattered) {
    store_be<std::uint32_t>(p.address.data(), static_cast<std::uint32_t>(random()));
    p.length = 32;
  }
  const PrefixSet ipv4(scattered);
  EXPECT_LE(ipv4.bytes(), 12'730'000U);
  for (Prefix& p : scattered) {
    p = {};
    store_be<std::uint32_t>(p.address.data(), static_cast<std::uint32_t>(random()));
    store_be<std::uint16_t>(p.address.data() + 4, static_cast<std::uint16_t>(random()));
    p.length = 48;
    p.ipv6 = true;
  }
  const PrefixSet ipv6(scattered);
  EXPECT_LE(ipv6.bytes(), 38'500'000U);
  EXPECT_TRUE(ipv6.contains(scattered[scattered.size() / 2].address.data(), true));
}

}  // namespace
}  // namespace synproxy
