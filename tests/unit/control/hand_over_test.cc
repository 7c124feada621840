// SPDX-License-Identifier: BSD-3-Clause
// The predecessor's part: who may ask what, and when. tests/e2e/cases_take_over.py has both parts.
#include "control/hand_over.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>

#include "base/errors.h"
#include "control/hand_over_wire.h"
#include "control/options.h"
#include "fake_dataplane.h"

namespace synproxy::control {
namespace {

using dataplane::fake_state;
using Json = Requests::Json;
using testing::HasSubstr;

class HandOverTest : public testing::Test {
 protected:
  HandOverTest() { make(false); }

  void make(bool managed, const Confirmation* confirmation = nullptr) {
    hand_over_.emplace(HandOver::Parts{.supervisor = supervisor_,
                                       .dataplane = dataplane_,
                                       .keys = keys_,
                                       .config = config_,
                                       .clock = clock_,
                                       .managed = managed,
                                       .confirmation = confirmation});
    requests_ = {};
    hand_over_->add_requests(requests_);
  }
  static Json wish() {
    return {{"command", kAskHandOver},
            {"format", kHandOverFormat},
            {"client_port", "eth1"},
            {"server_port", "eth2"},
            {"epoch_ms", 64'000},
            {"max_flows", 1U << 20},
            {"secret", 0}};
  }
  // The first line of the answer.
  Json ask(const Json& request, pid_t pid = ::getpid(), bool may_change = true) {
    answer_ = requests_.answer(request.dump(), {.pid = pid, .uid = 0, .may_change = may_change});
    std::string out;
    while (out.find('\n') == std::string::npos) static_cast<void>(answer_->next(out));
    return Json::parse(out.substr(0, out.find('\n')));
  }
  std::string refused(const Json& request, pid_t pid = ::getpid(), bool may_change = true) {
    const Json answer = ask(request, pid, may_change);
    return answer.at("ok").get<bool>() ? "" : answer.at("error").get<std::string>();
  }

  Config config_ = parse_command_line({"--client-port", "eth1", "--server-port", "eth2",
                                       "--protect", "10.0.0.2:80"})
                       .config;
  KeyRing ring_;
  ProtectSet protect_{config_.protect};
  ProgramClock clock_;
  dataplane::Dataplane dataplane_{config_, protect_, ring_};
  EpochKeeper keys_{MasterSecret::random(), ring_, config_.engine};
  Supervisor supervisor_{config_, dataplane_, keys_};
  Confirmation unconfirmed_{60};
  std::optional<HandOver> hand_over_;
  Requests requests_;
  std::unique_ptr<Answer> answer_;
};

TEST_F(HandOverTest, StopsOnlyForWhoHasAskedAndEndsOnlyForHim) {
  EXPECT_THAT(refused({{"command", kStopForHandOver}}), HasSubstr("has to be asked for first"));
  const Json answer = ask(wish());
  ASSERT_TRUE(answer.at("ok").get<bool>()) << answer.dump();
  EXPECT_EQ(answer.at("result").at("keys").size(), 3U) << "of the first epoch and of two to come";
  EXPECT_EQ(answer.at("result").at("pid"), ::getpid());
  EXPECT_THAT(refused(wish(), 1), HasSubstr("does that already")) << "while that one lives";
  EXPECT_THAT(refused({{"command", kStopForHandOver}}, 1), HasSubstr("by the same process"));
  EXPECT_THAT(refused({{"command", kEndHandOver}}), HasSubstr("goes on"));
  EXPECT_FALSE(hand_over_->begun());
  EXPECT_EQ(fake_state().stops, 0U);

  EXPECT_TRUE(ask({{"command", kStopForHandOver}}).at("ok").get<bool>());
  EXPECT_EQ(fake_state().stops, 1U);
  EXPECT_TRUE(hand_over_->begun());
  EXPECT_THAT(refused(wish()), HasSubstr("another process does that now"));
  hand_over_->tick();
  EXPECT_EQ(fake_state().starts, 0U) << "its patience is not over";

  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &term, nullptr);
  testing::internal::CaptureStdout();
  EXPECT_TRUE(ask({{"command", kEndHandOver}, {"outage_us", 1234}}).at("ok").get<bool>());
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              HasSubstr("handed over to the process " + std::to_string(::getpid()) +
                        ": nobody forwarded for 1234 us"));
  const timespec now{};
  EXPECT_EQ(::sigtimedwait(&term, nullptr, &now), SIGTERM) << "the control thread is woken";
  answer_.reset();
  hand_over_->wait_for_successor();
  hand_over_->tick();
  EXPECT_EQ(fake_state().starts, 0U) << "it is over for good";
}

TEST_F(HandOverTest, FilesOfThePortsGoAlongInOrder) {
  EXPECT_EQ(ask(wish()).at("result").at("files"),
            Json({{"host", 0}, {"client", 0}, {"server", 0}}));
  EXPECT_TRUE(answer_->descriptors().empty());
  fake_state().files[PortId::kClient] = {7};
  fake_state().files[PortId::kServer] = {11, 13};
  EXPECT_EQ(ask(wish()).at("result").at("files"),
            Json({{"host", 0}, {"client", 1}, {"server", 2}}));
  EXPECT_EQ(answer_->descriptors(), (std::vector<int>{7, 11, 13}));
}

TEST_F(HandOverTest, GoesOnIfTheSuccessorIsGone) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ASSERT_TRUE(ask(wish(), child).at("ok").get<bool>());
  EXPECT_TRUE(ask({{"command", kStopForHandOver}}, child).at("ok").get<bool>());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  testing::internal::CaptureStderr();
  hand_over_->tick();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("this one goes on"));
  EXPECT_EQ(fake_state().starts, 1U);
  EXPECT_FALSE(hand_over_->begun());
  EXPECT_THAT(refused({{"command", kEndHandOver}}, child), HasSubstr("came too late"));
  EXPECT_TRUE(ask(wish()).at("ok").get<bool>()) << "the next one may try";
}

