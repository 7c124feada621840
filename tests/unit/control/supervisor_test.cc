// SPDX-License-Identifier: BSD-3-Clause
#include "control/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "control/change_requests.h"
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

// As many invalid cookies as the mark is, or more, in each of the seconds that follow. Returns what
// was logged.
std::string flood_of_acks(Supervisor& supervisor, std::uint64_t a_second) {
  testing::internal::CaptureStderr();
  for (std::uint64_t now = 250; now <= 5'000; now += 250) {
    if (now % 1000 == 0) {
      for (Counters& c : fake_state().counters) c.count(Reason::cookie_invalid, a_second / 2);
    }
    supervisor.tick(now);
  }
  return testing::internal::GetCapturedStderr();
}

TEST_F(SupervisorTest, CookiesGetTightWhenAFloodOfInvalidOnesPassesTheMark) {
  config_.tight_cookies = 10'000;
  Supervisor supervisor = make();
  EXPECT_EQ(flood_of_acks(supervisor, 10'000), "");
  EXPECT_FALSE(ring_.settle_tight(1000));
  const std::string said = flood_of_acks(supervisor, 10'002);
  EXPECT_THAT(said, testing::HasSubstr("cookies without timestamps are tight in "));
  EXPECT_THAT(said,
              testing::HasSubstr(
                  " s: 10002 invalid cookies a second are more than --tight-cookies 10000\n"));
  EXPECT_TRUE(ring_.settle_tight(1001));
}

TEST_F(SupervisorTest, AMonitoredRuleOnlySaysThatCookiesWouldBeTight) {
  config_.tight_cookies = 10'000;
  config_.engine.tuning.limits.monitored = kMonitorTightCookies;
  Supervisor supervisor = make();
  EXPECT_THAT(flood_of_acks(supervisor, 20'000), testing::HasSubstr("as usual and would be tight"));
  EXPECT_FALSE(ring_.settle_tight(1000));
}

// Another proxy would read them with as many bits as it has itself.
TEST_F(SupervisorTest, CookiesOfASharedSecretNeverGetTight) {
  config_.tight_cookies = 10'000;
  config_.secret_file = "/run/secret";
  Supervisor supervisor = make();
  EXPECT_EQ(flood_of_acks(supervisor, 1'000'000), "");
  EXPECT_FALSE(ring_.settle_tight(1000));
}

TEST_F(SupervisorTest, ReadyLineNamesPortsRulesAndCpus) {
  EXPECT_EQ(ready_line(config_, dataplane_),
            "ready: client-port eth1, server-port xdp:eth2, protecting 10.0.0.2:80 "
            "[2001:db8::1]:443, 2 workers (cpus 1 4)");
}

class SupervisorReload : public SupervisorTest {
 protected:
  SupervisorReload() {
    std::ofstream(secret_) << "0123456789abcdef";
    ::chmod(secret_.c_str(), 0600);
  }
  ~SupervisorReload() override {
    std::filesystem::remove(path_);
    std::filesystem::remove(secret_);
  }

  Reloader start(const std::string& text, const std::vector<std::string>& more = {}) {
    file(text);
    std::vector<std::string> words = {
        "--client-port", "eth1",        "--server-port", "xdp:eth2",
        "--protect",     "10.0.0.2:80", "--protect",     "[2001:db8::1]:443"};
    words.insert(words.end(), more.begin(), more.end());
    config_ = parse_command_line(words).config;
    return {words, config_};
  }
  void file(const std::string& text) const { std::ofstream(path_) << text; }
  // Both streams.
  static std::string reload(Supervisor& supervisor, Reloader& reloader, std::uint64_t now = 0) {
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    supervisor.reload(reloader, now);
    return testing::internal::GetCapturedStdout() + "|" + testing::internal::GetCapturedStderr();
  }

  const std::string path_ = std::filesystem::temp_directory_path() /
                            ("synproxy-supervisor-test-" + std::to_string(::getpid()));
  const std::string secret_ = path_ + ".secret";
};

TEST_F(SupervisorReload, PublishesWhatChangedAndSaysSo) {
  Reloader reloader = start("wscale = 7\n", {"--config", path_});
  Supervisor supervisor = make();
  EXPECT_EQ(reload(supervisor, reloader), "synproxy: reloaded: nothing changed\n|");
  EXPECT_TRUE(fake_state().retuned.empty());
  file("wscale = 9\nsyn-shed = off\n");
  EXPECT_EQ(reload(supervisor, reloader),
            "synproxy: reloaded: wscale 7 -> 9, syn-shed auto -> off\n|");
  ASSERT_EQ(fake_state().retuned.size(), 1U);
  EXPECT_EQ(fake_state().retuned[0].engine.offer.window_scale, 9);
  EXPECT_FALSE(fake_state().retuned[0].loop.shed_syns);
  EXPECT_EQ(reload(supervisor, reloader), "synproxy: reloaded: nothing changed\n|");
}

TEST_F(SupervisorReload, AnErrorOrAChangeOfShapeChangesNothing) {
  Reloader reloader = start("wscale = 7\n", {"--config", path_});
  Supervisor supervisor = make();
  file("wscale = 9\nmss = 1\n");
  EXPECT_EQ(reload(supervisor, reloader),
            "|synproxy: not reloaded: " + path_ +
                ":2: mss 1: is too small; give 88 to 65535 bytes or auto\n");
  file("wscale = 9\nmax-flows = 2048\n");
  EXPECT_EQ(reload(supervisor, reloader),
            "|synproxy: not reloaded: --max-flows 2048: needs a restart, it runs with 1048576; "
            "restart it, or put the old value back\n");
  EXPECT_TRUE(fake_state().retuned.empty());
  file("wscale = 9\n");
  EXPECT_EQ(reload(supervisor, reloader), "synproxy: reloaded: wscale 7 -> 9\n|");
}

TEST_F(SupervisorReload, IntervalAndLogLevelHoldAtOnce) {
  Reloader reloader = start("", {"--config", path_});
  Supervisor supervisor = make();
  EXPECT_EQ(run(supervisor, 4'000), "");
  file("stats-interval = 2\nlog-level = error\n");
  reload(supervisor, reloader, 4'000);
  EXPECT_TRUE(fake_state().retuned.empty()) << "no worker's business";
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  fake_state().lines = {"eth1 went away"};
  for (std::uint64_t now = 4'000; now <= 8'000; now += 250) supervisor.tick(now);
  const std::string lines = testing::internal::GetCapturedStdout();
  EXPECT_EQ(std::ranges::count(lines, '\n'), 2);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(SupervisorReload, WithoutAConfigFileTheSecretAloneIsRead) {
  Reloader reloader = start("", {"--secret-file", secret_});
  Supervisor supervisor = make();
  EXPECT_THAT(
      reload(supervisor, reloader),
      testing::StartsWith("synproxy: reloaded the secret file alone: another secret, in use in "))
      << "this one's keys were made of a random one";
  EXPECT_EQ(reload(supervisor, reloader),
            "synproxy: reloaded the secret file alone: nothing changed\n|");
  Reloader nothing = start("");
  EXPECT_EQ(
      reload(supervisor, nothing),
      "|synproxy: not reloaded: neither --config nor --secret-file, --allow-file or --deny-file "
      "was given, there is nothing to read\n");
}

TEST_F(SupervisorReload, ListsAreSwappedWithTheTuningOrNotAtAll) {
  const std::string list = path_ + ".deny";
  const auto deny = [&](const std::string& text) { std::ofstream(list) << text; };
  const auto denied = [](const char* address) {
    std::array<std::uint8_t, 4> bytes{};
    EXPECT_EQ(::inet_pton(AF_INET, address, bytes.data()), 1);
    return fake_state().lists->denied.contains(bytes.data(), false);
  };
  deny("192.0.2.1\n");
  Reloader reloader = start("", {"--deny-file", list});
  Supervisor supervisor = make();
  const std::string begin = "synproxy: reloaded the lists alone: ";
  EXPECT_EQ(reload(supervisor, reloader), begin + "deny-file of 1 prefixes, before 0\n|");
  EXPECT_TRUE(denied("192.0.2.1"));
  EXPECT_EQ(reload(supervisor, reloader), begin + "nothing changed\n|");
  deny("192.0.2.2\n");
  EXPECT_EQ(reload(supervisor, reloader), begin + "deny-file of 1 other prefixes\n|");
  EXPECT_EQ(fake_state().retuned.size(), 2U);
  deny("192.0.2.1\n192.0.2.1/24\n");
  EXPECT_THAT(reload(supervisor, reloader),
              testing::StartsWith("|synproxy: not reloaded: --deny-file " + list +
                                  ":2: 192.0.2.1/24: has bits set after the prefix"));
  EXPECT_EQ(fake_state().retuned.size(), 2U);
  EXPECT_TRUE(denied("192.0.2.2"));
  EXPECT_FALSE(denied("192.0.2.1"));
  std::filesystem::remove(list);
}

// Asks as the control socket does; returns the line of the answer, and appends both streams.
class ChangeRequests : public SupervisorReload {
 protected:
  std::string ask(Supervisor& supervisor, Reloader& reloader, const nlohmann::ordered_json& request,
                  bool may_change = true) {
    Requests requests;
    add_change_requests(requests, supervisor, reloader, config_, clock_);
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    std::string out;
    (void)requests.answer(request.dump(), {.pid = 7, .uid = 1000, .may_change = may_change})
        ->next(out);
    printed_ =
        testing::internal::GetCapturedStdout() + "|" + testing::internal::GetCapturedStderr();
    return out;
  }
  Reloader begin(const std::string& text) {
    file(text);
    const Invocation invocation =
        parse_command_line({"--client-port", "eth1", "--server-port", "xdp:eth2", "--protect",
                            "10.0.0.2:80", "--config", path_});
    config_ = invocation.config;
    config_.workers = {3};  // what the host has settled
    return {{"--client-port", "eth1", "--server-port", "xdp:eth2", "--protect", "10.0.0.2:80",
             "--config", path_},
            invocation.config,
            invocation.settings};
  }

  ProgramClock clock_;
  std::string printed_;
};

TEST_F(ChangeRequests, SetIsPublishedAtOnceAndLoggedWithWhoAsked) {
  Reloader reloader = begin("wscale = 7\n");
  Supervisor supervisor = make();
  EXPECT_THAT(ask(supervisor, reloader,
                  {{"command", "set"},
                   {"key", "wscale"},
                   {"values", nlohmann::ordered_json::array({"9"})}}),
              testing::HasSubstr(R"("result":"wscale 7 -> 9, until the restart )"));
  EXPECT_EQ(printed_, "synproxy: set: wscale 7 -> 9 (uid 1000, pid 7)\n|");
  ASSERT_EQ(fake_state().retuned.size(), 1U);
  EXPECT_EQ(fake_state().retuned[0].engine.offer.window_scale, 9);
  EXPECT_THAT(
      ask(supervisor, reloader, {{"command", "get"}, {"key", "wscale"}}),
      testing::HasSubstr(R"({"key":"wscale","values":["9"],"from":"set","change":"reload"})"));
  EXPECT_EQ(reload(supervisor, reloader),
            "synproxy: reloaded: nothing changed; still set: wscale 9\n|");
  EXPECT_THAT(ask(supervisor, reloader, {{"command", "unset"}, {"key", "wscale"}}),
              testing::HasSubstr("wscale 9 -> 7"));
  EXPECT_EQ(fake_state().retuned.size(), 2U);
}

TEST_F(ChangeRequests, WhatIsRefusedChangesNothingAndPrintsNothing) {
  Reloader reloader = begin("");
  Supervisor supervisor = make();
  using Json = nlohmann::ordered_json;
  const std::pair<Json, const char*> rows[] = {
      {{{"command", "set"}, {"key", "mss"}, {"values", nlohmann::ordered_json::array({"1"})}},
       R"({"ok":false,"usage":true,"error":"--mss 1: is too small; give 88 to 65535 bytes or auto"})"},
      {{{"command", "set"}, {"key", "max-flows"}, {"values", nlohmann::ordered_json::array({"8"})}},
       "--max-flows: needs a restart"},
      {{{"command", "set"}, {"key", "mss"}, {"values", nlohmann::ordered_json::array({8})}},
       "is no text"},
      {{{"command", "set"}, {"key", "mss"}, {"values", "8"}}, "no list"},
      {{{"command", "set"}, {"key", 7}}, "no text 'key'"},
      {{{"command", "set"}}, "no text 'key'"},
      {{{"command", "unset"}, {"key", "mss"}}, "was not set"},
      {{{"command", "get"}, {"key", "none"}}, "unknown key"},
  };
  for (const auto& [request, words] : rows) {
    EXPECT_THAT(ask(supervisor, reloader, request), testing::HasSubstr(words)) << request;
    EXPECT_EQ(printed_, "|");
  }
  EXPECT_THAT(
      ask(supervisor, reloader,
          {{"command", "set"}, {"key", "mss"}, {"values", nlohmann::ordered_json::array({"1400"})}},
          false),
      testing::HasSubstr("no permission to change anything"));
  EXPECT_TRUE(fake_state().retuned.empty());
}

TEST_F(ChangeRequests, ReloadAnswersWhatItPrints) {
  Reloader reloader = begin("");
  Supervisor supervisor = make();
  file("wscale = 9\n");
  EXPECT_THAT(ask(supervisor, reloader, {{"command", "reload"}}),
              testing::HasSubstr(R"("result":"reloaded: wscale auto -> 9")"));
  EXPECT_EQ(printed_, "synproxy: reloaded: wscale auto -> 9 (uid 1000, pid 7)\n|");
  file("wscale = 99\n");
  EXPECT_THAT(ask(supervisor, reloader, {{"command", "reload"}}),
              testing::HasSubstr(R"({"ok":false,"usage":true,"error":"not reloaded: )"));
  EXPECT_THAT(printed_, testing::StartsWith("|synproxy: not reloaded: "));
}

TEST_F(ChangeRequests, ConfigSaysWhereEachValueComesFrom) {
  Reloader reloader = begin("wscale = 7\n");
  Supervisor supervisor = make();
  const std::string all = ask(supervisor, reloader, {{"command", "config"}});
  for (const char* entry :
       {R"({"key":"client-port","values":["eth1"],"from":"flag","change":"restart"})",
        R"({"key":"workers","values":["3"],"from":"default","change":"restart"})",
        R"({"key":"mss","values":["auto"],"from":"default","change":"reload"})"}) {
    EXPECT_THAT(all, testing::HasSubstr(entry));
  }
  EXPECT_THAT(all, testing::HasSubstr(R"({"key":"wscale","values":["7"],"from":"file","where":")" +
                                      path_ + R"(:1","change":"reload"})"));
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
