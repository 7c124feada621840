// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/source_lists.h"

#include <gtest/gtest.h>

#include <string>

#include "support/packet_builder.h"

namespace synproxy {
namespace {

bool has(const PrefixSet& set, const std::string& text) {
  return set.contains(test::parse_address(text).data(), text.find(':') != std::string::npos);
}

TEST(SourceLists, WhatIsAllowedIsNeitherDeniedNorABogon) {
  const std::vector<Prefix> allow{parse_prefix("10.1.0.0/16"), parse_prefix("198.18.0.7")};
  const std::vector<Prefix> deny{parse_prefix("10.0.0.0/8"), parse_prefix("192.0.2.0/24")};
  const SourceLists lists = make_source_lists(allow, deny, true);
  EXPECT_TRUE(has(lists.allowed, "10.1.2.3"));
  EXPECT_FALSE(has(lists.denied, "10.1.2.3"));
  EXPECT_FALSE(has(lists.bogons, "10.1.2.3"));
  EXPECT_TRUE(has(lists.denied, "10.2.0.0"));
  EXPECT_TRUE(has(lists.bogons, "10.2.0.0"));
  EXPECT_FALSE(has(lists.bogons, "198.18.0.7"));
  EXPECT_TRUE(has(lists.bogons, "198.18.0.8"));
  EXPECT_EQ(lists.allow_count, 2U);
  EXPECT_EQ(lists.deny_count, 2U);
}

TEST(SourceLists, BogonsAreThereOnlyIfAskedFor) {
  EXPECT_TRUE(make_source_lists({}, {}, false).bogons.empty());
  EXPECT_EQ(make_source_lists({}, {}, true).bogons, bogon_sources());
}

TEST(SourceLists, BogonsAreWhatIsNotGloballyReachable) {
  const PrefixSet bogons = bogon_sources();
  for (const char* in :
       {"0.1.2.3",      "10.0.0.1",       "10.255.255.255", "100.64.0.0",      "100.127.255.255",
        "127.0.0.1",    "169.254.1.1",    "172.16.0.1",     "172.31.255.255",  "192.0.0.8",
        "192.0.0.11",   "192.0.2.1",      "192.168.0.1",    "198.18.0.1",      "198.19.255.255",
        "198.51.100.1", "203.0.113.1",    "240.0.0.1",      "255.255.255.255", "::",
        "::1",          "::ffff:1.2.3.4", "64:ff9b:1::1",   "100::1",          "2001:2::1",
        "2001:10::1",   "2001:1ff::1",    "2001:db8::1",    "3fff::1",         "5f00::1",
        "fc00::1",      "fd00::1",        "fe80::1",        "febf::1"}) {
    EXPECT_TRUE(has(bogons, in)) << in;
  }
  for (const char* out :
       {"1.0.0.0",         "8.8.8.8",     "9.255.255.255",  "11.0.0.0",
        "100.63.255.255",  "100.128.0.0", "172.15.255.255", "172.32.0.0",
        "192.0.0.9",       "192.0.0.10",  "192.0.1.0",      "192.88.99.1",
        "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
        "223.255.255.255", "64:ff9b::1",  "2001::1",        "2001:1::1",
        "2001:4:112::1",   "2001:20::1",  "2001:200::1",    "2001:4860:4860::8888",
        "2002::1",         "2400::1",     "2a00::1",        "fec0::1"}) {
    EXPECT_FALSE(has(bogons, out)) << out;
  }
}

}  // namespace
}  // namespace synproxy
