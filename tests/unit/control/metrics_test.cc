// SPDX-License-Identifier: BSD-3-Clause
#include "control/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>

#include "control/counter_list.h"

namespace synproxy::control {
namespace {

using testing::HasSubstr;

class MetricsTest : public testing::Test {
 protected:
  MetricsTest() {
    for (std::size_t i = 0; i < counters_.size(); ++i) {
      view_.workers.push_back({.cpu = i == 0 ? 2U : 7U, .counters = &counters_[i], .io = &io_[i]});
    }
    view_.name = "web";
    view_.version = "1.2.3";
    view_.dpdk = "DPDK 22.11";
    view_.started_unix_ms = 1'700'000'000'250;
    view_.max_flows = 1'048'576;
    view_.ports[PortId::kClient].name = "eth1";
    view_.ports[PortId::kServer].name = "net_memif0,socket=\"/a\\b\"";
    view_.ports[PortId::kServer].link_up = true;
    view_.ports[PortId::kServer].rx_missed = 9;
  }

  [[nodiscard]] std::string text() const { return metrics_text(view_); }

  std::array<Counters, 2> counters_;
  std::array<dataplane::IoCounters, 2> io_;
  View view_;
};

TEST_F(MetricsTest, EveryReasonIsACounterOfEachWorkerWithItsSentence) {
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    counters_[0].by_reason[i].set(1000 + i);
    counters_[1].by_reason[i].set(5000 + i);
  }
  const std::string text = this->text();
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    const std::string name = "synproxy_" + std::string(kReasons[i].name) + "_total";
    EXPECT_THAT(text, HasSubstr("# HELP " + name + " " + std::string(kReasons[i].sentence) + "\n"));
    EXPECT_THAT(text, HasSubstr("# TYPE " + name + " counter\n"));
    EXPECT_THAT(text, HasSubstr("\n" + name + "{worker=\"0\"} " + std::to_string(1000 + i) + "\n"));
    EXPECT_THAT(text, HasSubstr("\n" + name + "{worker=\"1\"} " + std::to_string(5000 + i) + "\n"));
    const std::string as_reason =
        "\nsynproxy_drops_total{worker=\"1\",reason=\"" + std::string(kReasons[i].name) + "\"} ";
    EXPECT_EQ(text.find(as_reason) != std::string::npos, kReasons[i].kind == ReasonKind::DROP)
        << name;
  }
}

TEST_F(MetricsTest, AServiceWithANameIsALabel) {
  // None has a name. What clients feel is shown by address and port too.
  std::istringstream lines(text());
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("synproxy_client_")) continue;
    EXPECT_THAT(line, testing::Not(HasSubstr("{service=")));
  }
  std::array<std::array<ServiceCounters, 2>, 2> services;
  for (std::size_t w = 0; w < 2; ++w) counters_[w].services = services[w];
  view_.services = {"shop", "dns"};
  services[0][1].count(Reason::syn_received);
  services[1][1].count(Reason::syn_received);
  services[1][0].count(Reason::land);
  services[1][0].flows_established.set(4);
  const std::string text = this->text();
  EXPECT_THAT(text, HasSubstr("\nsynproxy_service_syn_received_total{service=\"shop\"} 0\n"
                              "synproxy_service_syn_received_total{service=\"dns\"} 2\n"));
  EXPECT_THAT(text,
              HasSubstr("\nsynproxy_service_drops_total{service=\"shop\",reason=\"land\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\nsynproxy_service_flows_established{service=\"shop\"} 4\n"));
}

TEST_F(MetricsTest, CountersOfBothPortsHaveASide) {
  io_[1].rx_bytes[PortId::kClient].set(12);
  io_[1].rx_bytes[PortId::kServer].set(34);
  const std::string text = this->text();
  EXPECT_THAT(text, HasSubstr("# HELP synproxy_rx_bytes_total Bytes received on the port.\n"));
  EXPECT_THAT(text, HasSubstr("\nsynproxy_rx_bytes_total{worker=\"1\",side=\"client\"} 12\n"));
  EXPECT_THAT(text, HasSubstr("\nsynproxy_rx_bytes_total{worker=\"1\",side=\"server\"} 34\n"));
}

TEST_F(MetricsTest, WhatClientsFeltIsAHistogramOfEachServiceAndGaugesOfTheLastMinute) {
  FeltService& service = counters_[1].felt.services[4];
  service.name[0].set(0x0a7100cb);
  service.name[2].set(80);
  service.version = 2;
  for (const std::uint32_t ms : {1U, 60U, 70U, 6000U}) service.felt.handshake.add(ms);
  counters_[0].felt.other.first_byte.add(5);
  service.felt.syn_repeats.add(9);
  FeltSum lately;
  lately.add(service.felt);
  view_.felt_lately = {{"203.0.113.10:80", lately}};
  const std::string text = this->text();
  EXPECT_THAT(text, HasSubstr("# TYPE synproxy_client_handshake_seconds histogram\n"));
  for (const char* line :
       {"synproxy_client_handshake_seconds_count{service=\"203.0.113.10:80\"} 4",
        "synproxy_client_handshake_seconds_sum{service=\"203.0.113.10:80\"} 6.131",
        "synproxy_client_handshake_seconds_bucket{service=\"203.0.113.10:80\",le=\"0.001\"} 1",
        "synproxy_client_handshake_seconds_bucket{service=\"203.0.113.10:80\",le=\"0.05\"} 1",
        "synproxy_client_handshake_seconds_bucket{service=\"203.0.113.10:80\",le=\"5\"} 3",
        "synproxy_client_handshake_seconds_bucket{service=\"203.0.113.10:80\",le=\"+Inf\"} 4",
        "synproxy_client_first_byte_seconds_count{service=\"other\"} 1",
        "synproxy_client_syn_repeats_total{service=\"203.0.113.10:80\"} 9",
        "synproxy_client_handshake_within_seconds{service=\"203.0.113.10:80\",share=\"0.5\"} "
        "0.0625"}) {
    EXPECT_THAT(text, HasSubstr("\n" + std::string(line) + "\n"));
  }
  EXPECT_THAT(text, testing::Not(HasSubstr("synproxy_client_first_byte_within_seconds{")))
      << "nothing was measured";
}

