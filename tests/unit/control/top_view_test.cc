// SPDX-License-Identifier: BSD-3-Clause
#include "control/top_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Json document(std::size_t workers = 2) {
  Json d = Json::parse(R"({
    "name": "web", "version": "1.2.3", "now": 1700000600000, "started": 1700000000000,
    "headline": "SYN flood, 1.2 M/s, 0.01 % of them prove their address", "mood": "alarm",
    "max_flows": 1000000,
    "ports": {"client": {"name": "eth1", "up": true}, "server": {"name": "eth2", "up": false}},
    "limited": [{"source": "192.0.2.0/24", "rule": "limit-rate", "monitored": false, "refused": 12345}],
    "times": [1, 2, 3, 4],
    "rates": {"syn_received": [0, 1000, 2000, 3000], "syn_shed": [0, 0, 0, 900],
              "rx_packets_client": [4, 5, 6, 7], "rx_packets_server": [1, 1, 1, 1],
              "rx_bytes_client": [1000, 1000, 1000, 1000],
              "land": [0, 30, 30, 30], "cookie_invalid": [0, 400, 400, 400], "bad_source": [9, 0, 0, 0]},
    "gauges": {"flows": [1, 2, 3, 950000], "flows_established": [0, 0, 0, 12], "flows_embryonic": [0, 0, 0, 5]},
    "drops": ["syn_shed", "land", "cookie_invalid", "bad_source"],
    "felt": {"handshake_ms": {"p50": [null, 1, 12.4], "p90": [null, 2, 1500], "p99": [null, 3, 4]},
             "first_byte_ms": {"p50": [null], "p90": [null], "p99": [null]}, "syn_repeats": [0, 3]},
    "grown": {}, "workers": []})");
  for (std::size_t i = 0; i < workers; ++i) {
    d["workers"].push_back(
        {{"cpu", i + 2}, {"busy", {0.5, 0.96, 0.98, 0.97}}, {"cycles", {90, 80, 82, 81}}});
  }
  return d;
}

std::string text(const Json& d, const Screen& screen) { return plain_text(top_lines(d, screen)); }

TEST(TopView, SaysWhatIsHappeningFirst) {
  const auto lines = top_lines(document(), {});
  EXPECT_EQ(lines.at(0).at(0).text, "SYN flood, 1.2 M/s, 0.01 % of them prove their address");
  EXPECT_EQ(lines.at(0).at(0).tint, Tint::kAlarm);
  EXPECT_EQ(lines.at(1).at(0).text,
            "synproxy 1.2.3, web, up 10 min, clients at eth1, servers at eth2 (no link)");
}

TEST(TopView, ALongHeadlineGoesOnInTheNextLine) {
  Json d = document();
  d["headline"] =
      "SYN flood, 16 k/s, 0.0013 % of them prove their address, 529/s lost before they were seen, "
      "24/s connections made";
  const std::string got = text(d, {});
  EXPECT_THAT(got, StartsWith("SYN flood, 16 k/s, 0.0013 % of them prove their address,\n"
                              "529/s lost before they were seen, 24/s connections made\n"
                              "synproxy 1.2.3, "));
  EXPECT_EQ(top_lines(d, {}).size(), top_lines(document(), {}).size()) << "in place of a blank";
  // Where no part of it fits, and where nothing does.
  EXPECT_THAT(text(d, {.columns = 8, .lines = 24, .utf8 = true}), StartsWith("SYN floo\nd,\n"));
  for (const std::size_t columns : {0U, 1U, 2U, 3U}) {
    for (const ScreenLine& line : top_lines(d, {.columns = columns, .lines = 24, .utf8 = true})) {
      std::size_t width = 0;
      for (const auto& run : line) width += run.columns;
      EXPECT_LE(width, columns);
    }
  }
}

TEST(TopView, RatesAreOfTheLastThreeSecondsWithACurve) {
  const std::string got = text(document(), {});
  EXPECT_THAT(got, HasSubstr("\nSYN              2.3 k/s  ▁▃▅█\n")) << "shed ones included";
  EXPECT_THAT(got, HasSubstr("\npackets in           7/s  ▅▆▇█\n"));
  EXPECT_THAT(got, HasSubstr("\nbits in          8.0 k/s  ████\n"));
  EXPECT_THAT(got, HasSubstr("\nconnections          0/s  ▁▁▁▁\n"));
}

