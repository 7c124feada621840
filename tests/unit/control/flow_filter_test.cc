// SPDX-License-Identifier: BSD-3-Clause
#include "control/flow_filter.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "control/flow_text.h"

namespace synproxy::control {
namespace {

using Words = std::vector<std::string>;

FlowFilter filter(const Words& words) {
  return FlowFilter(read_command_line(*find_command("flows"), words));
}

FlowInfo flow(const char* client = "198.51.100.7", const char* server = "203.0.113.10") {
  FlowInfo f;
  f.ipv6 = std::string_view(client).find(':') != std::string_view::npos ? 1 : 0;
  ::inet_pton(f.ipv6 != 0 ? AF_INET6 : AF_INET, client, f.client.data());
  ::inet_pton(f.ipv6 != 0 ? AF_INET6 : AF_INET, server, f.server.data());
  f.client_port = 40'000;
  f.server_port = 443;
  f.state = static_cast<std::uint8_t>(FlowState::kEstablished);
  f.age_seconds = 600;
  f.idle_ms = 60'000;
  return f;
}

TEST(FlowFilter, WithoutFlagsItTakesAll) {
  EXPECT_TRUE(filter({}).matches_all());
  EXPECT_TRUE(filter({"--count"}).matches_all());
  EXPECT_TRUE(filter({}).matches(flow()));
}

TEST(FlowFilter, EachFlagNarrowsIt) {
  const FlowInfo v4 = flow();
  const FlowInfo v6 = flow("2001:db8:1::7", "2001:db8::10");
  struct Row {
    Words words;
    bool of_v4, of_v6;
  };
  const Row rows[] = {
      {{"--src", "198.51.100.7"}, true, false},
      {{"--src", "198.51.100.8"}, false, false},
      {{"--src", "198.51.100.0/29"}, true, false},
      {{"--src", "198.51.100.8/29"}, false, false},
      {{"--src", "0.0.0.0/0"}, true, false},
      {{"--src", "::/0"}, false, true},
      {{"--dst", "203.0.113.0/24"}, true, false},
      {{"--dst", "2001:db8::10"}, false, true},
      {{"--dst=2001:db8::/33"}, false, true},
      {{"--sport", "40000"}, true, true},
      {{"--sport", "40001"}, false, false},
      {{"--dport", "400-443"}, true, true},
      {{"--dport", "444-65535"}, false, false},
      {{"--state", "established"}, true, true},
      {{"--state", "closing", "--state", "established"}, true, true},
      {{"--state", "syn-sent"}, false, false},
      {{"--older", "10m"}, true, true},
      {{"--older", "601"}, false, false},
      {{"--idle", "1m"}, true, true},
      {{"--idle", "61"}, false, false},
      {{"--older", "10m", "--idle", "2m"}, false, false},
      {{"--src", "198.51.100.7", "--dport", "80"}, false, false},
  };
  for (const Row& row : rows) {
    const FlowFilter one = filter(row.words);
    EXPECT_FALSE(one.matches_all());
    EXPECT_EQ(one.matches(v4), row.of_v4) << testing::PrintToString(row.words);
    EXPECT_EQ(one.matches(v6), row.of_v6) << testing::PrintToString(row.words);
  }
}

TEST(FlowFilter, WhatIsWrongIsNamedInOneLine) {
  const std::pair<Words, const char*> rows[] = {
      {{"--src", "300.1.1.1"}, "--src 300.1.1.1: "},
      {{"--src", "10.0.0.1/24"}, "--src 10.0.0.1/24: "},
      {{"--src", "10.0.0.1:80"}, "--src 10.0.0.1:80: has a port"},
      {{"--dst", "2001:db8:1::/47"}, "--dst 2001:db8:1::/47: "},
      {{"--sport", "0"}, "--sport 0: is too small; give 1 to 65535"},
      {{"--dport", "70000"}, "--dport 70000: is too large"},
      {{"--dport", "90-80"}, "--dport 90-80: runs backwards"},
      {{"--dport", "80-"}, "--dport 80-: is empty"},
      {{"--state", "free"},
       "--state free: is not a state of a connection; give syn-sent, established"},
      {{"--state", "Established"}, "--state Established: "},
      {{"--older", "10 minutes"}, "--older 10 minutes: "},
      {{"--older", "50d"}, "--older 50d: is too large"},
      {{"--older", "-1"}, "--older -1: is negative"},
      {{"--older", "m"}, "--older m: is empty"},
      {{"--idle", "long"}, "--idle long: is not a number"},
  };
  for (const auto& [words, text] : rows) {
    try {
      (void)filter(words);
      ADD_FAILURE() << words.back() << " was taken";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), testing::StartsWith(text));
      EXPECT_THAT(error.what(), testing::HasSubstr("; give "));
    }
  }
}

