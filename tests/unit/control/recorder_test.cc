// SPDX-License-Identifier: BSD-3-Clause
#include "control/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "control/headline.h"
#include "control/history.h"

namespace synproxy::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr std::uint64_t kStart = 1'700'000'000'000;

class RecorderTest : public testing::Test {
 protected:
  RecorderTest() {
    for (std::size_t i = 0; i < counters_.size(); ++i) {
      view_.workers.push_back({.cpu = i == 0 ? 2U : 7U, .counters = &counters_[i], .io = &io_[i]});
    }
    view_.name = "web";
    view_.version = "1.2.3";
    view_.started_unix_ms = kStart;
    view_.max_flows = 100;
    view_.cycles_per_second = 1000;
    for (const PortId id : kAllPorts) view_.ports[id].link_up = true;
  }

  void second(std::uint64_t number) { recorder_.record(view_, kStart + 1000 * number); }
  [[nodiscard]] nlohmann::ordered_json document(std::size_t seconds) const {
    return history_document(recorder_, view_, seconds);
  }

  std::array<Counters, 2> counters_;
  std::array<dataplane::IoCounters, 2> io_;
  View view_;
  Recorder recorder_{2};
};

TEST_F(RecorderTest, ARowIsTheSumOverTheWorkers) {
  counters_[0].count(Reason::syn_received, 3);
  counters_[1].count(Reason::syn_received, 4);
  counters_[1].flows.set(9);
  io_[0].syn_shed_share.set(200);
  io_[1].syn_shed_share.set(300);
  io_[0].rx_bytes[PortId::kServer].set(77);
  view_.ports[PortId::kServer].rx_missed = 5;
  second(0);
  const auto rows = recorder_.last(10);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].unix_ms, kStart);
  EXPECT_EQ(rows[0].values[column_of(Reason::syn_received)], 7U);
  EXPECT_EQ(rows[0].values[column_of("flows")], 9U);
  EXPECT_EQ(rows[0].values[column_of("syn_shed_share")], 300U) << "the largest";
  EXPECT_EQ(rows[0].values[column_of("rx_bytes_server")], 77U);
  EXPECT_EQ(rows[0].values[column_of("rx_missed_server")], 5U);
}

TEST_F(RecorderTest, AServiceWithANameHasItsOwnRatesAndIsNamedWhereMostOfAFloodGoesToIt) {
  std::array<std::array<ServiceCounters, 2>, 2> services;
  for (std::size_t w = 0; w < 2; ++w) counters_[w].services = services[w];
  view_.services = {"shop", "dns"};
  Recorder recorder(2, 2);
  const auto count = [&](std::size_t worker, std::size_t service, Reason r, std::uint64_t n) {
    services[worker][service].by_reason[static_cast<std::size_t>(r)].add(n);
    counters_[worker].count(r, n);
  };
  for (std::uint64_t i = 0; i < 3; ++i) {
    count(0, 0, Reason::syn_received, 100);
    count(1, 0, Reason::conn_established, 3);
    count(0, 0, Reason::conn_watched, 4);
    count(0, 1, Reason::syn_received, 4000);
    count(1, 1, Reason::syn_received, 5000);
    count(1, 1, Reason::land, 50);
    services[1][1].flows_established.set(7 + i);
    recorder.record(view_, kStart + 1000 * i);
  }
  auto d = history_document(recorder, view_, 10);
  const auto& all = d.at("services");
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all.at(0).at("name"), "shop");
  EXPECT_EQ(all.at(0).at("rates").at("syn_received").dump(), "[100.0,100.0]");
  EXPECT_EQ(all.at(0).at("rates").at("connections").dump(), "[7.0,7.0]");
  EXPECT_EQ(all.at(1).at("rates").at("syn_received").dump(), "[9000.0,9000.0]");
  EXPECT_EQ(all.at(1).at("rates").at("drops").dump(), "[50.0,50.0]");
  EXPECT_EQ(all.at(1).at("gauges").at("flows_established").dump(), "[8,9]");
  EXPECT_THAT(d.at("headline").get<std::string>(),
              testing::StartsWith("SYN flood on dns, 9.1 k/s"));
  count(0, 0, Reason::syn_received, 40'000);
  counters_[0].count(Reason::syn_received, 40'000);  // to an address without a name
  recorder.record(view_, kStart + 3000);
  d = history_document(recorder, view_, 1);
  EXPECT_THAT(d.at("headline").get<std::string>(), testing::StartsWith("SYN flood, "))
      << "none has most of it";
}

TEST_F(RecorderTest, ARowIsDueOnceASecond) {
  EXPECT_TRUE(recorder_.due(kStart + 999));
  recorder_.record(view_, kStart + 999);
  EXPECT_FALSE(recorder_.due(kStart + 999));
  EXPECT_TRUE(recorder_.due(kStart + 1000));
}

TEST_F(RecorderTest, TheLastHourIsKeptAndNoMore) {
  for (std::uint64_t i = 0; i < 2 * Recorder::kSeconds; ++i) {
    counters_[0].count(Reason::syn_received);
    second(i);
  }
  const auto rows = recorder_.last(1'000'000);
  ASSERT_EQ(rows.size(), Recorder::kSeconds + 1);
  EXPECT_EQ(rows.back().values[column_of(Reason::syn_received)], 2 * Recorder::kSeconds);
  EXPECT_EQ(rows.front().values[column_of(Reason::syn_received)], Recorder::kSeconds);
  ASSERT_EQ(recorder_.last(2).size(), 3U);
  EXPECT_EQ(recorder_.last(2).front().unix_ms, rows[rows.size() - 3].unix_ms);
}

TEST_F(RecorderTest, AnHourTakesTheMemoryThatTheHeaderNames) {
  EXPECT_GT(Recorder(0).bytes(), 5'500'000U);
  EXPECT_LT(Recorder(0).bytes(), 6'200'000U);
  EXPECT_EQ(Recorder(1).bytes() - Recorder(0).bytes(), 58'560U);
}

TEST_F(RecorderTest, AReaderBesideTheWriterSeesWholeRowsInOrder) {
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (std::uint64_t i = 1; !stop; ++i) {
      counters_[0].by_reason.front().set(i);
      counters_[0].by_reason.back().set(i);
      second(i);
    }
  });
  for (int round = 0; round < 50; ++round) {
    std::uint64_t before = 0;
    for (const Second& row : recorder_.last(Recorder::kSeconds)) {
      ASSERT_EQ(row.unix_ms, kStart + 1000 * row.values.front());
      ASSERT_EQ(row.values.front(), row.values[kReasonCount - 1]) << "of one second";
      ASSERT_LT(before, row.unix_ms);
      before = row.unix_ms;
    }
  }
  stop = true;
  writer.join();
}

