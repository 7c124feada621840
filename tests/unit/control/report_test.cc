// SPDX-License-Identifier: BSD-3-Clause
#include "control/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <stdexcept>

#include "control/analysis.h"
#include "control/log.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;
using testing::Not;

constexpr std::uint64_t kStart = 1'700'000'000'000;  // 22:13:20 UTC

class ReportTest : public testing::Test {
 protected:
  ReportTest() {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
    view_.workers.push_back({.cpu = 2, .counters = &counters_, .io = &io_});
    view_.name = "web|<b>";
    view_.version = "1.2.3";
    view_.started_unix_ms = kStart;
    view_.max_flows = 100;
    view_.cycles_per_second = 1000;
    for (const PortId id : kAllPorts) view_.ports[id].link_up = true;
    recorder_.record(view_, kStart);
  }

  void second() {
    counters_.count(Reason::conn_established, 20);
    recorder_.record(view_, kStart + 1000 * ++seconds_);
  }
  void calm(unsigned seconds) {
    for (unsigned i = 0; i < seconds; ++i) second();
  }
  void flood(unsigned seconds, std::uint64_t syns) {
    for (unsigned i = 0; i < seconds; ++i) {
      counters_.count(Reason::syn_received, syns);
      counters_.count(Reason::syn_shed, syns / 10);
      io_.rx_packets[PortId::kClient].add(syns);
      io_.rx_bytes[PortId::kClient].add(60 * syns);
      second();
    }
  }
  [[nodiscard]] Json analysis(std::size_t seconds = 3600) const {
    return analysis_document(recorder_, view_, seconds);
  }

  Counters counters_;
  dataplane::IoCounters io_;
  View view_;
  Recorder recorder_{1};
  std::uint64_t seconds_ = 0;
};