TEST(FlowFilter, Durations) {
  for (const auto& [text, ms] : {std::pair{"500ms", 500U},
                                 {"90", 90'000U},
                                 {"90s", 90'000U},
                                 {"10m", 600'000U},
                                 {"2h", 7'200'000U},
                                 {"7d", 604'800'000U},
                                 {"0", 0U}}) {
    EXPECT_EQ(parse_duration(text), ms) << text;
  }
}

TEST(FlowText, JsonAndRowSayTheSame) {
  FlowInfo f = flow("2001:db8:1::7", "2001:db8::10");
  f.options = kFlowTimestamps | kFlowSack | kFlowClientScales | kFlowServerScales;
  f.scales = 7 | 9 << 4;
  f.offered_scale = 8;
  f.delta = 4'000'000'000;
  f.age_seconds = 86'400;
  f.idle_ms = 1'007;
  f.progress = kFlowProbed | static_cast<unsigned>(FlowState::kEstablished);
  f.vlan = VlanStack{}.pushed(0x88a8, 100).pushed(0x8100, 5).packed;
  f.from_client = 17;
  const Services services({"203.0.113.10:443", "[2001:db8::/32]:443-444", "[2001:db8::10]:443"});
  EXPECT_EQ(services.of(f), "[2001:db8::/32]:443-444");
  EXPECT_EQ(Services({"[2001:db8::]/32", "[2001:db8::10]:443"}, {"", "web"}).of(f), "web");
  const auto json = nlohmann::json::parse(flow_json(f, services.of(f)));
  EXPECT_EQ(json, nlohmann::json::parse(R"({"state":"established","client":"2001:db8:1::7",
    "sport":40000,"server":"2001:db8::10","dport":443,"vlan":"100.5",
    "service":"[2001:db8::/32]:443-444","age_seconds":86400,"idle_seconds":1.007,"delta":4000000000,"ts_delta":0,
    "options":["timestamps","sack","wscale"],"flags":["probed"],"client_scale":7,
    "offered_scale":8,"server_scale":9,"bytes_from_client":17,"bytes_from_server":0,"worker":0})"));
  const std::string row = flow_row(f, services.of(f));
  for (const char* cell :
       {"established ", " [2001:db8:1::7]:40000 ", "[2001:db8::10]:443 ", " 86400 ", " 1.007 ",
        " 4000000000 ", " timestamps,sack,wscale,probed ", " 7/8/9 ", " 100.5 "}) {
    EXPECT_THAT(" " + row, testing::HasSubstr(cell));
  }
  EXPECT_EQ(std::ranges::count(row, '\n'), 1);
  f.server_port = 80;
  EXPECT_EQ(services.of(f), "-");
}

TEST(FlowText, TopSourcesCountByAddress) {
  std::vector<FlowInfo> flows(3, flow("198.51.100.1"));
  flows.resize(8, flow("2001:db8::1", "2001:db8::10"));
  flows.resize(9, flow("198.51.100.2"));
  flows[0].state = static_cast<std::uint8_t>(FlowState::kClosing);
  const auto top = top_sources(flows, 2);
  ASSERT_EQ(top.size(), 2U);
  EXPECT_EQ(top[0].address, "2001:db8::1");
  EXPECT_EQ(top[0].flows, 5U);
  EXPECT_EQ(top[1].address, "198.51.100.1");
  EXPECT_EQ(top[1].flows, 3U);
  EXPECT_EQ(top[1].established, 2U);
  EXPECT_EQ(top_sources(flows, 100).size(), 3U);
  EXPECT_TRUE(top_sources({}, 10).empty());
}

// What does not go together is refused before anybody is asked.
TEST(FlowsCommand, WantsAFilterToDelete) {
  const Command& command = *find_command("flows");
  const std::pair<Words, const char*> rows[] = {
      {{"--delete"}, "--delete: would end every connection; "},
      {{"--delete", "--count", "--all"}, "--delete: does not go with --count"},
      {{"--count", "--top-sources"}, "--top-sources: does not go with --count"},
      {{"--all"}, "--all: goes with --delete"},
      {{"--delete", "--all", "--dport", "80"}, "--all: does not go with a filter"},
      {{"--top-sources=0"}, "--top-sources 0: is too small"},
      {{"--top-sources=x"}, "--top-sources x: is not a number"},
      {{"--top-sources", "5"}, "'5': stands alone"},
  };
  for (const auto& [words, text] : rows) {
    try {
      command.run(read_command_line(command, words), [](const std::string&) {});
      ADD_FAILURE() << words.back() << " was taken";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), testing::StartsWith(text));
    }
  }
}

}  // namespace
}  // namespace synproxy::control