TEST_F(RecorderTest, ADocumentHasRatesOfWhatMovedAndGauges) {
  second(0);
  counters_[0].count(Reason::syn_received, 10);
  counters_[1].count(Reason::land, 3);
  counters_[0].flows.set(4);
  second(1);
  counters_[0].count(Reason::syn_received, 30);
  recorder_.record(view_, kStart + 3000);  // two seconds later
  const auto got = document(10);
  EXPECT_EQ(got.at("name"), "web");
  EXPECT_THAT(got.at("times"), ElementsAre(kStart + 1000, kStart + 3000));
  EXPECT_THAT(got.at("rates").at("syn_received"), ElementsAre(10, 15));
  EXPECT_THAT(got.at("rates").at("land"), ElementsAre(3, 0));
  EXPECT_FALSE(got.at("rates").contains("cookie_valid")) << "it has not moved";
  EXPECT_THAT(got.at("gauges").at("flows"), ElementsAre(4, 4));
  EXPECT_THAT(got.at("drops"), ElementsAre("land"));
  EXPECT_EQ(got.at("grown").at("syn_received"), 40);
  EXPECT_EQ(document(1).at("grown").at("syn_received"), 30) << "of the last interval alone";
}

TEST_F(RecorderTest, ADocumentHasWhatClientsFeltInTheTenSecondsBefore) {
  second(0);
  counters_[1].felt.all.handshake.add(75);
  counters_[0].felt.all.syn_repeats.add(4);
  for (std::uint64_t i = 1; i < 12; ++i) second(i);
  const auto got = document(20);
  const auto& felt = got.at("felt");
  EXPECT_EQ(felt.at("handshake_ms").at("p50").dump(),
            "[62.5,62.5,62.5,62.5,62.5,62.5,62.5,62.5,62.5,62.5,null]");
  EXPECT_EQ(felt.at("first_byte_ms").at("p99").dump(),
            "[null,null,null,null,null,null,null,null,null,null,null]");
  EXPECT_EQ(felt.at("syn_repeats").dump(), "[4,4,4,4,4,4,4,4,4,4,0]");
  EXPECT_EQ(got.at("felt_lately").at(0).at("handshake_ms").at("count"), 1);
  EXPECT_FALSE(got.at("rates").contains(""));
}

TEST_F(RecorderTest, ADocumentHasTheBusyShareAndTheCyclesOfEachWorker) {
  second(0);
  io_[1].busy_cycles.set(250);
  io_[1].rx_packets[PortId::kClient].set(2);
  io_[1].taken_over.set(3);
  second(1);
  const auto got = document(10).at("workers");
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[1].at("cpu"), 7);
  EXPECT_THAT(got[0].at("busy"), ElementsAre(0.0));
  EXPECT_THAT(got[1].at("busy"), ElementsAre(0.25));
  EXPECT_THAT(got[0].at("cycles"), ElementsAre(0));
  EXPECT_THAT(got[1].at("cycles"), ElementsAre(50));
}

