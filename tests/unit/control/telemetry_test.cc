// SPDX-License-Identifier: BSD-3-Clause
// DPDK's own telemetry server between our callbacks and our client, in one process.
#include "control/telemetry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rte_eal.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "control/counter_list.h"
#include "control/help.h"
#include "control/service_counts.h"
#include "control/stat.h"
#include "control/telemetry_client.h"
#include "fake_dataplane.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;
using dataplane::fake_state;

std::string test_name() { return "telemetry-test-" + std::to_string(::getpid()); }

class TelemetryTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::vector<std::string> words = {
        "telemetry_test", "--no-huge",     "-m",        "32",       "--no-pci",
        "--log-level=1",  "--file-prefix", test_name(), "--lcores", "0@0"};
    std::vector<char*> argv;
    for (std::string& word : words) {
      argv.push_back(word.data());
    }
    ASSERT_GE(rte_eal_init(static_cast<int>(argv.size()), argv.data()), 0);
  }
  static void TearDownTestSuite() {
    const std::string directory = rte_eal_get_runtime_dir();
    rte_eal_cleanup();
    std::filesystem::remove_all(directory);
  }

  Config config_ = [] {
    Config config;
    config.name = "web";
    config.services = {{.name = "shop"}, {.name = "dns"}};
    return config;
  }();
  ProgramClock clock_;
  FeltLately felt_;
  KeyRing ring_;
  ProtectSet protect_{{}};
  dataplane::Dataplane dataplane_{Config(), protect_, ring_};
};

TEST_F(TelemetryTest, EveryCounterArrivesUnderItsName) {
  const Telemetry telemetry(dataplane_, config_, clock_, felt_);
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    fake_state().counters[1].by_reason[i].set(1000 + i);
  }
  fake_state().counters[0].by_reason[0].set(~0ULL - 5000);
  fake_state().counters[1].flows_embryonic.set(77);
  fake_state().io[1].tx_dropped[1].set(88);

  RefusedSource refused;
  refused.prefix = {198, 51, 100};
  refused.length = 24;
  refused.count = 9;
  fake_state().refused = {refused};

  fake_state().counters[1].felt.all.first_byte.add(75);
  fake_state().counters[1].felt.all.syn_repeats.add(2);

  const Json document = Json::parse(stat_text(test_name(), true));
  EXPECT_EQ(document.at("felt").dump(),
            R"([{"service":"all","handshake_ms":{"count":0,"p50":null,"p90":null,"p99":null},)"
            R"("first_byte_ms":{"count":1,"p50":62.5,"p90":72.5,"p99":74.8},"syn_repeats":2}])");
  EXPECT_EQ(document.at("limited"), (Json::array({{{"source", "198.51.100.0/24"},
                                                   {"rule", "limit-conns"},
                                                   {"monitored", false},
                                                   {"refused", 9}}})));
  EXPECT_EQ(document.at("name"), "web");
  EXPECT_EQ(document.at("version"), version_number());
  EXPECT_EQ(document.at("mbufs"), (Json{{"in_use", 21}, {"total", 1024}}));
  EXPECT_EQ(document.at("ports").at("client"), (Json{{"name", "eth1"},
                                                     {"link_up", true},
                                                     {"rx_missed", 11},
                                                     {"rx_oversize", 12},
                                                     {"link_changes", 13},
                                                     {"driver", "net_fake"},
                                                     {"rx_queues", 4},
                                                     {"syn_queues", 3},
                                                     {"tx_queues", 2},
                                                     {"rss", true},
                                                     {"rss_owner", true},
                                                     {"rx_checksum", true},
                                                     {"mtu", 9000}}));
  EXPECT_EQ(document.at("ports").at("server").at("link_up"), false);
  ASSERT_EQ(document.at("workers").size(), 2U);
  const Json& worker = document.at("workers").at(1);
  EXPECT_EQ(worker.at("cpu"), 4);
  EXPECT_EQ(worker.at("counters").size(), kReasonCount);
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    EXPECT_EQ(worker.at("counters").at(std::string(kReasons[i].name)), 1000 + i);
  }
  EXPECT_EQ(document.at("total").at("counters").at(std::string(kReasons[0].name)), ~0ULL - 4000);
  EXPECT_EQ(worker.at("gauges").size(), kGauges.size());
  EXPECT_EQ(worker.at("gauges").at("flows_embryonic"), 77);
  EXPECT_EQ(worker.at("io").size(), kIoCounters.size());
  EXPECT_EQ(worker.at("io").at("tx_dropped_server"), 88);
}

