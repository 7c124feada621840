// SPDX-License-Identifier: BSD-3-Clause
// What a service manager hears, over a socket that stands in for systemd's; and the events of the
// log.
#include "control/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>

#include "control/events.h"
#include "control/pulse.h"
#include "fake_dataplane.h"

namespace synproxy::control {
namespace {

using dataplane::fake_state;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class PulseTest : public testing::Test {
 protected:
  static void move(unsigned worker, std::uint64_t clock) {
    fake_state().io[worker].clock_ms.set(clock);
  }

  Config config_;
  KeyRing ring_;
  ProtectSet protect_{config_.protect};
  dataplane::Dataplane dataplane_{config_, protect_, ring_};
};

TEST_F(PulseTest, BeatsOnceEveryWorkerHasMoved) {
  Pulse pulse(dataplane_);
  EXPECT_FALSE(pulse.beats(0));
  move(0, 5);
  EXPECT_FALSE(pulse.beats(100));
  move(1, 5);
  EXPECT_TRUE(pulse.beats(200));
}

TEST_F(PulseTest, OneWorkerThatStandsStillIsNoticedInTime) {
  Pulse pulse(dataplane_);
  for (std::uint64_t now = 1; now <= 1001; now += 100) {
    move(0, now);
    move(1, now);
    EXPECT_TRUE(pulse.beats(now));
  }
  move(0, 1500);
  EXPECT_TRUE(pulse.beats(1001 + Pulse::kPatienceMs)) << "it may have lost its CPU for a moment";
  move(0, 1501);
  EXPECT_FALSE(pulse.beats(1002 + Pulse::kPatienceMs));
  move(1, 1002);
  EXPECT_TRUE(pulse.beats(1003 + Pulse::kPatienceMs));
}

// A datagram socket that a manager would listen on, and workers that move unless told to hang.
class ServiceTest : public PulseTest {
 protected:
  ServiceTest() {
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const timeval patience{.tv_sec = 5, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setenv("NOTIFY_SOCKET", path_.c_str(), 1);
    ::unsetenv("WATCHDOG_PID");
    ::unsetenv("WATCHDOG_USEC");
    workers_ = std::thread([this] {
      for (std::uint64_t now = 1; !over_; ++now) {
        if (!hang_) move(0, now);
        move(1, now);
        ++rounds_;
        ::usleep(5000);
      }
    });
  }
  ~ServiceTest() override {
    over_ = true;
    workers_.join();
    ::close(fd_);
    std::filesystem::remove(path_);
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("WATCHDOG_USEC");
  }

  std::string hear() const {
    std::string text(4096, '\0');
    const ssize_t size = ::recv(fd_, text.data(), text.size(), 0);
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
  }
  // The next message that is no watchdog's and no status.
  std::string hear_news() const {
    std::string text = hear();
    while (text == "WATCHDOG=1" || text.starts_with("STATUS=")) text = hear();
    return text;
  }
  // Returns when no worker that is to hang can move any more.
  void hang() {
    hang_ = true;
    const unsigned begin = rounds_;
    while (rounds_ - begin < 2) ::usleep(1000);
  }
  // Whether the watchdog was fed in that time. Forgets what came before.
  bool fed_within(unsigned ms) const {
    while (!silent_for(0)) hear();
    ::usleep(ms * 1000);
    bool fed = false;
    while (!silent_for(0)) fed |= hear() == "WATCHDOG=1";
    return fed;
  }
  bool silent_for(unsigned ms) const {
    ::usleep(ms * 1000);
    char byte = 0;
    return ::recv(fd_, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
  }

  const std::string path_ = std::filesystem::temp_directory_path() /
                            ("synproxy-service-test-" + std::to_string(::getpid()));
  int fd_ = -1;
  const ProgramClock clock_;
  std::atomic<bool> hang_{false};
  std::atomic<bool> over_{false};
  std::atomic<unsigned> rounds_{0};
  std::thread workers_;
};

TEST_F(ServiceTest, TellsReadyReloadingAndStoppingInOrder) {
  {
    Service service(dataplane_, clock_);
    EXPECT_THAT(hear(), StartsWith("READY=1\n"));
    service.reloading();
    EXPECT_THAT(hear_news(), StartsWith("RELOADING=1\nMONOTONIC_USEC="));
    service.reloaded();
    EXPECT_EQ(hear_news(), "READY=1");
    service.stopping();
    EXPECT_THAT(hear_news(), StartsWith("STOPPING=1\n"));
  }
  EXPECT_TRUE(silent_for(0));
}

TEST_F(ServiceTest, MemoryIsKeptBeforeAnythingElseIsSaid) {
  const int memory = ::memfd_create("flows", MFD_CLOEXEC);
  ASSERT_EQ(::write(memory, "x", 1), 1);
  const Service service(dataplane_, clock_, memory);
  ::close(memory);
  EXPECT_EQ(hear(), "FDSTOREREMOVE=1\nFDNAME=flows");
  std::array<char, 256> text{};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> rights{};
  iovec part{text.data(), text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = rights.data();
  message.msg_controllen = rights.size();
  ASSERT_GT(::recvmsg(fd_, &message, 0), 0);
  EXPECT_STREQ(text.data(), "FDSTORE=1\nFDNAME=flows");
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  ASSERT_NE(header, nullptr);
  ASSERT_EQ(header->cmsg_type, SCM_RIGHTS);
  int kept = -1;
  std::memcpy(&kept, CMSG_DATA(header), sizeof kept);
  char byte = 0;
  EXPECT_EQ(::pread(kept, &byte, 1, 0), 1);
  EXPECT_EQ(byte, 'x');
  ::close(kept);
  EXPECT_THAT(hear(), StartsWith("READY=1\n"));
}

TEST_F(ServiceTest, ManagerThatKeepsNothingIsNotAsked) {
  EXPECT_EQ(memory_of_manager(), -1) << "nothing yet";
  ::setenv("FDSTORE", "0", 1);
  EXPECT_EQ(memory_of_manager(), std::nullopt);
  ::unsetenv("FDSTORE");
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_EQ(memory_of_manager(), std::nullopt);
}

TEST_F(ServiceTest, IsNotReadyWhileAWorkerHasNotBegun) {
  hang();
  fake_state().io[0].clock_ms.set(0);
  const Service service(dataplane_, clock_);
  EXPECT_TRUE(silent_for(500));
  hang_ = false;
  EXPECT_THAT(hear(), StartsWith("READY=1\n"));
}

TEST_F(ServiceTest, StatusHoldsTheRates) {
  const Service service(dataplane_, clock_);
  std::string text = hear();
  fake_state().counters[0].flows.set(3);
  while (!text.empty() && !text.starts_with("STATUS=")) text = hear();
  EXPECT_THAT(text, AllOf(StartsWith("STATUS=SYN/s 0, "), HasSubstr("flows 3")));
}

TEST_F(ServiceTest, TheWatchdogIsFedOnlyWhileEveryWorkerMoves) {
  ::setenv("WATCHDOG_USEC", "1400000", 1);
  const Service service(dataplane_, clock_);
  EXPECT_THAT(hear(), StartsWith("READY=1\n"));
  const auto hear_no_status = [&] {
    std::string text = hear();
    while (text.starts_with("STATUS=")) text = hear();
    return text;
  };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(hear_no_status(), "WATCHDOG=1");
  hang();
  ::usleep((Pulse::kPatienceMs + 300) * 1000);
  // Where the look at the workers comes late, so does the end of its patience.
  for (int i = 0; i < 5 && fed_within(700); ++i) continue;
  EXPECT_FALSE(fed_within(700));
  hang_ = false;
  std::string text = hear();
  while (!text.empty() && text != "WATCHDOG=1") text = hear();
  EXPECT_EQ(text, "WATCHDOG=1");
}

TEST_F(ServiceTest, WithoutAManagerNothingIsSent) {
  ::unsetenv("NOTIFY_SOCKET");
  Service service(dataplane_, clock_);
  service.reloading();
  service.stopping();
  service.alive();
  EXPECT_TRUE(silent_for(400));
}

// Lines of a look each second, joined with |.
std::string told(Events& events, Totals& totals, std::uint64_t& now_ms, unsigned seconds,
                 std::uint64_t syns, std::uint64_t valid) {
  std::string all;
  for (unsigned i = 0; i < seconds; ++i) {
    totals.by_reason[static_cast<std::size_t>(Reason::syn_received)] += syns;
    totals.by_reason[static_cast<std::size_t>(Reason::cookie_valid)] += valid;
    for (const std::string& line : events.look(totals, now_ms += 1000)) all += line + "|";
  }
  return all;
}

TEST(EventsTest, AFloodIsToldOnceWhenItBeginsAndOnceWhenItHasEnded) {
  Events events(1000, 0);
  Totals totals;
  std::uint64_t now = 0;
  EXPECT_EQ(told(events, totals, now, 20, 999, 0), "");
  EXPECT_EQ(told(events, totals, now, 20, 5000, 500), "") << "clients that answer are no flood";
  EXPECT_EQ(told(events, totals, now, 1, 5000, 7), "") << "one second may be a burst";
  EXPECT_EQ(told(events, totals, now, 60, 5000, 7),
            "flood began: 5000 SYNs a second, 7 of them from clients that answer|");
  EXPECT_EQ(told(events, totals, now, 9, 0, 0), "");
  EXPECT_EQ(told(events, totals, now, 3, 5000, 7), "") << "in waves it is one flood";
  EXPECT_EQ(told(events, totals, now, 60, 10, 10),
            "flood ended: " + std::to_string(63 * 5000 + 100) + " SYNs since it was noticed|");
}

TEST(EventsTest, ATableThatFillsIsToldOnceAndAgainAfterItHadRoom) {
  Events events(1000, 0);
  Totals totals;
  std::uint64_t now = 0;
  const auto with = [&](std::uint64_t flows) {
    totals.flows = flows;
    return told(events, totals, now, 3, 0, 0);
  };
  EXPECT_EQ(with(799), "");
  EXPECT_THAT(with(800), StartsWith("the flow table is 80 % full (800 of 1000); raise"));
  EXPECT_EQ(with(990), "");
  EXPECT_EQ(with(700), "");
  EXPECT_EQ(with(699), "the flow table has room again (699 of 1000)|");
  EXPECT_THAT(with(900), StartsWith("the flow table is 90 % full"));
}

TEST(EventsTest, TheEndOfAdoptIsToldOnce) {
  Events events(1000, 30'000);
  Totals totals;
  totals.by_reason[static_cast<std::size_t>(Reason::conn_adopted)] = 20;
  totals.by_reason[static_cast<std::size_t>(Reason::conn_contradicted)] = 3;
  std::uint64_t now = 5'000'000;
  EXPECT_EQ(told(events, totals, now, 30, 0, 0), "");
  EXPECT_EQ(told(events, totals, now, 60, 0, 0),
            "--adopt is over: 20 connections that are older than the proxy go on, 3 of an earlier "
            "proxy were reset; --unknown decides about others from now on|");
}

}  // namespace
}  // namespace synproxy::control
