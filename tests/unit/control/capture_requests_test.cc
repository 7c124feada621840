// SPDX-License-Identifier: BSD-3-Clause
#include "control/capture_requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>

#include "control/capture_wire.h"
#include "control/clock.h"
#include "fake_dataplane.h"

namespace synproxy::control {
namespace {

using dataplane::CaptureRecord;
using dataplane::fake_state;
using Json = nlohmann::ordered_json;
using Step = Answer::Step;
using testing::HasSubstr;

class CaptureRequestsTest : public testing::Test {
 protected:
  CaptureRequestsTest() {
    config_.services = {{.name = "dns"}, {.name = "web"}};
    for (const char* text : {"10.0.0.2:53", "10.0.0.2:80", "[2001:db8::1]:443"}) {
      config_.protect.push_back(parse_protect_rule(text));
      config_.protect.back().service = config_.protect.size() == 1 ? 1 : 2;
    }
    testing::internal::CaptureStdout();
    add_capture_request(requests_, dataplane_, config_);
  }
  ~CaptureRequestsTest() override {
    const std::string said = testing::internal::GetCapturedStdout();
    if (HasFailure()) std::fputs(said.c_str(), stderr);
  }
  CaptureRequestsTest(const CaptureRequestsTest&) = delete;
  CaptureRequestsTest& operator=(const CaptureRequestsTest&) = delete;

  std::unique_ptr<Answer> ask(const Json& request = {{"command", "capture"}}, bool may = true) {
    return requests_.answer(request.dump(), {.pid = 7, .uid = 0, .may_change = may});
  }
  static std::string line(Answer& answer) {
    std::string out;
    for (int turns = 0; answer.next(out) == Step::kWait && turns < 5; ++turns) work();
    return out;
  }
  static void work() {
    for (auto& tap : fake_state().taps) tap.heed();
  }
  // A frame of so many bytes comes to a worker at that time.
  static void come(std::size_t worker, std::uint64_t time, std::size_t bytes = 20) {
    std::vector<std::uint8_t> frame(bytes, static_cast<std::uint8_t>(time));
    Packet p{.data = frame.data(), .length = static_cast<std::uint32_t>(bytes)};
    p.decide(Verdict::kDrop, Reason::land);
    dataplane::fake_tsc = time;
    fake_state().taps.at(worker).dropped(Role::kClient, p);
  }

  Config config_;
  KeyRing ring_;
  ProtectSet protect_{{}};
  dataplane::Dataplane dataplane_{config_, protect_, ring_};
  Requests requests_;
};

TEST_F(CaptureRequestsTest, FramesOfAllWorkersComeInTheOrderOfTime) {
  const auto answer = ask();
  EXPECT_TRUE(answer->endless());
  const Json head = Json::parse(line(*answer)).at("result");
  EXPECT_EQ(head.at("format"), kCaptureFormat);
  EXPECT_EQ(head.at("size"), sizeof(CaptureRecord));
  work();
  std::string out;
  EXPECT_EQ(answer->next(out), Step::kWait);
  come(0, 10);
  come(1, 5, 33);
  come(0, 20);
  const std::uint64_t came_by = monotonic_us();
  EXPECT_EQ(answer->next(out), Step::kMore);
  const std::size_t end = out.find('\n');
  const Json about = Json::parse(out.substr(0, end));
  EXPECT_EQ(about.at("bytes"), 3 * sizeof(CaptureRecord) + 73);
  EXPECT_EQ(about.at("lost"), 0);
  EXPECT_GE(about.at("until"), came_by);
  EXPECT_LE(about.at("until"), monotonic_us());
  std::vector<int> workers;
  std::uint64_t before = 0;
  for (std::size_t at = end + 1; at < out.size();) {
    CaptureRecord record;
    std::memcpy(&record, out.data() + at, sizeof record);
    EXPECT_GE(record.time, before);
    EXPECT_EQ(record.captured, record.worker == 1 ? 33U : 20U);
    before = record.time;
    workers.push_back(static_cast<int>(record.worker));
    at += sizeof record + record.captured;
  }
  EXPECT_EQ(workers, (std::vector<int>{1, 0, 0}));
}

TEST_F(CaptureRequestsTest, OneAtATimeAndTheNextOneWaitsForTheWorkers) {
  auto first = ask();
  static_cast<void>(line(*first));
  work();
  EXPECT_THAT(line(*ask()), HasSubstr("a capture runs already (uid 0, pid 7)"));
  first.reset();
  EXPECT_TRUE(fake_state().taps[0].on()) << "has not looked yet";
  const auto second = ask();
  std::string out;
  EXPECT_EQ(second->next(out), Step::kWait);
  work();
  EXPECT_FALSE(fake_state().taps[0].on());
  EXPECT_EQ(second->next(out), Step::kWait) << "begun, but no worker shows its packets yet";
  work();
  EXPECT_TRUE(fake_state().taps[0].on());
  EXPECT_EQ(second->next(out), Step::kMore);
}

TEST_F(CaptureRequestsTest, WhatIsLostIsTold) {
  const auto answer = ask({{"command", "capture"}, {"snaplen", 1000}});
  static_cast<void>(line(*answer));
  work();
  for (int i = 0; i < 3000; ++i) come(0, 7, 1000);
  EXPECT_GT(fake_state().io[0].capture_lost.get(), 0U);
  std::string out;
  EXPECT_EQ(answer->next(out), Step::kMore);
  EXPECT_EQ(Json::parse(out.substr(0, out.find('\n'))).at("lost"),
            fake_state().io[0].capture_lost.get());
}

TEST_F(CaptureRequestsTest, WhatIsNoRequestIsRefused) {
  EXPECT_THAT(line(*ask({{"command", "capture"}}, false)), HasSubstr("permission"));
  for (const Json& wrong :
       {Json{{"client", "nobody"}}, Json{{"server", 7}}, Json{{"reasons", {"bad_luck"}}},
        Json{{"reasons", 7}}, Json{{"snaplen", "all"}}, Json{{"snaplen", -1}}}) {
    Json request{{"command", "capture"}};
    request.update(wrong);
    const std::string text = line(*ask(request));
    if (wrong.contains("snaplen") && wrong.at("snaplen") == -1) continue;  // read as all
    EXPECT_THAT(text, HasSubstr("\"ok\":false")) << wrong;
  }
  EXPECT_THAT(line(*ask()), HasSubstr("\"ok\":true")) << "none of them is left behind";
}

}  // namespace
}  // namespace synproxy::control