TEST_F(HandOverTest, PortsAreGivenUpAndOpenedAgain) {
  const pid_t child = ::fork();  // it stays a zombie, which is gone all the same
  if (child == 0) ::_exit(0);
  ASSERT_TRUE(ask(wish(), child).at("ok").get<bool>());
  const Json answer = ask({{"command", kStopForHandOver}}, child);
  EXPECT_EQ(answer.at("result").at("links"), Json({true, false}));
  EXPECT_EQ(fake_state().ports, "closed");
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  fake_state().no_port = "--client-port eth1: busy";
  testing::internal::CaptureStderr();
  hand_over_->tick();
  hand_over_->tick();
  EXPECT_EQ(fake_state().starts, 0U) << "not without its ports";
  EXPECT_TRUE(hand_over_->begun());
  fake_state().no_port = "";
  hand_over_->tick();
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(said.find("this one goes on"), said.rfind("this one goes on")) << "once: " << said;
  EXPECT_EQ(fake_state().ports, "open");
  EXPECT_EQ(fake_state().starts, 1U);
  EXPECT_FALSE(hand_over_->begun());
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
}

TEST_F(HandOverTest, EndsIfItsPortsAreNotToBeHadAgain) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ASSERT_TRUE(ask(wish(), child).at("ok").get<bool>());
  ASSERT_TRUE(ask({{"command", kStopForHandOver}}, child).at("ok").get<bool>());
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  fake_state().no_port = "--client-port eth1: busy";
  config_.state_dir = "/run/synproxy";
  testing::internal::CaptureStderr();
  for (unsigned i = 1; i < HandOver::kTries; ++i) EXPECT_NO_THROW(hand_over_->tick());
  try {
    hand_over_->tick();
    ADD_FAILURE() << "it goes on without its ports";
  } catch (const RuntimeFailure& error) {
    EXPECT_THAT(error.what(), HasSubstr("--client-port eth1: busy; the next start goes on with"));
  }
  static_cast<void>(testing::internal::GetCapturedStderr());
  EXPECT_EQ(fake_state().starts, 0U);
}

TEST_F(HandOverTest, WhatDoesNotFitIsRefusedByName) {
  const auto with = [](const char* key, const Json& value) {
    Json request = wish();
    request[key] = value;
    return request;
  };
  EXPECT_THAT(refused(wish(), 1, false), HasSubstr("no permission to change"));
  EXPECT_THAT(refused(with("format", 1)), HasSubstr("hands over in another way"));
  EXPECT_THAT(refused(with("client_port", "eth2")), HasSubstr("--client-port eth2: the running"));
  EXPECT_THAT(refused(with("server_port", "eth1")), HasSubstr("--server-port eth1: the running"));
  EXPECT_THAT(refused(with("epoch_ms", 32'000)), HasSubstr("--epoch: the running proxy has 64 s"));
  EXPECT_THAT(refused(with("epoch_ms", "64")), HasSubstr("cannot be read"));
  fake_state().counters[1].flows.set(5'000);
  EXPECT_THAT(refused(with("max_flows", 4'999)),
              HasSubstr("--max-flows: the running proxy has 5000"));
  EXPECT_EQ(refused(with("max_flows", 5'000)), "");
  EXPECT_EQ(ask(with("secret", 42)).at("result").at("keys").size(), 0U) << "another secret file";
  config_.server_port.kind = PortName::Kind::kXdp;
  EXPECT_THAT(refused(wish()), HasSubstr("the running proxy has xdp:eth2"));
  EXPECT_EQ(refused(with("server_port", "xdp:eth2")), "");
  config_.server_port.kind = PortName::Kind::kHost;
  EXPECT_THAT(refused(wish()), HasSubstr("the running proxy has host"));
  EXPECT_EQ(refused(with("server_port", "host")), "");
  config_.server_port.kind = PortName::Kind::kRawSocket;
  ASSERT_TRUE(unconfirmed_.wanted());
  make(false, &unconfirmed_);
  EXPECT_THAT(refused(wish()), HasSubstr("waits for `synproxy host confirm`"));
  unconfirmed_.confirm();
  EXPECT_EQ(refused(wish()), "");
  make(true);
  EXPECT_THAT(refused(wish()), HasSubstr("restart the unit"));
}

}  // namespace
}  // namespace synproxy::control
