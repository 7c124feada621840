// SPDX-License-Identifier: BSD-3-Clause
#include "control/flow_requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "control/flow_wire.h"
#include "fake_dataplane.h"

namespace synproxy::control {
namespace {

using dataplane::fake_state;
using dataplane::FlowMail;
using Json = nlohmann::ordered_json;
using Step = Answer::Step;
using testing::HasSubstr;

// Both workers' tables: `flows` of them, and each deletes what it is told to.
struct Table {
  FlowIndex flows;
  std::vector<FlowMail::FlowName> deleted{};

  FlowSlice copy_flows(FlowIndex from, std::uint32_t looks, std::span<FlowInfo> out,
                       std::uint64_t) const {
    FlowSlice slice;
    for (; from < flows && looks != 0 && slice.count < out.size(); ++from, --looks) {
      out[slice.count++].index = from;
    }
    slice.next = from < flows ? from : kNoFlow;
    return slice;
  }
  FlowSlice copy_services(FlowIndex, std::uint32_t, std::span<ServiceInfo> out) const {
    out[0].port = 80;
    return {.count = 1, .next = kNoFlow};
  }
  bool delete_flow(FlowIndex i, const FlowKey& key, std::uint64_t, FrameSink&) {
    deleted.push_back({i, key});
    return i < flows;
  }
};

class Nothing final : public FrameSink {
  void emit(Role, std::span<const std::uint8_t>) override {}
};

class FlowRequestsTest : public testing::Test {
 protected:
  FlowRequestsTest() {
    config_.protect = {parse_protect_rule("10.0.0.2:80"), parse_protect_rule("[2001:db8::1]:443")};
    config_.services = {{.name = "web"}};
    config_.protect[1].service = 1;
    add_flow_requests(requests_, dataplane_, config_);
  }
  std::unique_ptr<Answer> ask(const Json& request, bool may_change = true) {
    return requests_.answer(request.dump(), {.pid = 7, .uid = 1000, .may_change = may_change});
  }
  void work() {
    for (std::size_t w = 0; w < 2; ++w) {
      if (fake_state().mail[w].asked()) fake_state().mail[w].serve(tables_[w], 100, 0, sink_);
    }
  }
  // All of the answer, with the workers at work whenever it waits.
  std::string whole(Answer& answer) {
    std::string out;
    testing::internal::CaptureStdout();
    for (int turns = 0; turns < 10'000; ++turns) {
      const Step step = answer.next(out);
      if (step == Step::kEnd) break;
      if (step == Step::kWait) work();
    }
    printed_ = testing::internal::GetCapturedStdout();
    return out;
  }
  // How many flows of each worker a listing holds.
  static std::array<std::size_t, 2> count(std::string_view text) {
    std::array<std::size_t, 2> counts{};
    const auto line = [&] {
      const std::size_t end = text.find('\n');
      const Json parsed = Json::parse(text.substr(0, end));
      text.remove_prefix(end + 1);
      return parsed;
    };
    EXPECT_EQ(line().at("result").at("size"), sizeof(FlowInfo));
    for (Json part = line(); !part.contains("end"); part = line()) {
      const auto flows = part.at("count").get<std::size_t>();
      std::size_t& seen = counts.at(part.at("worker").get<std::size_t>());
      for (std::size_t i = 0; i < flows; ++i) {
        FlowInfo info;
        std::memcpy(&info, text.data() + i * sizeof info, sizeof info);
        EXPECT_EQ(info.index, seen++);
      }
      text.remove_prefix(flows * sizeof(FlowInfo));
    }
    EXPECT_TRUE(text.empty());
    return counts;
  }