TEST_F(RecorderTest, BeforeTheSecondRowThereIsADocumentWithoutCurves) {
  for (int rows = 0; rows < 2; ++rows) {
    const auto got = document(10);
    EXPECT_TRUE(got.at("times").empty());
    EXPECT_TRUE(got.at("rates").empty());
    EXPECT_EQ(got.at("headline"), "nothing comes in");
    second(0);
  }
}

TEST_F(RecorderTest, TheHeadlineIsOfTheLastFiveSeconds) {
  second(0);
  counters_[0].count(Reason::syn_received, 1'000'000);
  io_[0].rx_packets[PortId::kClient].add(1'000'000);
  second(1);
  EXPECT_THAT(document(60).at("headline"), HasSubstr("SYN flood, 1.0 M/s"));
  EXPECT_EQ(document(60).at("mood"), "alarm");
  for (std::uint64_t i = 2; i < 8; ++i) second(i);
  EXPECT_EQ(document(60).at("headline"), "nothing comes in");
  EXPECT_EQ(document(60).at("mood"), "calm");
}

TEST(Headline, SaysWhatIsHappening) {
  struct Row {
    Load load;
    Mood mood;
    const char* text;
  };
  const std::array rows = {
      Row{{}, Mood::kCalm, "nothing comes in"},
      Row{{.packets = 1234, .established = 12},
          Mood::kCalm,
          "calm, 1.2 k/s packets, 12/s connections made"},
      Row{{.packets = 5000, .syns = 2000, .valid = 1900, .established = 1900},
          Mood::kCalm,
          "calm, 5.0 k/s packets, 1.9 k/s connections made"},
      Row{{.packets = 1.3e6, .syns = 1.2e6, .valid = 120, .established = 119},
          Mood::kAlarm,
          "SYN flood, 1.2 M/s, 0.01 % of them prove their address, 119/s connections made"},
      Row{{.packets = 5e5, .syns = 10, .valid = 5, .invalid = 4e5},
          Mood::kAlarm,
          "ACK flood, 400 k/s without a valid cookie, 0/s connections made"},
      Row{{.packets = 5e5, .junk = 4e5},
          Mood::kAlarm,
          "flood of junk, 400 k/s dropped, 0/s connections made"},
      Row{{.packets = 5e6, .syns = 5e6, .shed = 3e6, .busiest = 1},
          Mood::kAlarm,
          "SYN flood, 5.0 M/s, 0 % of them prove their address, more than can be looked at: 3.0 M/s "
          "shed, 0/s connections made"},
      Row{{.packets = 100, .busiest = 0.97},
          Mood::kWatch,
          "calm, 100/s packets, a worker is busy all the time, 0/s connections made"},
      Row{{.packets = 100, .flows = 95, .max_flows = 100},
          Mood::kAlarm,
          "calm, 100/s packets, the table is 95 % full, 0/s connections made"},
      Row{{.packets = 100, .established = 4, .timed_out = 3},
          Mood::kAlarm,
          "calm, 100/s packets, a server is silent: 3/s given up, 4/s connections made"},
      Row{{.packets = 100, .established = 4, .refused = 3},
          Mood::kAlarm,
          "calm, 100/s packets, a server refuses 3/s, 4/s connections made"},
      Row{{.packets = 100, .established = 40, .timed_out = 3},
          Mood::kCalm,
          "calm, 100/s packets, 40/s connections made"},
      Row{{.packets = 100, .established = 4, .limited = 30},
          Mood::kWatch,
          "calm, 100/s packets, limits refuse 30/s, 4/s connections made"},
      Row{{.packets = 100, .missed = 7, .link_down = true},
          Mood::kAlarm,
          "calm, 100/s packets, a port has no link, 7/s lost before they were seen, 0/s connections "
          "made"},
  };
  for (const Row& row : rows) {
    const Headline got = headline(row.load);
    EXPECT_EQ(got.text, row.text);
    EXPECT_EQ(got.mood, row.mood) << row.text;
  }
}

TEST(Headline, NumbersAreShort) {
  struct Row {
    double value;
    const char* text;
  };
  for (const Row& row :
       {Row{0, "0"}, Row{0.4, "0"}, Row{35, "35"}, Row{999.4, "999"}, Row{999.6, "1.0 k"},
        Row{1234, "1.2 k"}, Row{9949, "9.9 k"}, Row{9960, "10 k"}, Row{123'456, "123 k"},
        Row{999'600, "1.0 M"}, Row{5e9, "5.0 G"}}) {
    EXPECT_EQ(short_number(row.value), row.text) << row.value;
  }
}

}  // namespace
}  // namespace synproxy::control