TEST_F(ReportTest, AnAttackHasABeginAnEndAndAHeight) {
  calm(30);
  flood(5, 20'000);
  flood(5, 50'000);
  calm(30);
  const Json got = analysis();
  ASSERT_EQ(got.at("attacks").size(), 1U);
  const Json& attack = got.at("attacks")[0];
  EXPECT_EQ(attack.at("from"), kStart + 30'000);
  EXPECT_EQ(attack.at("to"), kStart + 40'000);
  EXPECT_EQ(attack.at("syns"), 55'000);
  EXPECT_EQ(attack.at("packets"), 50'000);
  EXPECT_EQ(attack.at("bits"), 24'000'000);
  EXPECT_THAT(attack.at("what").get<std::string>(), HasSubstr("SYN flood, 55 k/s"));
  EXPECT_EQ(attack.at("reasons"), Json({{"syn_shed", 35'000}}));
  EXPECT_EQ(attack.at("connections"), 20.0);
  EXPECT_EQ(attack.at("before"), 20.0);
  EXPECT_EQ(got.at("headline"), "nothing comes in, 20/s connections made");
}

TEST_F(ReportTest, AShortPauseDoesNotEndAnAttackAndALongOneDoes) {
  flood(3, 20'000);
  calm(kPauseSeconds - 1);
  flood(3, 20'000);
  calm(kPauseSeconds + 1);
  flood(3, 20'000);
  EXPECT_EQ(analysis().at("attacks").size(), 2U);
}

TEST_F(ReportTest, OnlyTheTimeThatWasAskedForCounts) {
  flood(3, 20'000);
  calm(100);
  EXPECT_EQ(analysis().at("total").at("syn_received"), 60'000);
  const Json got = analysis(50);
  EXPECT_TRUE(got.at("attacks").empty());
  EXPECT_FALSE(got.at("total").contains("syn_received"));
  EXPECT_EQ(got.at("from"), kStart + 53'000);
}

TEST_F(ReportTest, OtherAlarmsAreNoAttacks) {
  calm(5);
  counters_.flows.set(95);
  calm(2);
  counters_.flows.set(5);
  calm(5);
  const Json got = analysis();
  EXPECT_TRUE(got.at("attacks").empty());
  ASSERT_EQ(got.at("troubles").size(), 1U);
  EXPECT_EQ(got.at("troubles")[0].at("from"), kStart + 5'000);
  EXPECT_THAT(got.at("troubles")[0].at("what").get<std::string>(), HasSubstr("95 % full"));
  EXPECT_EQ(got.at("most").at("flows"), 95);
}

TEST_F(ReportTest, MarkdownIsReadableAndNamesEscape) {
  calm(30);
  flood(10, 20'000);
  const std::string got = report_text(analysis(), ReportForm::kMarkdown);
  EXPECT_THAT(got, testing::StartsWith("# Report of synproxy web\\|\\<b>\n\n"));
  EXPECT_THAT(got, HasSubstr("From 2023-11-14 22:13:20 UTC to 2023-11-14 22:14:00 UTC, 40 s."));
  EXPECT_THAT(got, HasSubstr("1 attack, 0 other alarms. Now: SYN flood"));
  EXPECT_THAT(got, HasSubstr("\n| 22:13:50 | 22:14:00 | 20 k | 22 k | 9.6 M |"));
  EXPECT_THAT(got, HasSubstr("\n| syn_shed | 20000 | SYN dropped unanswered"));
  EXPECT_THAT(got, HasSubstr("800 connections made"));
  EXPECT_THAT(got, HasSubstr("\n| 22:13:50 | 20 | 20 | 0 |\n"));
  EXPECT_THAT(got, HasSubstr("\n| syn_received | 200000 |\n"));
}

TEST_F(ReportTest, SaysWhatGenuineClientsFelt) {
  EXPECT_THAT(report_text(analysis(), ReportForm::kMarkdown),
              HasSubstr("From SYN-ACK to valid ACK: nothing was measured."));
  for (int i = 0; i < 10; ++i) counters_.felt.all.handshake.add(10);
  calm(70);
  for (int i = 0; i < 10; ++i) counters_.felt.all.handshake.add(1900);
  for (int i = 0; i < 4; ++i) counters_.felt.all.first_byte.add(20);
  counters_.felt.all.syn_repeats.add(3);
  flood(10, 20'000);
  const std::string got = report_text(analysis(), ReportForm::kMarkdown);
  EXPECT_THAT(got,
              HasSubstr("From SYN-ACK to valid ACK: 20 measured, half within 10 ms, nine of ten "
                        "within 1.8 s, 99 of a hundred within 2.0 s. From there to the server's "
                        "first byte: 4 measured, half within 15 ms,"));
  EXPECT_THAT(got, HasSubstr("These clients had sent 3 SYNs again.\n"));
  EXPECT_THAT(got, HasSubstr("\n| 22:14:30 | - | 1.5 s | - | 1.9 s | - | 15 ms | 3 |\n"))
      << "those of the first ten seconds are more than a minute ago";
}

TEST_F(ReportTest, HtmlIsOnePageThatNamesNothingOutside) {
  flood(10, 20'000);
  const std::string got = report_text(analysis(), ReportForm::kHtml);
  EXPECT_THAT(got, testing::StartsWith("<!doctype html>\n"));
  EXPECT_THAT(got, testing::EndsWith("</table>\n</html>\n"));
  EXPECT_THAT(got, HasSubstr("<h1>Report of synproxy web|&lt;b&gt;</h1>"));
  EXPECT_THAT(got, HasSubstr("<tr><td>syn_shed</td><td>20000</td>"));
  for (const char* outside : {"http:", "https:", "src=", "href="})
    EXPECT_THAT(got, Not(HasSubstr(outside)));
}

TEST_F(ReportTest, WhatTheProgramSaidInThatTimeIsTold) {
  // The lines have the machine's time, which is later than that of these seconds.
  say("set: wscale 7 -> 9 (uid 0, pid 4711)");
  complain("the link\nis | down");
  say_rates("SYN/s 5");
  const std::string got = report_text(analysis(), ReportForm::kMarkdown);
  EXPECT_THAT(got, HasSubstr(" | set: wscale 7 -> 9 (uid 0, pid 4711) |\n"));
  EXPECT_THAT(got, HasSubstr(" | the link\\\\x0ais \\| down |\n"));
  EXPECT_THAT(got, Not(HasSubstr("SYN/s 5")));
  for (int i = 0; i < 150; ++i) say(std::string(500, 'x'));
  EXPECT_EQ(recently_said().size(), 100U);
  EXPECT_EQ(recently_said().back().text.size(), 400U);
}

TEST_F(ReportTest, AYoungProxyHasAReportToo) {
  const std::string got = report_text(analysis(), ReportForm::kMarkdown);
  EXPECT_THAT(got, HasSubstr("## Attacks\n\nNone."));
  EXPECT_THAT(got, HasSubstr("Nothing came in."));
}

TEST(Report, SinceIsReadInSecondsMinutesAndHours) {
  for (const auto& [text, seconds] :
       {std::pair("90", 90U), std::pair("90s", 90U), std::pair("1", 1U), std::pair("30m", 1800U),
        std::pair("1h", 3600U), std::pair("3600", 3600U)}) {
    EXPECT_EQ(parse_since(text), seconds) << text;
  }
  for (const char* text :
       {"", "m", "0", "0m", "61m", "2h", "3601", "-5m", "1.5h", "30min", "1d", "h1"}) {
    EXPECT_THROW(static_cast<void>(parse_since(text)), std::invalid_argument) << text;
  }
}

}  // namespace
}  // namespace synproxy::control
