// SPDX-License-Identifier: BSD-3-Clause
#include "control/stat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/config.h"
#include "base/errors.h"
#include "control/socket_path.h"
#include "control/telemetry_client.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

// A proxy with two workers, as its telemetry answers.
Json reply(const std::string& command) {
  static const std::map<std::string, const char*> replies = {
      {"/synproxy/info",
       R"({"name": "web", "version": "1.2.3", "uptime_seconds": 61, "workers": 2,
           "cpus": [0, 3], "mbufs_in_use": 5, "mbufs_total": 4096, "log_lines_lost": 9,
           "cycles_per_second": 3000000000})"},
      {"/synproxy/port,client",
       R"({"name": "eth1", "link_up": 1, "rx_missed": 7, "rx_oversize": 0, "link_changes": 2,
           "rss": 1, "rss_owner": 1, "rx_checksum": 0})"},
      {"/synproxy/port,server",
       R"({"name": "xdp:eth2", "link_up": 0, "rx_missed": 0, "rx_oversize": 1, "link_changes": 0,
           "rss": 0, "rss_owner": 0, "rx_checksum": 0})"},
      {"/synproxy/counters,0",
       R"({"syn_received": 255, "cookie_invalid": 16, "cookie_valid": 1, "cookie_retrans": 2,
           "conn_reopened": 3, "land": 9})"},
      {"/synproxy/counters,1",
       R"({"syn_received": 1311768467463790320, "cookie_invalid": 0, "cookie_valid": 4,
           "cookie_retrans": 0, "conn_reopened": 0, "land": 1})"},
      {"/synproxy/gauges,0", R"({"flows": 10})"},
      {"/synproxy/gauges,1", R"({"flows": 32})"},
      {"/synproxy/io,0", R"({"rx_packets_client": 100})"},
      {"/synproxy/io,1", R"({"rx_packets_client": 11})"},
      {"/synproxy/services", R"(["shop"])"},
      {"/synproxy/service,shop",
       R"({"syn_received": 7, "flows": 3, "flows_embryonic": 1, "flows_established": 2})"},
      {"/synproxy/felt", R"(["12 0.5 1.5 20.0 0 0.0 0.0 0.0 3 [2001:db8::10]:443 in VLAN 7"])"},
      {"/synproxy/limited", R"(["192.0.2.0/24 limit-rate monitored 8"])"},
  };
  return Json::parse(replies.at(command));
}

TEST(Stat, TableIsTheKernels) {
  EXPECT_EQ(stat_table(stat_document(reply)),
            "entries\t\tsyn_received\tcookie_invalid\tcookie_valid\tcookie_retrans\tconn_reopened\n"
            "0000000a\t000000ff\t00000010\t00000001\t00000002\t00000003\n"
            "00000020\t123456789abcdef0\t00000000\t00000004\t00000000\t00000000\n");
}

TEST(Stat, DocumentHoldsEveryWorkerAndTheSum) {
  const Json document = Json::parse(stat_document(reply).dump());
  EXPECT_EQ(document.at("name"), "web");
  EXPECT_EQ(document.at("version"), "1.2.3");
  EXPECT_EQ(document.at("uptime_seconds"), 61);
  EXPECT_EQ(document.at("services").at("shop").at("counters"), (Json{{"syn_received", 7}}));
  EXPECT_EQ(document.at("services").at("shop").at("gauges").at("flows_established"), 2);
  EXPECT_EQ(document.at("ports").at("client").at("name"), "eth1");
  EXPECT_EQ(document.at("ports").at("client").at("link_up"), true);
  EXPECT_EQ(document.at("ports").at("server").at("link_up"), false);
  EXPECT_EQ(document.at("ports").at("client").at("rss"), true);
  EXPECT_EQ(document.at("ports").at("client").at("rss_owner"), true);
  EXPECT_EQ(document.at("ports").at("server").at("rss_owner"), false);
  EXPECT_EQ(document.at("ports").at("client").at("rx_checksum"), false);
  EXPECT_EQ(document.at("ports").at("server").at("rx_oversize"), 1);
  EXPECT_EQ(document.at("mbufs").at("in_use"), 5);
  EXPECT_EQ(document.at("mbufs").at("total"), 4096);
  EXPECT_EQ(document.at("cycles_per_second"), 3'000'000'000);
  EXPECT_EQ(document.at("log").at("lines_lost"), 9);
  ASSERT_EQ(document.at("limited").size(), 1U);
  EXPECT_EQ(document.at("limited").at(0).at("source"), "192.0.2.0/24");
  EXPECT_EQ(document.at("limited").at(0).at("rule"), "limit-rate");
  EXPECT_EQ(document.at("limited").at(0).at("monitored"), true);
  EXPECT_EQ(document.at("limited").at(0).at("refused"), 8);
  ASSERT_EQ(document.at("felt").size(), 1U);
  EXPECT_EQ(document.at("felt").at(0).dump(),
            R"({"service":"[2001:db8::10]:443 in VLAN 7",)"
            R"("handshake_ms":{"count":12,"p50":0.5,"p90":1.5,"p99":20.0},)"
            R"("first_byte_ms":{"count":0,"p50":null,"p90":null,"p99":null},"syn_repeats":3})");
  ASSERT_EQ(document.at("workers").size(), 2U);
  EXPECT_EQ(document.at("workers").at(1).at("cpu"), 3);
  EXPECT_EQ(document.at("workers").at(1).at("counters").at("land"), 1);
  EXPECT_EQ(document.at("total").at("counters").at("land"), 10);
  EXPECT_EQ(document.at("total").at("counters").at("syn_received"), 1311768467463790575ULL);
  EXPECT_EQ(document.at("total").at("gauges").at("flows"), 42);
  EXPECT_EQ(document.at("total").at("io").at("rx_packets_client"), 111);
}

TEST(Stat, AForeignProgramIsRefusedInOneLine) {
  for (const char* answer : {"null", "{}", "[]", "3", R"({"workers": 1})",
                             R"({"name": 1, "version": 2, "uptime_seconds": 3, "workers": "x"})"}) {
    EXPECT_THROW((void)stat_document([&](const std::string&) { return Json::parse(answer); }),
                 RuntimeFailure)
        << answer;
  }
}

TEST(TelemetryClient, AbsenceIsNotRunning) {
  EXPECT_THAT([] { TelemetryClient("no-such-proxy", {"/nonexistent/dpdk_telemetry.v2"}); },
              testing::ThrowsMessage<RuntimeFailure>(
                  "--name no-such-proxy: not running; start it, or give the --name that it was "
                  "started with"));
}

TEST(TelemetryClient, PathsAreThoseOfEal) {
  const auto paths = socket_paths("web", "dpdk_telemetry.v2");
  ASSERT_FALSE(paths.empty());
  EXPECT_EQ(paths.back(), "/var/run/dpdk/web/dpdk_telemetry.v2") << "root's is always tried";
}

}  // namespace
}  // namespace synproxy::control
