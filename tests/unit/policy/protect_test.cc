// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/protect.h"
#include "support/rounds.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace synproxy {
namespace {

using ::testing::HasSubstr;

AddressBytes bytes(const char* text, bool ipv6) {
  AddressBytes address{};
  EXPECT_EQ(::inet_pton(ipv6 ? AF_INET6 : AF_INET, text, address.data()), 1) << text;
  return address;
}

struct GoodRow {
  const char* text;
  const char* address;
  unsigned length;
  bool ipv6;
  std::uint16_t first, last;
};

class ParsedRule : public ::testing::TestWithParam<GoodRow> {};

TEST_P(ParsedRule, IsWhatWasTyped) {
  const GoodRow& row = GetParam();
  SCOPED_TRACE(row.text);
  const ProtectRule rule = parse_protect_rule(row.text);
  EXPECT_EQ(rule.address, bytes(row.address, row.ipv6));
  EXPECT_EQ(unsigned{rule.prefix_length}, row.length);
  EXPECT_EQ(rule.ipv6, row.ipv6);
  EXPECT_EQ(rule.first_port, row.first);
  EXPECT_EQ(rule.last_port, row.last);
  EXPECT_EQ(rule.whole_address(), row.first == 0);
}

INSTANTIATE_TEST_SUITE_P(
    Rows, ParsedRule,
    ::testing::Values(GoodRow{"203.0.113.10", "203.0.113.10", 32, false, 0, 65535},
                      GoodRow{"203.0.113.10:80", "203.0.113.10", 32, false, 80, 80},
                      GoodRow{"203.0.113.10:80-89", "203.0.113.10", 32, false, 80, 89},
                      GoodRow{"203.0.113.10:1-65535", "203.0.113.10", 32, false, 1, 65535},
                      GoodRow{"203.0.113.10:65535", "203.0.113.10", 32, false, 65535, 65535},
                      GoodRow{"203.0.113.10:80-80", "203.0.113.10", 32, false, 80, 80},
                      GoodRow{"203.0.113.0/24", "203.0.113.0", 24, false, 0, 65535},
                      GoodRow{"203.0.113.0/24:80-89", "203.0.113.0", 24, false, 80, 89},
                      GoodRow{"203.0.113.10/32:443", "203.0.113.10", 32, false, 443, 443},
                      GoodRow{"0.0.0.0/0", "0.0.0.0", 0, false, 0, 65535},
                      GoodRow{"0.0.0.0/0:80", "0.0.0.0", 0, false, 80, 80},
                      GoodRow{"128.0.0.0/1", "128.0.0.0", 1, false, 0, 65535},
                      GoodRow{"203.0.113.11/32", "203.0.113.11", 32, false, 0, 65535},
                      GoodRow{"203.0.113.10/31", "203.0.113.10", 31, false, 0, 65535},
                      GoodRow{"2001:db8::1", "2001:db8::1", 128, true, 0, 65535},
                      GoodRow{"2001:db8::1/128", "2001:db8::1", 128, true, 0, 65535},
                      GoodRow{"2001:db8::/64", "2001:db8::", 64, true, 0, 65535},
                      GoodRow{"2001:DB8:0:0:0:0:0:1", "2001:db8::1", 128, true, 0, 65535},
                      GoodRow{"[2001:db8::1]", "2001:db8::1", 128, true, 0, 65535},
                      GoodRow{"[2001:db8::1]:443", "2001:db8::1", 128, true, 443, 443},
                      GoodRow{"[2001:db8::1]:443-444", "2001:db8::1", 128, true, 443, 444},
                      GoodRow{"[2001:db8::/64]", "2001:db8::", 64, true, 0, 65535},
                      GoodRow{"[2001:db8::/64]:443", "2001:db8::", 64, true, 443, 443},
                      GoodRow{"[2001:db8::]/64", "2001:db8::", 64, true, 0, 65535},
                      GoodRow{"[2001:db8::]/64:443-500", "2001:db8::", 64, true, 443, 500},
                      GoodRow{"2001:db8:8000::/33", "2001:db8:8000::", 33, true, 0, 65535},
                      GoodRow{"::/0", "::", 0, true, 0, 65535},
                      GoodRow{"[::/0]:80", "::", 0, true, 80, 80},
                      GoodRow{"::1:80", "::1:80", 128, true, 0,
                              65535},  // an address: ports need brackets
                      GoodRow{"64:ff9b::192.0.2.1", "64:ff9b::c000:201", 128, true, 0, 65535}));

struct BadRow {
  std::string text;
  const char* sentence;
};

class RefusedRule : public ::testing::TestWithParam<BadRow> {};

TEST_P(RefusedRule, SaysWhatIsWrong) {
  const BadRow& row = GetParam();
  try {
    static_cast<void>(parse_protect_rule(row.text));
    FAIL() << "'" << row.text << "' was accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr(row.sentence)) << row.text;
    const std::string_view what = error.what();
    EXPECT_TRUE(std::all_of(what.begin(), what.end(), [](char c) { return c >= ' ' && c <= '~'; }));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rows, RefusedRule,
    ::testing::Values(
        BadRow{"", "has no address"}, BadRow{":80", "has no address"},
        BadRow{"/24", "has no address"}, BadRow{"[]:80", "has no address"},
        BadRow{"[/64]:80", "has no address"},
        BadRow{"www.example.org:80", "'www.example.org' is not an IPv4 or IPv6 address"},
        BadRow{"203.0.113", "is not an IPv4"}, BadRow{"203.0.113.256", "is not an IPv4"},
        BadRow{"203.0.113.010", "is not an IPv4"}, BadRow{"0xcb007101", "is not an IPv4"},
        BadRow{" 203.0.113.10", "is not an IPv4"}, BadRow{"203.0.113.10 ", "is not an IPv4"},
        BadRow{"203.0.113.10,203.0.113.11", "is not an IPv4"}, BadRow{"80", "is not an IPv4"},
        BadRow{"*:80", "is not an IPv4"}, BadRow{"2001:db8::1::2", "is not an IPv4"},
        BadRow{":::", "is not an IPv4"}, BadRow{"[203.0.113.10x]:80", "is not an IPv4"},
        BadRow{"203.0.113.10\n\x1b[2J", "'203.0.113.10??[2J' is not an IPv4"},
        BadRow{std::string("203.0.113.10\0", 13), "is not an IPv4"},
        BadRow{std::string("203.0.113.10\0.1:80", 18), "is not an IPv4"},
        BadRow{"[203.0.113.10]:80", "brackets are for IPv6; write 203.0.113.10"},
        BadRow{"fe80::1%eth0", "has a zone"}, BadRow{"[fe80::1%eth0]:80", "has a zone"},
        BadRow{"::ffff:203.0.113.10",
               "IPv4-mapped address, which no packet carries; write 203.0.113.10"},
        BadRow{"203.0.113.0/33", "prefix length '33' is not a number from 0 to 32"},
        BadRow{"203.0.113.0/", "prefix length '' is not a number from 0 to 32"},
        BadRow{"203.0.113.0/-1", "prefix length '-1'"},
        BadRow{"203.0.113.0/+8", "prefix length '+8'"},
        BadRow{"203.0.113.0/2 4", "prefix length '2 4'"},
        BadRow{"203.0.113.0/255.255.255.0", "prefix length '255.255.255.0'"},
        BadRow{"203.0.113.0/24/24", "prefix length '24/24'"},
        BadRow{"203.0.113.0/99999999999999999999", "prefix length"},
        BadRow{"2001:db8::/129", "prefix length '129' is not a number from 0 to 128"},
        BadRow{"[2001:db8::/]:80", "prefix length ''"},
        BadRow{"[2001:db8::]/:80", "prefix length ''"},
        BadRow{"[2001:db8::/64]/64:80", "given twice"},
        BadRow{"203.0.113.10/24", "write 203.0.113.0/24 for the whole subnet"},
        BadRow{"203.0.113.10/0", "write 0.0.0.0/0 for the whole subnet"},
        BadRow{"203.0.113.11/31:80", "write 203.0.113.10/31"},
        BadRow{"2001:db8::1/64", "write 2001:db8::/64 for the whole subnet"},
        BadRow{"[2001:db8:ffff::/33]:80", "write 2001:db8:8000::/33"},
        BadRow{"203.0.113.10:0", "port 0 does not exist"},
        BadRow{"203.0.113.10:0-80", "port 0 does not exist"},
        BadRow{"203.0.113.10:65536", "port '65536' is not a number from 1 to 65535"},
        BadRow{"203.0.113.10:80-65536", "port '65536'"}, BadRow{"203.0.113.10:", "port ''"},
        BadRow{"203.0.113.10:http", "port 'http'"}, BadRow{"203.0.113.10:-80", "port ''"},
        BadRow{"203.0.113.10:80-", "port ''"}, BadRow{"203.0.113.10:+80", "port '+80'"},
        BadRow{"203.0.113.10: 80", "port ' 80'"}, BadRow{"203.0.113.10:80,443", "port '80,443'"},
        BadRow{"203.0.113.10:80-90-95", "port '90-95'"},
        BadRow{"203.0.113.10:4294967376", "port '4294967376'"},
        BadRow{"203.0.113.10:89-80", "port range 89-80 runs backwards; write 80-89"},
        BadRow{"[2001:db8::1]:0", "port 0 does not exist"}, BadRow{"[2001:db8::1]:", "port ''"},
        BadRow{"[2001:db8::1]443", "after the ']' stands '443'"},
        BadRow{"[2001:db8::1]]:443", "after the ']' stands"},
        BadRow{"[2001:db8::1:443", "the '[' is never closed"},
        BadRow{"2001:db8::/64:443", "needs brackets; write [ADDRESS/LEN]:PORT"}));

TEST(ParseProtectRule, NeverCrashesOnJunk) {
  std::mt19937 random(1);
  const std::string alphabet = "0123456789abcdef.:/[]-%x \0";
  unsigned accepted = 0;
  for (int round = 0; round < test::rounds(200'000); ++round) {
    std::string text;
    for (std::size_t n = random() % 24; n > 0; --n) {
      text += alphabet[random() % alphabet.size()];
    }
    try {
      const ProtectRule rule = parse_protect_rule(text);
      ++accepted;
      ASSERT_LE(rule.prefix_length, rule.ipv6 ? 128 : 32) << text;
      ASSERT_LE(rule.first_port, rule.last_port) << text;
    } catch (const std::invalid_argument& error) {
      ASSERT_STRNE(error.what(), "");
    }
  }
  EXPECT_GT(accepted, 0U);
}

ProtectSet set_of(const std::vector<const char*>& texts) {
  std::vector<ProtectRule> rules;
  for (const char* text : texts) {
    rules.push_back(parse_protect_rule(text));
  }
  return ProtectSet(std::move(rules));
}

bool matches(const ProtectSet& set, const char* address, std::uint16_t port) {
  const bool ipv6 = std::string_view(address).find(':') != std::string_view::npos;
  return set.matches(bytes(address, ipv6).data(), ipv6, port);
}
bool matches_address(const ProtectSet& set, const char* address) {
  const bool ipv6 = std::string_view(address).find(':') != std::string_view::npos;
  return set.matches_address(bytes(address, ipv6).data(), ipv6);
}

TEST(ProtectSet, WithoutRulesProtectsNothing) {
  const ProtectSet set({});
  EXPECT_FALSE(matches(set, "0.0.0.0", 0));
  EXPECT_FALSE(matches(set, "203.0.113.10", 80));
  EXPECT_FALSE(matches(set, "2001:db8::1", 80));
  EXPECT_FALSE(matches_address(set, "203.0.113.10"));
  EXPECT_FALSE(matches_address(set, "::"));
}

TEST(ProtectSet, OneRuleProtectsItsAddressAndPortAndNothingBeside) {
  const ProtectSet set = set_of({"203.0.113.10:80-89"});
  EXPECT_TRUE(matches(set, "203.0.113.10", 80));
  EXPECT_TRUE(matches(set, "203.0.113.10", 89));
  EXPECT_FALSE(matches(set, "203.0.113.10", 79));
  EXPECT_FALSE(matches(set, "203.0.113.10", 90));
  EXPECT_FALSE(matches(set, "203.0.113.9", 80));
  EXPECT_FALSE(matches(set, "203.0.113.11", 80));
  EXPECT_FALSE(matches(set, "cb00:710a::", 80)) << "the same bytes in the other family";
  EXPECT_TRUE(matches_address(set, "203.0.113.10"));
  EXPECT_FALSE(matches_address(set, "203.0.113.11"));
}

TEST(ProtectSet, AWholeAddressMeansEveryPortEvenZero) {
  const ProtectSet set = set_of({"2001:db8::1"});
  EXPECT_TRUE(matches(set, "2001:db8::1", 0));
  EXPECT_TRUE(matches(set, "2001:db8::1", 65535));
  EXPECT_FALSE(matches(set, "2001:db8::2", 80));
  EXPECT_FALSE(matches(set, "2001:db8::", 80));
}

TEST(ProtectSet, NestedPrefixesAddUp) {
  const ProtectSet set = set_of({"10.0.0.0/8:80", "10.1.0.0/16:443", "10.1.2.3:22", "10.1.2.3:25"});
  EXPECT_TRUE(matches(set, "10.1.2.3", 22));
  EXPECT_TRUE(matches(set, "10.1.2.3", 25));
  EXPECT_TRUE(matches(set, "10.1.2.3", 443));
  EXPECT_TRUE(matches(set, "10.1.2.3", 80));
  EXPECT_FALSE(matches(set, "10.1.2.3", 23));
  EXPECT_FALSE(matches(set, "10.1.2.4", 22));
  EXPECT_TRUE(matches(set, "10.1.2.4", 443));
  EXPECT_FALSE(matches(set, "10.2.0.0", 443));
  EXPECT_TRUE(matches(set, "10.255.255.255", 80));
  EXPECT_FALSE(matches(set, "11.0.0.0", 80));
  EXPECT_FALSE(matches(set, "9.255.255.255", 80));
}

TEST(ProtectSet, PortRangesOfOneAddressMayOverlapTouchOrRepeatInAnyOrder) {
  std::vector<const char*> texts{"10.0.0.1:80-90", "10.0.0.1:80",     "10.0.0.1:85-95",
                                 "10.0.0.1:96",    "10.0.0.1:90-100", "10.0.0.1:200"};
  std::sort(texts.begin(), texts.end());  // by place in memory: any starting order will do
  do {
    const ProtectSet set = set_of(texts);
    for (std::uint16_t port = 70; port < 210; ++port) {
      ASSERT_EQ(matches(set, "10.0.0.1", port), (port >= 80 && port <= 100) || port == 200) << port;
    }
  } while (std::next_permutation(texts.begin(), texts.end()));
}

TEST(ProtectSet, TheEndsOfTheAddressSpaceBelongToTheirPrefixes) {
  const ProtectSet set = set_of({"0.0.0.0/32:1", "255.255.255.255:2", "128.0.0.0/1:3", "[::/128]:1",
                                 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "8000::/1"});
  EXPECT_TRUE(matches(set, "0.0.0.0", 1));
  EXPECT_FALSE(matches(set, "0.0.0.1", 1));
  EXPECT_TRUE(matches(set, "255.255.255.255", 2));
  EXPECT_TRUE(matches(set, "255.255.255.255", 3));
  EXPECT_FALSE(matches(set, "255.255.255.254", 2));
  EXPECT_TRUE(matches(set, "::", 1));
  EXPECT_FALSE(matches(set, "::1", 1));
  EXPECT_FALSE(matches(set, "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 9));
  EXPECT_TRUE(matches(set, "8000::", 9));
  EXPECT_TRUE(matches(set, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 9));
}

TEST(ProtectSet, KeepsTheRulesInTheOrderGiven) {
  const ProtectSet set = set_of({"10.0.0.2:80", "2001:db8::1", "10.0.0.1:80", "10.0.0.2:80"});
  ASSERT_EQ(set.rules().size(), 4U);
  EXPECT_EQ(set.rules()[0].address, bytes("10.0.0.2", false));
  EXPECT_TRUE(set.rules()[1].ipv6);
  EXPECT_EQ(set.rules()[2].address, bytes("10.0.0.1", false));
}

TEST(ProtectSet, MayBeCopiedAndMoved) {
  ProtectSet first = set_of({"10.0.0.0/8:80", "10.1.0.0/16:443"});
  const ProtectSet copy = first;
  const ProtectSet moved = std::move(first);
  for (const ProtectSet* set : {&copy, &moved}) {
    EXPECT_TRUE(matches(*set, "10.1.0.1", 80));
    EXPECT_FALSE(matches(*set, "10.2.0.1", 443));
  }
}

// The reference: tries every rule, bit by bit.
bool covers(const ProtectRule& rule, const AddressBytes& address, bool ipv6) {
  if (rule.ipv6 != ipv6) {
    return false;
  }
  for (unsigned bit = 0; bit < rule.prefix_length; ++bit) {
    if (((rule.address[bit / 8] ^ address[bit / 8]) >> (7 - bit % 8) & 1) != 0) {
      return false;
    }
  }
  return true;
}

struct RandomRules {
  std::mt19937_64 random;
  unsigned density;  // address bits that vary: with few, prefixes nest

  AddressBytes address(bool ipv6) {
    AddressBytes a{};
    const std::size_t size = ipv6 ? 16 : 4;
    a[0] = 0x20;
    for (unsigned i = 0; i < density; ++i) {
      const std::size_t bit = random() % (8 * size);
      a[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    }
    return a;
  }
  ProtectRule rule() {
    ProtectRule r;
    r.ipv6 = (random() & 1) != 0;
    r.address = address(r.ipv6);
    r.prefix_length = static_cast<std::uint8_t>(random() % (r.ipv6 ? 129 : 33));
    for (unsigned bit = r.prefix_length; bit < 128; ++bit) {
      r.address[bit / 8] &= static_cast<std::uint8_t>(~(0x80U >> (bit % 8)));
    }
    if (random() % 4 != 0) {
      const auto a = static_cast<std::uint16_t>(1 + random() % 100);
      const auto b = static_cast<std::uint16_t>(1 + random() % 100);
      r.first_port = std::min(a, b);
      r.last_port = random() % 2 == 0 ? r.first_port : std::max(a, b);
    }
    return r;
  }
  // Near a rule: its first or last address, or a neighbour.
  AddressBytes probe(const std::vector<ProtectRule>& rules, bool ipv6) {
    const ProtectRule& near = rules[random() % rules.size()];
    if (near.ipv6 != ipv6 || random() % 4 == 0) {
      return address(ipv6);
    }
    AddressBytes a = near.address;
    const unsigned size = ipv6 ? 128 : 32;
    if (random() % 2 == 0) {
      for (unsigned bit = near.prefix_length; bit < size; ++bit) {
        a[bit / 8] |= static_cast<std::uint8_t>(0x80U >> (bit % 8));
      }
    }
    const auto step =
        static_cast<unsigned>(random() % 3);  // 0: as it is, 1: the next one, 2: the one before
    for (unsigned i = size / 8; step != 0 && i-- > 0;) {
      a[i] = static_cast<std::uint8_t>(a[i] + (step == 1 ? 1 : -1));
      if (a[i] != (step == 1 ? 0 : 0xff)) {
        break;
      }
    }
    return a;
  }
};

TEST(ProtectSet, AgreesWithANaiveScanForRandomRules) {
  for (const std::size_t count : {1U, 2U, 3U, 10U, 100U, 1000U, 4000U}) {
    for (const unsigned density : {2U, 6U, 40U}) {
      RandomRules source{std::mt19937_64(count * 100 + density), density};
      std::vector<ProtectRule> rules;
      for (std::size_t i = 0; i < count; ++i) {
        rules.push_back(source.rule());
        // If short prefixes were as common as long ones, half of them would cover everything.
        while (count > 10 && rules.back().prefix_length < 6) {
          rules.back() = source.rule();
        }
      }
      const ProtectSet set(rules);
      unsigned hits = 0;
      const unsigned probes = count < 1000 ? 4000 : test::rounds(1000U);
      for (unsigned i = 0; i < probes; ++i) {
        const bool ipv6 = (source.random() & 1) != 0;
        const AddressBytes address = source.probe(rules, ipv6);
        const auto port = static_cast<std::uint16_t>(source.random() % 110);
        bool want = false;
        bool want_address = false;
        for (const ProtectRule& rule : rules) {
          const bool covered = covers(rule, address, ipv6);
          want_address = want_address || covered;
          want = want || (covered && rule.first_port <= port && port <= rule.last_port);
        }
        hits += want;
        ASSERT_EQ(set.matches(address.data(), ipv6, port), want)
            << count << " rules, density " << density << ", probe " << i;
        ASSERT_EQ(set.matches_address(address.data(), ipv6), want_address)
            << count << " rules, density " << density << ", probe " << i;
      }
      EXPECT_GT(hits, 0U) << count << " rules, density " << density;
    }
  }
}

ProtectRule of_service(const char* text, NamedServiceId service) {
  ProtectRule rule = parse_protect_rule(text);
  rule.service = service;
  return rule;
}

NamedServiceId service_of(const ProtectSet& set, const char* address, std::uint16_t port) {
  const ProtectRule at = parse_protect_rule(address);
  return set.service_of(at.address.data(), at.ipv6, port);
}

TEST(ProtectSet, EachServiceHasItsAddressesAndPortsWhateverLiesAroundThem) {
  const ProtectSet set({parse_protect_rule("10.0.0.0/8"), of_service("10.1.0.0/16:80-89", 1),
                        of_service("10.1.2.3:443", 2), of_service("[2001:db8::/32]:443", 2),
                        of_service("10.1.2.3:81", 1), parse_protect_rule("10.1.2.3:80")});
  EXPECT_EQ(set.named_services(), 2U);
  struct Row {
    const char* address;
    std::uint16_t port;
    NamedServiceId service;
  };
  for (const Row& row : {Row{"10.1.2.3", 80, 1}, Row{"10.1.2.3", 81, 1}, Row{"10.1.2.3", 443, 2},
                         Row{"10.1.2.3", 22, 0}, Row{"10.1.9.9", 89, 1}, Row{"10.1.9.9", 443, 0},
                         Row{"10.2.0.1", 80, 0}, Row{"11.0.0.1", 80, 0}, Row{"2001:db8::7", 443, 2},
                         Row{"2001:db8::7", 80, 0}, Row{"2001:db9::7", 443, 0}}) {
    EXPECT_EQ(service_of(set, row.address, row.port), row.service) << row.address << row.port;
  }
  EXPECT_TRUE(matches(set, "10.1.2.3", 22)) << "protected, without a name";
  const ProtectSet alone({of_service("10.0.0.2:80", 1), of_service("10.0.0.2:81", 2)});
  EXPECT_EQ(service_of(alone, "10.0.0.2", 81), 2);
  EXPECT_EQ(service_of(set_of({"10.0.0.2:80"}), "10.0.0.2", 80), 0);
}

TEST(ProtectSet, RulesOverlapWhereSomeAddressAndPortIsOfBoth) {
  struct Row {
    const char* a;
    const char* b;
    bool overlap;
  };
  for (const Row& row :
       {Row{"10.0.0.2:80", "10.0.0.2:80", true}, Row{"10.0.0.2:80", "10.0.0.2:81", false},
        Row{"10.0.0.2:80-90", "10.0.0.2:90-99", true}, Row{"10.0.0.2", "10.0.0.2:443", true},
        Row{"10.0.0.0/8:80", "10.1.2.3:80", true}, Row{"10.0.0.0/9:80", "10.128.0.0/9:80", false},
        Row{"10.0.0.0/9:80", "10.127.0.0/16:80", true}, Row{"0.0.0.0/0", "[::/0]:80", false},
        Row{"[::/0]:80", "2001:db8::1", true}, Row{"2001:db8::/33", "2001:db8:8000::1", false}}) {
    const ProtectRule a = parse_protect_rule(row.a);
    const ProtectRule b = parse_protect_rule(row.b);
    EXPECT_EQ(overlap(a, b), row.overlap) << row.a << " " << row.b;
    EXPECT_EQ(overlap(b, a), row.overlap) << row.b << " " << row.a;
  }
}

}  // namespace
}  // namespace synproxy
