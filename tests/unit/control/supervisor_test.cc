// SPDX-License-Identifier: BSD-3-Clause
#include "control/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "control/options.h"
#include "fake_dataplane.h"

namespace synproxy::control {
namespace {

using dataplane::fake_state;

class SupervisorTest : public testing::Test {
 protected:
  Supervisor make() { return {config_, dataplane_, keys_}; }

  // What each tick of a run of `ms` printed to standard output.
  static std::string run(Supervisor& supervisor, std::uint64_t ms) {
    testing::internal::CaptureStdout();
    for (std::uint64_t now = 0; now <= ms; now += 250) {
      fake_state().counters[0].count(Reason::syn_received, 25);
      fake_state().counters[1].count(Reason::synack_sent, 50);
      supervisor.tick(now);
    }
    return testing::internal::GetCapturedStdout();
  }

  Config config_ =
      parse_command_line({"--client-port", "eth1", "--server-port", "xdp:eth2", "--protect",
                          "10.0.0.2:80", "--protect", "[2001:db8::1]:443"})
          .config;
  KeyRing ring_;
  ProtectSet protect_{config_.protect};
  dataplane::Dataplane dataplane_{config_, protect_, ring_};
  EpochKeeper keys_{MasterSecret::random(), ring_, config_.engine};
};

TEST_F(SupervisorTest, PrintsNothingUnlessAsked) {
  Supervisor supervisor = make();
  EXPECT_EQ(run(supervisor, 10'000), "");
}

TEST_F(SupervisorTest, PrintsALineEachInterval) {
  config_.stats_interval = 2;
  Supervisor supervisor = make();
  const std::string line =
      "synproxy: SYN/s 100, SYN-ACK/s 200, valid/s 0, invalid/s 0, flows 0, drops/s 0\n";
  EXPECT_EQ(run(supervisor, 6'000), line + line + line);
}

TEST_F(SupervisorTest, LooksAfterThePortsOnceASecond) {
  Supervisor supervisor = make();
  run(supervisor, 10'000);
  EXPECT_EQ(fake_state().supervised, 10U);
}

TEST_F(SupervisorTest, LogsWhatThePortsReportUnlessOnlyErrorsAreWanted) {
  for (const auto& [level, expected] :
       {std::pair{LogLevel::kWarning, "synproxy: eth1 went away\n"}, {LogLevel::kError, ""}}) {
    config_.log_level = level;
    Supervisor supervisor = make();
    fake_state().lines = {"eth1 went away"};
    testing::internal::CaptureStderr();
    supervisor.tick(1000);
    EXPECT_EQ(testing::internal::GetCapturedStderr(), expected);
  }
}

TEST_F(SupervisorTest, ReadyLineNamesPortsRulesAndCpus) {
  EXPECT_EQ(ready_line(config_, dataplane_),
            "ready: client-port eth1, server-port xdp:eth2, protecting 10.0.0.2:80 "
            "[2001:db8::1]:443, 2 workers (cpus 1 4)");
}

TEST(Signals, ReportWhatCameAndNothingElse) {
  using What = Signals::What;
  const Signals signals;
  for (const auto& [signal, what] :
       {std::pair{SIGINT, What::kStop}, {SIGTERM, What::kStop}, {SIGHUP, What::kReload}}) {
    EXPECT_EQ(signals.wait(std::chrono::milliseconds(0)), What::kNone);
    std::raise(signal);
    EXPECT_EQ(signals.wait(std::chrono::milliseconds(0)), what) << signal;
  }
}

TEST(Signals, AHangUpIsHeardUnderNohup) {
  (void)std::signal(SIGHUP, SIG_IGN);
  const Signals signals;
  std::raise(SIGHUP);
  EXPECT_EQ(signals.wait(std::chrono::milliseconds(0)), Signals::What::kReload);
  (void)std::signal(SIGHUP, SIG_DFL);
}

}  // namespace
}  // namespace synproxy::control