TEST(TopView, ServicesWithNamesHaveALineEachTheBusiestFirst) {
  Json d = document();
  EXPECT_THAT(text(d, {}), Not(HasSubstr("services")));
  d["services"] = Json::array();
  for (const int number : {1, 2, 3, 4, 5}) {
    d["services"].push_back(Json::parse(R"({"name": "shop", "rates": {
      "syn_received": [0, 0, 0, 3000], "synack_sent": [0, 0, 0, 0], "cookie_valid": [0, 6, 6, 6],
      "cookie_invalid": [0, 0, 0, 0], "connections": [0, 3, 3, 3], "refused": [0, 0, 0, 0],
      "drops": [0, 0, 0, 0]}, "gauges": {"flows": [0, 0, 0, 9], "flows_established": [0, 0, 0, 8]}})"));
    d["services"].back()["name"] = "shop" + std::to_string(number);
    d["services"].back()["rates"]["syn_received"] = {0, 0, 0, 1000 * number};
  }
  const std::string got = text(d, {});
  EXPECT_THAT(
      got,
      HasSubstr(
          "\nservices                 SYN/s   valid/s     new/s refused/s   drops/s      live\n"
          "shop5                    1.7 k         6         3         0         0         8\n"
          "shop4                    1.3 k "));
  EXPECT_THAT(got, HasSubstr("\nand 2 services more\n"));
  EXPECT_THAT(text(d, {.columns = 80, .lines = 0, .utf8 = true}), HasSubstr("\nshop1 "));
}

TEST(TopView, WithoutUtf8EverythingIsAscii) {
  const std::string got = text(document(), {.columns = 80, .lines = 24, .utf8 = false});
  EXPECT_TRUE(std::ranges::all_of(got, [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }));
  EXPECT_THAT(got, HasSubstr("\nSYN              2.3 k/s  _:=#\n"));
}

TEST(TopView, OnlyDropsThatMoveAreShownTheMostFirst) {
  const std::string got = text(document(), {.columns = 80, .lines = 0, .utf8 = true});
  EXPECT_THAT(
      got, HasSubstr(
               "\ncookie_invalid       400  syn_shed             300  land                  30\n"));
  EXPECT_THAT(got, Not(HasSubstr("bad_source")));
}

TEST(TopView, ShowsTheTableTheWorkersAndTheLimits) {
  const std::string got = text(document(), {.columns = 80, .lines = 0, .utf8 = true});
  EXPECT_THAT(
      got,
      HasSubstr("\nin the table     950 k of 1.0 M, established 12, waiting for the server 5\n"));
  EXPECT_THAT(got, HasSubstr("\nworker 1 cpu 3    97 % busy      81 cycles/packet  ▅███\n"));
  EXPECT_THAT(got, HasSubstr("\n192.0.2.0/24  limit-rate  refused 12 k\n"));
}

TEST(TopView, SaysWhatClientsFeel) {
  EXPECT_THAT(text(document(), {}),
              HasSubstr("\nclients feel    handshake 12 ms/1.5 s, first byte -, SYNs again 3\n"));
}

TEST(TopView, NothingIsWiderOrLongerThanTheScreen) {
  for (const std::size_t columns : {1U, 10U, 40U, 80U, 81U, 200U}) {
    for (const std::size_t lines : {1U, 5U, 23U, 50U}) {
      const auto got = top_lines(document(64), {.columns = columns, .lines = lines, .utf8 = true});
      EXPECT_LE(got.size(), lines);
      for (const ScreenLine& line : got) {
        std::size_t width = 0;
        for (const auto& run : line) width += run.columns;
        EXPECT_LE(width, columns);
      }
    }
  }
}

TEST(TopView, TwentyThreeLinesHaveWorkersAndDrops) {
  const std::string got = text(document(64), {.columns = 80, .lines = 23, .utf8 = true});
  EXPECT_THAT(got, HasSubstr("worker 0 cpu 2"));
  EXPECT_THAT(got, HasSubstr("workers more"));
  EXPECT_THAT(got, HasSubstr("cookie_invalid"));
}

TEST(TopView, AYoungProxyHasNoCurvesYet) {
  Json d = document();
  for (const char* group : {"rates", "gauges", "drops", "times", "limited"})
    d[group] = Json::parse(d[group].is_object() ? "{}" : "[]");
  for (const char* what : {"handshake_ms", "first_byte_ms"}) {
    for (Json& share : d["felt"][what]) share = Json::array();
  }
  d["felt"]["syn_repeats"] = Json::array();
  for (Json& w : d["workers"]) w["busy"] = w["cycles"] = Json::array();
  const std::string got = text(d, {.columns = 80, .lines = 0, .utf8 = true});
  EXPECT_THAT(got, HasSubstr("\nSYN                  0/s\n"));
  EXPECT_THAT(got, HasSubstr("\ndrops by reason, per second  none\n"));
}

TEST(TopView, ATerminalGetsNoCommandsFromANameOfADevice) {
  Json d = document();
  d["ports"]["client"]["name"] = "e\x1b[31mth";
  EXPECT_THAT(text(d, {}), HasSubstr("clients at e?[31mth"));
}

TEST(TopView, AnythingElseIsRefused) {
  EXPECT_THROW(static_cast<void>(top_lines(Json::object(), {})), Json::exception);
}

}  // namespace
}  // namespace synproxy::control