  Config config_;
  KeyRing ring_;
  ProtectSet protect_{{}};
  dataplane::Dataplane dataplane_{config_, protect_, ring_};
  Requests requests_;
  std::array<Table, 2> tables_{{{10'000}, {3}}};
  Nothing sink_;
  std::string printed_;
};

TEST_F(FlowRequestsTest, ListsTheFlowsOfAllWorkers) {
  const auto answer = ask({{"command", "flows"}}, false);
  const std::string text = whole(*answer);
  EXPECT_THAT(text.substr(0, text.find('\n')),
              HasSubstr(R"("protect":["10.0.0.2:80","[2001:db8::1]:443"],"services":["","web"])"));
  EXPECT_EQ(count(text), (std::array<std::size_t, 2>{10'000, 3}));
}

TEST_F(FlowRequestsTest, WhatWasLearnedComesFromEachWorker) {
  std::string text = whole(*ask({{"command", "services"}}, false));
  const auto line = [&] {
    const std::size_t end = text.find('\n');
    Json parsed = Json::parse(text.substr(0, end));
    text.erase(0, end + 1);
    return parsed;
  };
  EXPECT_EQ(line().at("result").at("size"), sizeof(ServiceInfo));
  for (const unsigned worker : {0U, 1U}) {
    EXPECT_EQ(line(), (Json{{"worker", worker}, {"count", 1}}));
    ServiceInfo info;
    ASSERT_GE(text.size(), sizeof info);
    std::memcpy(&info, text.data(), sizeof info);
    EXPECT_EQ(info.port, 80);
    text.erase(0, sizeof info);
  }
  EXPECT_EQ(text, "{\"end\":true}\n");
}

TEST_F(FlowRequestsTest, TwoReadersTakeTurns) {
  const auto first = ask({{"command", "flows"}});
  const auto second = ask({{"command", "flows"}});
  std::string one;
  std::string two;
  bool one_ends = false;
  bool two_ends = false;
  for (int turns = 0; turns < 10'000 && !(one_ends && two_ends); ++turns) {
    one_ends = one_ends || first->next(one) == Step::kEnd;
    two_ends = two_ends || second->next(two) == Step::kEnd;
    work();
  }
  EXPECT_EQ(count(one), count(two));
}

TEST_F(FlowRequestsTest, AReaderThatLeavesInTheMiddleBlocksNobody) {
  auto left = ask({{"command", "flows"}});
  std::string out;
  EXPECT_EQ(left->next(out), Step::kWait) << "the worker has been asked";
  left.reset();
  const auto answer = ask({{"command", "flows"}});
  out.clear();
  EXPECT_EQ(answer->next(out), Step::kWait) << "the worker is still at the last letter";
  EXPECT_EQ(count(out + whole(*answer)), (std::array<std::size_t, 2>{10'000, 3}));
}

TEST_F(FlowRequestsTest, DeletesWhereTheFlowsAreAndSaysWhoAsked) {
  const Json flow = {{"worker", 1},    {"index", 2},           {"client", "198.51.100.7"},
                     {"sport", 40000}, {"server", "10.0.0.2"}, {"dport", 80},
                     {"vlan", 0}};
  Json gone = flow;
  gone["index"] = 99;
  Json ipv6 = flow;
  ipv6["worker"] = 0;
  ipv6["client"] = "2001:db8::7";
  ipv6["server"] = "2001:db8::1";
  const auto answer =
      ask({{"command", "delete-flows"}, {"flows", Json::array({flow, gone, ipv6})}});
  EXPECT_EQ(whole(*answer), R"({"ok":true,"result":{"deleted":2}})"
                            "\n");
  EXPECT_EQ(printed_, "synproxy: deleted 2 flows (uid 1000, pid 7)\n");
  // Of none, as the command asks whether it may: no line, no work.
  const auto none = ask({{"command", "delete-flows"}, {"flows", Json::array()}});
  EXPECT_EQ(whole(*none), R"({"ok":true,"result":{"deleted":0}})"
                          "\n");
  EXPECT_EQ(printed_, "");
  ASSERT_EQ(tables_[1].deleted.size(), 2U);
  EXPECT_EQ(tables_[1].deleted[0].index, 2U);
  EXPECT_EQ(tables_[1].deleted[0].key.client_port, 40'000);
  EXPECT_FALSE(tables_[1].deleted[0].key.ipv6);
  ASSERT_EQ(tables_[0].deleted.size(), 1U);
  EXPECT_TRUE(tables_[0].deleted[0].key.ipv6);
}

TEST_F(FlowRequestsTest, WhoMayReadMayNotDeleteAndNonsenseIsRefused) {
  const Json good = {{"worker", 0},    {"index", 2},           {"client", "198.51.100.7"},
                     {"sport", 40000}, {"server", "10.0.0.2"}, {"dport", 80},
                     {"vlan", 0}};
  EXPECT_THAT(whole(*ask({{"command", "delete-flows"}, {"flows", Json::array({good})}}, false)),
              HasSubstr("no permission to change"));
  for (const auto& [field, value] : {std::pair<const char*, Json>{"worker", 2},
                                     {"worker", "x"},
                                     {"index", nullptr},
                                     {"client", "2001:db8::1"},
                                     {"client", "nobody"},
                                     {"server", 7},
                                     {"dport", "http"}}) {
    Json bad = good;
    bad[field] = value;
    EXPECT_THAT(whole(*ask({{"command", "delete-flows"}, {"flows", Json::array({bad})}})),
                HasSubstr("\"ok\":false"))
        << bad;
  }
  EXPECT_THAT(whole(*ask({{"command", "delete-flows"}})), HasSubstr("\"ok\":false"));
  EXPECT_TRUE(tables_[0].deleted.empty());
}

TEST_F(FlowRequestsTest, ARequestToDeleteFitsItsLimit) {
  Json flows = Json::array();
  const std::string longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  for (std::size_t i = 0; i < kFlowsToDelete; ++i) {
    flows.push_back({{"worker", 1000},
                     {"index", 4'000'000'000U},
                     {"client", longest},
                     {"sport", 65535},
                     {"server", longest},
                     {"dport", 65535},
                     {"vlan", 4'000'000'000U}});
  }
  EXPECT_LT(Json({{"command", "delete-flows"}, {"flows", flows}}).dump().size(), 16U * 1024);
}

}  // namespace
}  // namespace synproxy::control
