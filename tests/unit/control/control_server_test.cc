// SPDX-License-Identifier: BSD-3-Clause
#include "control/control_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <list>

#include "base/errors.h"
#include "control/control_client.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr std::size_t kLong = 16 << 20;  // far more than a socket holds

// Hands out `left` bytes in pieces, and waits now and then.
class Long final : public Answer {
 public:
  explicit Long(std::size_t bytes) : left_(bytes) {}
  Step next(std::string& out) override {
    if (++calls_ % 3 == 0) return Step::kWait;
    const std::size_t part = std::min<std::size_t>(left_, 100'000);
    out.append(part, 'x');
    left_ -= part;
    return left_ == 0 ? Step::kEnd : Step::kMore;
  }

 private:
  std::size_t left_;
  unsigned calls_ = 0;
};

// A client that does as it likes.
class Raw {
 public:
  explicit Raw(const std::filesystem::path& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  ~Raw() { ::close(fd_); }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;

  const Raw& send(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t took = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (took <= 0) break;
      text.remove_prefix(static_cast<std::size_t>(took));
    }
    return *this;
  }
  // One line, or what came before the end; "(silence)" at the end of patience.
  [[nodiscard]] std::string line() const {
    std::string text;
    for (char c = 0;;) {
      const ssize_t got = ::recv(fd_, &c, 1, 0);
      if (got < 0 && errno == EAGAIN) return "(silence)";
      if (got <= 0 || c == '\n') return text;
      text += c;
    }
  }
  // Waits until it was hung up, and takes nothing.
  void wait_for_the_end() const {
    pollfd end{.fd = fd_, .events = POLLRDHUP, .revents = 0};
    EXPECT_EQ(::poll(&end, 1, 30'000), 1);
  }
  // How many bytes came before it was hung up.
  [[nodiscard]] std::size_t rest() const {
    std::size_t all = 0;
    std::vector<char> part(1 << 16);
    for (ssize_t got = 0; (got = ::recv(fd_, part.data(), part.size(), 0)) > 0;) {
      all += static_cast<std::size_t>(got);
    }
    return all;
  }
  [[nodiscard]] std::size_t take(std::size_t bytes) const {
    std::vector<char> part(bytes);
    return static_cast<std::size_t>(std::max<ssize_t>(::recv(fd_, part.data(), bytes, 0), 0));
  }
  void no_more() const { ::shutdown(fd_, SHUT_WR); }

 private:
  int fd_;
};

class ControlServerTest : public testing::Test {
 protected:
  ControlServerTest()
      : directory_(std::filesystem::temp_directory_path() /
                   ("synproxy-control-test-" + std::to_string(::getpid())) / "dpdk" / "web") {
    std::filesystem::create_directories(directory_);
    requests_.add("echo", Requests::Kind::kReading,
                  [](const Json& request, const Peer&) { return request.value("text", "none"); });
    requests_.add("refuse", Requests::Kind::kReading, [](const Json&, const Peer&) -> Json {
      throw UsageError("--mss 1: is too small");
    });
    requests_.add("fail", Requests::Kind::kChanging,
                  [](const Json&, const Peer&) -> Json { throw RuntimeFailure("it broke"); });
    requests_.add_long("long", Requests::Kind::kReading, [](const Json& request, const Peer&) {
      return std::make_unique<Long>(request.value("bytes", kLong));
    });
  }
  ~ControlServerTest() override {
    std::filesystem::remove_all(directory_.parent_path().parent_path());
  }

  [[nodiscard]] std::unique_ptr<ControlServer> serve(const ServerLimits& limits = {}) const {
    return std::make_unique<ControlServer>(directory_, std::nullopt, requests_, limits);
  }
  [[nodiscard]] std::filesystem::path path() const { return directory_ / kControlSocket; }
  [[nodiscard]] ControlClient client() const { return {"web", {path()}}; }
  void expect_answers() const {
    EXPECT_EQ(client().ask({{"command", "echo"}, {"text", "hello"}}), "hello");
  }
  static mode_t mode_of(const std::filesystem::path& path) {
    struct stat found {};
    EXPECT_EQ(::stat(path.c_str(), &found), 0) << path;
    return found.st_mode & 0777;
  }

  const std::filesystem::path directory_;
  Requests requests_;
};

TEST_F(ControlServerTest, AnswersRequestAfterRequest) {
  const auto server = serve();
  ControlClient client("web", {path()});
  for (const char* text : {"one", "two", "\xc3\xa4\n\"\\"}) {
    EXPECT_EQ(client.ask({{"command", "echo"}, {"text", text}}), text);
  }
  EXPECT_THROW((void)client.ask({{"command", "refuse"}}), UsageError);
  EXPECT_THROW((void)client.ask({{"command", "fail"}}), RuntimeFailure);
  EXPECT_EQ(client.ask({{"command", "echo"}}), "none") << "an error ends nothing";
}

TEST_F(ControlServerTest, RequestsSentAheadAreAnsweredInOrder) {
  const auto server = serve();
  std::string all;
  for (int i = 0; i < 500; ++i)
    all += R"({"command":"echo","text":")" + std::to_string(i) + "\"}\n";
  const Raw raw(path());
  raw.send(all).no_more();
  for (int i = 0; i < 500; ++i) {
    ASSERT_EQ(raw.line(), R"({"ok":true,"result":")" + std::to_string(i) + "\"}");
  }
}

TEST_F(ControlServerTest, WhatIsNoRequestIsToldSoAndTheNextOneIsAnswered) {
  const auto server = serve();
  const Raw raw(path());
  const std::string deep(8000, '[');
  const std::string garbage[] = {"",
                                 "x",
                                 "{",
                                 "null",
                                 "[]",
                                 "42",
                                 "\"text\"",
                                 "{}",
                                 R"({"command":7})",
                                 R"({"command":"none such"})",
                                 R"({"command":"echo","text":[[[[[[[[)",
                                 R"({"command":"\ud800"})",
                                 std::string("\0\0", 2),
                                 "\xff\xfe",
                                 deep,
                                 R"({"command":"echo","text":"\u0000)",
                                 R"({"a":)" + deep};
  for (const std::string& line : garbage) {
    EXPECT_THAT(raw.send(line + "\n").line(), HasSubstr(R"({"ok":false,"usage":false,"error":")"))
        << line.substr(0, 40);
  }
  EXPECT_EQ(raw.send("{\"command\":\"echo\",\"text\":\"well\"}\n").line(),
            R"({"ok":true,"result":"well"})");
  // A thousand empty lines at once are a thousand mistakes, and no deeper stack.
  raw.send(std::string(1000, '\n')).no_more();
  for (int i = 0; i < 1000; ++i) ASSERT_THAT(raw.line(), HasSubstr("\"ok\":false"));
}

TEST_F(ControlServerTest, ARequestThatDoesNotEndIsRefusedAtItsLimit) {
  const auto server = serve({.request = 1000});
  const Raw whole(path());
  EXPECT_THAT(whole.send(std::string(1001, 'x') + "\n").line(), HasSubstr("too long"));
  EXPECT_EQ(whole.line(), "") << "and then it is hung up";
  const Raw endless(path());
  EXPECT_THAT(endless.send(std::string(100'000, 'x')).line(), HasSubstr("too long"));
  expect_answers();
}

TEST_F(ControlServerTest, WhoIsSilentLosesItsPlace) {
  const auto server = serve({.half_request = milliseconds(300), .idle = milliseconds(500)});
  const Raw half(path());
  const Raw idle(path());
  half.send("{\"command\":");
  EXPECT_EQ(half.line(), "");
  EXPECT_EQ(idle.line(), "");
  expect_answers();
}

TEST_F(ControlServerTest, AByteNowAndThenKeepsNoPlace) {
  const auto server = serve({.half_request = milliseconds(300)});
  const Raw trickle(path());
  for (int i = 0; i < 100; ++i) {
    trickle.send("x");
    ::usleep(10'000);
  }
  EXPECT_EQ(trickle.line(), "");
}

TEST_F(ControlServerTest, ManyIdleClientsKeepNobodyOut) {
  const auto server = serve({.clients = 8});
  std::list<Raw> crowd;
  for (int i = 0; i < 100; ++i) crowd.emplace_back(path());
  expect_answers();
  EXPECT_EQ(crowd.front().line(), "") << "the longest idle one gives way";
  EXPECT_EQ(crowd.back().send("{\"command\":\"echo\"}\n").line(), R"({"ok":true,"result":"none"})");
}

TEST_F(ControlServerTest, AReaderThatStallsBlocksNobodyAndIsHungUp) {
  const auto server = serve({.stalled = milliseconds(200)});
  const Raw stalled(path());
  stalled.send("{\"command\":\"long\"}\n");
  for (int i = 0; i < 20; ++i) expect_answers();
  stalled.wait_for_the_end();
  EXPECT_LT(stalled.rest(), kLong);
}

TEST_F(ControlServerTest, AnAnswerThatIsTakenTooSlowlyIsCutShort) {
  const auto server = serve({.answer = milliseconds(300)});
  const Raw slow(path());
  slow.send("{\"command\":\"long\"}\n");
  std::size_t took = 0;
  for (int i = 0; i < 100; ++i) {
    took += slow.take(1000);
    ::usleep(10'000);
  }
  EXPECT_LT(took + slow.rest(), kLong);
}

TEST_F(ControlServerTest, ALongAnswerArrivesWhole) {
  const auto server = serve();
  const Raw reader(path());
  reader.send("{\"command\":\"long\"}\n").no_more();
  EXPECT_EQ(reader.rest(), kLong);
}

TEST_F(ControlServerTest, ClientsThatLeaveInTheMiddleDoNoHarm) {
  const auto server = serve({.clients = 4});
  for (int i = 0; i < 50; ++i) {
    Raw(path()).send("{\"command\":\"long\"}\n");
    Raw(path()).send("{\"command\":\"echo");
  }
  expect_answers();
}

TEST_F(ControlServerTest, ReadingMayOnlyRead) {
  const Peer reader{.pid = 7, .uid = 1000, .may_change = false};
  std::string out;
  (void)requests_.answer(R"({"command":"echo"})", reader)->next(out);
  EXPECT_THAT(out, HasSubstr("\"ok\":true"));
  out.clear();
  (void)requests_.answer(R"({"command":"fail"})", reader)->next(out);
  EXPECT_THAT(out, HasSubstr("no permission to change anything, only to read (uid 1000, pid 7)"));
}

TEST_F(ControlServerTest, TheFileIsTheOwnersAndGoesAtTheEnd) {
  std::filesystem::permissions(directory_, std::filesystem::perms(0750));
  {
    const auto server = serve();
    EXPECT_EQ(mode_of(path()), 0600U);
    EXPECT_EQ(mode_of(directory_), 0700U);
  }
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(ControlServerTest, AGroupPassesTheDirectoriesAndOpensTheSocket) {
  std::filesystem::permissions(directory_.parent_path(), std::filesystem::perms(0700));
  const ControlServer server(directory_, ::getegid(), requests_);
  EXPECT_EQ(mode_of(path()), 0660U);
  EXPECT_EQ(mode_of(directory_), 0710U);
  EXPECT_EQ(mode_of(directory_.parent_path()), 0711U);
  expect_answers();
}

TEST_F(ControlServerTest, WhatAKilledOneLeftStopsNoStart) {
  std::ofstream(path()) << "not even a socket";
  const auto server = serve();
  expect_answers();
}

TEST_F(ControlServerTest, WithoutADirectoryItSaysSo) {
  try {
    const ControlServer server(directory_ / "none", std::nullopt, requests_);
    FAIL();
  } catch (const RuntimeFailure& error) {
    EXPECT_THAT(error.what(), HasSubstr("the control socket"));
  }
}

TEST(ControlGroup, IsANameOrANumber) {
  EXPECT_EQ(control_group(""), std::nullopt);
  EXPECT_EQ(control_group("root"), gid_t{0});
  EXPECT_EQ(control_group("4711"), gid_t{4711});
  for (const char* wrong : {"no such group", "-1", "4294967295", "12x"}) {
    EXPECT_THROW((void)control_group(wrong), UsageError) << wrong;
  }
}

TEST(ControlClient, TellsNotRunningFromNoAnswer) {
  try {
    const ControlClient client("web", {"/nonexistent/control.sock"});
    FAIL();
  } catch (const RuntimeFailure& error) {
    EXPECT_THAT(error.what(), HasSubstr("--name web: not running"));
  }
}

}  // namespace
}  // namespace synproxy::control