TEST_F(TelemetryTest, AServiceWithANameHasTheSumsOfTheWorkers) {
  const Telemetry telemetry(dataplane_, config_, clock_, felt_);
  std::array<std::array<ServiceCounters, 2>, 2> services;
  for (std::size_t w = 0; w < 2; ++w) fake_state().counters[w].services = services[w];
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    services[0][1].by_reason[i].set(i);
    services[1][1].by_reason[i].set(1000);
  }
  services[0][0].flows.set(5);
  services[1][0].flows.set(6);
  const Json document = Json::parse(stat_text(test_name(), true)).at("services");
  ASSERT_EQ(document.size(), 2U);
  EXPECT_EQ(document.begin().key(), "shop") << "in the order of the file";
  EXPECT_EQ(document.at("shop").at("gauges"),
            (Json{{"flows", 11}, {"flows_embryonic", 0}, {"flows_established", 0}}));
  const Json& counters = document.at("dns").at("counters");
  std::size_t shown = 0;
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    if (!counts_per_service(static_cast<Reason>(i))) continue;
    ++shown;
    EXPECT_EQ(counters.at(std::string(kReasons[i].name)), 1000 + i);
  }
  EXPECT_EQ(counters.size(), shown);
  for (auto& counters_of_worker : fake_state().counters) counters_of_worker.services = {};
}

TEST_F(TelemetryTest, TableHasARowForEachWorker) {
  const Telemetry telemetry(dataplane_, config_, clock_, felt_);
  fake_state().counters[1].count(Reason::syn_received, 0xabc);
  EXPECT_EQ(stat_text(test_name(), false),
            "entries\t\tsyn_received\tcookie_invalid\tcookie_valid\tcookie_retrans\tconn_reopened\n"
            "00000000\t00000000\t00000000\t00000000\t00000000\t00000000\n"
            "00000000\t00000abc\t00000000\t00000000\t00000000\t00000000\n");
}

TEST_F(TelemetryTest, BadParametersAnswerNothing) {
  const Telemetry telemetry(dataplane_, config_, clock_, felt_);
  TelemetryClient client(test_name());
  for (const char* command :
       {"/synproxy/counters,2", "/synproxy/counters,-1", "/synproxy/counters,1x",
        "/synproxy/counters", "/synproxy/gauges,99999999999", "/synproxy/io,", "/synproxy/port",
        "/synproxy/port,middle", "/synproxy/service", "/synproxy/service,shops"}) {
    EXPECT_TRUE(client.ask(command).is_null()) << command;
  }
}

// DPDK serves ten clients and hangs up on the next.
TEST_F(TelemetryTest, IdleClientsAreNotTakenForAProxyThatIsGone) {
  const Telemetry telemetry(dataplane_, config_, clock_, felt_);
  std::vector<std::unique_ptr<TelemetryClient>> idle;
  for (int i = 0; i < 10; ++i) idle.push_back(std::make_unique<TelemetryClient>(test_name()));
  EXPECT_THAT([] { (void)stat_text(test_name(), true); },
              testing::ThrowsMessage<RuntimeFailure>(testing::HasSubstr("answers nobody more")));
  idle.clear();
  EXPECT_EQ(Json::parse(stat_text(test_name(), true)).at("name"), "web");
}

TEST_F(TelemetryTest, AStoppedProxyIsNoProxy) {
  { const Telemetry telemetry(dataplane_, config_, clock_, felt_); }
  EXPECT_THROW((void)stat_text(test_name(), true), RuntimeFailure);
}

}  // namespace
}  // namespace synproxy::control