TEST_F(MetricsTest, UnitsAreSecondsAndSharesOfOne) {
  io_[0].idle_us.set(2'500'000);
  io_[0].syn_shed_share.set(250);
  const std::string text = this->text();
  EXPECT_THAT(text, HasSubstr("\nsynproxy_idle_seconds_total{worker=\"0\"} 2.5\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE synproxy_syn_shed_ratio gauge\n"));
  EXPECT_THAT(text, HasSubstr("\nsynproxy_syn_shed_ratio{worker=\"0\"} 0.25\n"));
}

TEST_F(MetricsTest, BusyTimeIsShownInCyclesAndInSeconds) {
  view_.cycles_per_second = 2'000'000'000;
  io_[1].busy_cycles.set(3'000'000'000);
  const std::string text = this->text();
  EXPECT_THAT(text, HasSubstr("\nsynproxy_busy_cycles_total{worker=\"1\"} 3000000000\n"));
  EXPECT_THAT(text, HasSubstr("\nsynproxy_busy_seconds_total{worker=\"1\"} 1.5\n"));
}

TEST_F(MetricsTest, TheProgramSaysWhatItIsAndWhenItBegan) {
  counters_[1].flows.set(77);
  const std::string text = this->text();
  EXPECT_THAT(
      text,
      HasSubstr("synproxy_build_info{version=\"1.2.3\",dpdk=\"DPDK 22.11\",name=\"web\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\nprocess_start_time_seconds 1700000000.25\n"));
  EXPECT_THAT(text, HasSubstr("\nsynproxy_worker_info{worker=\"1\",cpu=\"7\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\nsynproxy_flows{worker=\"1\"} 77\n"));
  EXPECT_THAT(text, HasSubstr("\nsynproxy_max_flows 1048576\n"));
  EXPECT_THAT(text, HasSubstr("\nsynproxy_port_up{side=\"client\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("\nsynproxy_port_up{side=\"server\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\nsynproxy_port_rx_missed_packets_total{side=\"server\"} 9\n"));
  EXPECT_THAT(text, HasSubstr("device=\"net_memif0,socket=\\\"/a\\\\b\\\"\""));
}

TEST_F(MetricsTest, NoCounterIsLeftOut) {
  const std::string text = this->text();
  for (const IoInfo& info : kIoCounters) {
    std::string name(info.name);
    for (const std::string side : {"_client", "_server"}) {
      if (name.ends_with(side)) name.resize(name.size() - side.size());
    }
    if (name == "idle_us") name = "idle_seconds";
    if (name == "clock_ms") name = "worker_clock_seconds";
    if (name == "syn_shed_share") name = "syn_shed_ratio";
    EXPECT_THAT(text, HasSubstr("\nsynproxy_" + name)) << info.name;
  }
  for (const GaugeInfo& info : kGauges) {
    EXPECT_THAT(text, HasSubstr("\n# TYPE synproxy_" + std::string(info.name) + " gauge\n"));
  }
}

TEST_F(MetricsTest, TheListIsWhatIsPrintedAndNamesNothingTwice) {
  FeltSum lately;
  lately.handshake.ranges[0] = 1;
  lately.first_byte.ranges[0] = 1;
  view_.felt_lately = {{"all", lately}};
  view_.services = {"shop"};
  const std::string text = this->text();
  std::set<std::string> names;
  std::size_t at = 0;
  for (const MetricInfo& info : metric_list()) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name << " twice";
    const std::size_t found =
        text.find("# TYPE " + info.name + " " + std::string(info.type) + "\n");
    ASSERT_NE(found, std::string::npos) << info.name;
    EXPECT_GE(found, at) << info.name << " is out of order";
    at = found;
    EXPECT_THAT(info.help, testing::EndsWith(".")) << info.name;
  }
  std::size_t types = 0;
  for (std::size_t i = text.find("# TYPE "); i != std::string::npos;
       i = text.find("# TYPE ", i + 1)) {
    ++types;
  }
  EXPECT_EQ(types, names.size());
}

TEST(OpenMetrics, NamesCountersWithoutTotalAndHasAnEnd) {
  EXPECT_EQ(open_metrics("# HELP a_total What \"a\" is.\n# TYPE a_total counter\n"
                         "a_total{worker=\"0\"} 5\n# HELP b Now.\n# TYPE b gauge\nb 1\n"),
            "# HELP a What \\\"a\\\" is.\n# TYPE a counter\n"
            "a_total{worker=\"0\"} 5\n# HELP b Now.\n# TYPE b gauge\nb 1\n# EOF\n");
  EXPECT_EQ(open_metrics(""), "# EOF\n");
}

TEST(OpenMetrics, NoTwoFamiliesHaveOneName) {
  std::set<std::string> names;
  for (const MetricInfo& info : metric_list()) {
    const bool counter = info.name.ends_with("_total");
    EXPECT_EQ(counter, info.type == "counter") << info.name;
    EXPECT_TRUE(
        names.insert(counter ? info.name.substr(0, info.name.size() - 6) : info.name).second)
        << info.name;
  }
}

}  // namespace
}  // namespace synproxy::control
