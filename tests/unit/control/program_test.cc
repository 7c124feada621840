// SPDX-License-Identifier: BSD-3-Clause
// The built program as a shell sees it: its exit status, and what it prints on which stream.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "synproxy/base/reasons.h"

namespace {

using Words = std::vector<std::string>;

// A child process whose two output streams are our pipes.
class Program {
 public:
  // `prepare` is called in the child, just before the program.
  explicit Program(Words words, bool without_capabilities = false, const char* output = nullptr,
                   void (*prepare)() = nullptr) {
    std::array<int, 2> out_pipe{};
    std::array<int, 2> err_pipe{};
    EXPECT_EQ(::pipe2(out_pipe.data(), O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(err_pipe.data(), O_CLOEXEC), 0);
    words.insert(words.begin(), SYNPROXY_PROGRAM);
    std::vector<char*> argv;
    for (std::string& word : words) {
      argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    child_ = ::fork();
    if (child_ == 0) {
      if (without_capabilities) {
        ::prctl(PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0);
        ::prctl(PR_CAPBSET_DROP, CAP_NET_ADMIN, 0, 0, 0);
      }
      ::dup2(output == nullptr ? out_pipe[1] : ::open(output, O_WRONLY), STDOUT_FILENO);
      ::dup2(err_pipe[1], STDERR_FILENO);
      if (prepare != nullptr) prepare();
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(out_pipe[1]);
    ::close(err_pipe[1]);
    out_ = out_pipe[0];
    err_ = err_pipe[0];
  }
  ~Program() {
    if (status_ < 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::close(out_);
    ::close(err_);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // One line of its standard output; empty if it ends before.
  std::string line() {
    std::string text;
    for (char c = 0; ::read(out_, &c, 1) == 1 && c != '\n';) {
      text += c;
    }
    return text;
  }

  void signal(int number) const { ::kill(child_, number); }
  [[nodiscard]] pid_t pid() const { return child_; }

  // Returns when it takes SIGTERM as the wish that it stops; false if it does not in a minute.
  [[nodiscard]] bool takes_sigterm() const {
    for (int i = 0; i < 6000; ++i) {
      std::ifstream status("/proc/" + std::to_string(child_) + "/status");
      for (std::string line; std::getline(status, line);) {
        if (line.starts_with("SigBlk:") &&
            (std::stoull(line.substr(7), nullptr, 16) >> (SIGTERM - 1) & 1U) != 0) {
          return true;
        }
      }
      ::usleep(10'000);
    }
    return false;
  }

  // False if it still runs after a minute.
  [[nodiscard]] bool ends() const {
    siginfo_t info{};
    for (int i = 0; i < 6000 && info.si_pid == 0; ++i) {
      if (::waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOHANG | WNOWAIT) != 0)
        break;
      ::usleep(10'000);
    }
    return info.si_pid != 0;
  }

  // Reads the rest of the streams, then returns the exit status; 128 and more for a signal.
  int finish() {
    out = drain(out_);
    err = drain(err_);
    int status = 0;
    ::waitpid(child_, &status, 0);
    dumped = WIFSIGNALED(status) && WCOREDUMP(status);
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return status_;
  }

  std::string out;
  std::string err;
  bool dumped = false;

 private:
  static std::string drain(int fd) {
    std::string text;
    std::array<char, 4096> part;
    for (ssize_t n = 0; (n = ::read(fd, part.data(), part.size())) > 0;) {
      text.append(part.data(), static_cast<std::size_t>(n));
    }
    return text;
  }

  pid_t child_ = -1;
  int out_ = -1;
  int err_ = -1;
  int status_ = -1;
};

const Words kNullPorts = {"--client-port",     "net_null0,no-rx=1", "--server-port",
                          "net_null1,no-rx=1", "--protect",         "192.0.2.1:80"};

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(Program, MistakesAreOneLineAndExitStatusTwo) {
  const Words rows[] = {
      {},
      {"--bogus"},
      {"frobnicate"},
      with(kNullPorts, {"--mss", "70000"}),
      with(kNullPorts, {"--wscale", "15"}),
      with(kNullPorts, {"--workers", "1000"}),
      with(kNullPorts, {"--secret-file", "/nonexistent/secret"}),
      with(kNullPorts, {"--secret-file", "/dev/null"}),
      with(kNullPorts, {"--config", "/nonexistent/config"}),
      with(kNullPorts, {"--name", "two\nlines"}),
      {"--client-port", "net_null0", "--server-port", "net_null0", "--protect", "192.0.2.1"},
      {"--client-port", "net_null0", "--server-port", "0000:ff:1f.7", "--protect", "192.0.2.1"},
      {"--client-port", "net_null0", "--server-port", "net_null1", "--protect", "192.0.2.1:99999"},
  };
  for (const Words& row : rows) {
    Program program(row);
    EXPECT_EQ(program.finish(), 2) << testing::PrintToString(row);
    EXPECT_EQ(program.out, "") << testing::PrintToString(row);
    EXPECT_THAT(program.err, testing::StartsWith("synproxy: "));
    EXPECT_EQ(program.err.find('\n'), program.err.size() - 1) << program.err;
  }
}

TEST(Program, MissingPermissionIsSaidFirst) {
  Program program({"--client-port", "no-such-dev", "--server-port", "nor-this", "--protect",
                   "192.0.2.1", "--secret-file", "/nonexistent/secret"},
                  true);
  EXPECT_EQ(program.finish(), 2);
  EXPECT_THAT(program.err,
              testing::StartsWith("synproxy: --client-port no-such-dev: no permission to open this "
                                  "device, CAP_NET_RAW and CAP_NET_ADMIN missing; run "));
}

TEST(Program, AnswersHelpAndVersionOnStandardOutput) {
  const std::pair<Words, const char*> rows[] = {{{"--help"}, "synproxy "},
                                                {{"stat", "--help"}, "Usage: synproxy stat "},
                                                {{"--version"}, "synproxy "}};
  for (const auto& [words, begin] : rows) {
    Program program(words);
    EXPECT_EQ(program.finish(), 0);
    EXPECT_THAT(program.out, testing::StartsWith(begin));
    EXPECT_EQ(program.err, "");
  }
}

TEST(Program, FailsWhenItsAnswerCannotBeWritten) {
  Program program({"--help"}, false, "/dev/full");
  EXPECT_EQ(program.finish(), 1);
  EXPECT_EQ(program.err, "synproxy: standard output cannot be written\n");
}

TEST(Program, StatFailsWhereNothingRuns) {
  Program program({"stat", "--name", "no-such-proxy"});
  EXPECT_EQ(program.finish(), 1);
  EXPECT_EQ(program.out, "");
  EXPECT_THAT(program.err, testing::StartsWith("synproxy: --name no-such-proxy: "));
}

// A whole life: the ready line, answers to stat, rates, a summary, and nothing else.
TEST(Program, StartsAnswersAndStopsCleanly) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "DPDK's runtime directory is root's";
  }
  const std::string name = "program-test-" + std::to_string(::getpid());
  for (const int signal : {SIGTERM, SIGINT}) {
    Program proxy(with(kNullPorts, {"--name", name, "--stats-interval", "1", "--max-flows", "1024",
                                    "--log-level", "error"}));
    EXPECT_THAT(proxy.line(),
                testing::ContainsRegex("^synproxy: ready: client-port net_null0,no-rx=1, "
                                       "server-port net_null1,no-rx=1, protecting 192.0.2.1:80, 1 "
                                       "worker \\(cpu [0-9]+\\)$"));
    Program stat({"stat", "--json", "--name", name});
    EXPECT_EQ(stat.finish(), 0) << stat.err;
    const auto document = nlohmann::json::parse(stat.out);
    EXPECT_EQ(document.at("name"), name);
    EXPECT_EQ(document.at("total").at("counters").size(), synproxy::kReasonCount);
    EXPECT_EQ(document.at("ports").at("client").at("name"), "net_null0,no-rx=1");

    Program table({"stat", "--name", name});
    EXPECT_EQ(table.finish(), 0);
    EXPECT_EQ(table.out,
              "entries\t\tsyn_received\tcookie_invalid\tcookie_valid\tcookie_retrans\t"
              "conn_reopened\n00000000\t00000000\t00000000\t00000000\t00000000\t00000000\n");

    EXPECT_THAT(proxy.line(), testing::StartsWith("synproxy: SYN/s 0, "));
    Program second(with(kNullPorts, {"--name", name}));
    EXPECT_EQ(second.finish(), 2);
    EXPECT_THAT(second.err, testing::StartsWith("synproxy: --name " + name + ": "));

    proxy.signal(SIGHUP);  // of those that wait, the lowest number comes first
    proxy.signal(signal);
    EXPECT_EQ(proxy.finish(), 0);
    EXPECT_THAT(proxy.out, testing::HasSubstr("synproxy: stopped after "));
    EXPECT_EQ(proxy.err,
              "synproxy: not reloaded: neither --config nor --secret-file, --allow-file or "
              "--deny-file was given, there is nothing to read\n");
  }
  std::filesystem::remove_all("/var/run/dpdk/" + name);  // EAL leaves it
}

// DPDK's lock must not become the standard input, nor what it prints go into one of its files.
TEST(Program, StopsAlsoWhenItWasStartedWithItsStreamsClosed) {
  if (::geteuid() != 0) GTEST_SKIP() << "DPDK's runtime directory is root's";
  const std::string name = "program-test-closed-" + std::to_string(::getpid());
  Program proxy(with(kNullPorts, {"--name", name, "--max-flows", "1024"}), false, nullptr,
                [] { ::close_range(STDIN_FILENO, STDERR_FILENO, 0); });
  bool answers = false;
  for (int i = 0; i < 300 && !answers; ++i) {
    ::usleep(100'000);
    Program stat({"stat", "--name", name});
    answers = stat.finish() == 0;
  }
  EXPECT_TRUE(answers);
  proxy.signal(SIGTERM);
  ASSERT_TRUE(proxy.ends());
  EXPECT_EQ(proxy.finish(), 0);
  std::filesystem::remove_all("/var/run/dpdk/" + name);
}

TEST(Program, StraySignalsDoNotEndIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "DPDK's runtime directory is root's";
  const std::string name = "program-test-signals-" + std::to_string(::getpid());
  Program proxy(with(kNullPorts, {"--name", name, "--max-flows", "1024"}));
  EXPECT_THAT(proxy.line(), testing::StartsWith("synproxy: ready: "));
  for (const int stray : {SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGIO, SIGPWR, SIGPIPE, SIGXFSZ,
                          SIGTTOU, SIGRTMIN, SIGRTMAX}) {
    proxy.signal(stray);
  }
  proxy.signal(SIGTERM);
  EXPECT_EQ(proxy.finish(), 0);
  std::filesystem::remove_all("/var/run/dpdk/" + name);
}

// The reader of both streams stalls. The summary and what a thousand reloads say must wait for
// nobody.
TEST(Program, ReaderThatStallsHoldsNothingUp) {
  if (::geteuid() != 0) GTEST_SKIP() << "DPDK's runtime directory is root's";
  const std::string name = "program-test-stall-" + std::to_string(::getpid());
  Program proxy(with(kNullPorts, {"--name", name, "--max-flows", "1024"}), false, nullptr,
                [] { ::fcntl(STDERR_FILENO, F_SETPIPE_SZ, 4096); });
  EXPECT_THAT(proxy.line(), testing::StartsWith("synproxy: ready: "));
  std::uint64_t lost = 0;
  for (int i = 0; i < 100 && lost == 0; ++i) {
    for (int n = 0; n < 100; ++n) {
      proxy.signal(SIGHUP);
      ::usleep(500);
    }
    Program stat({"stat", "--json", "--name", name});
    ASSERT_EQ(stat.finish(), 0) << stat.err;
    lost = nlohmann::json::parse(stat.out).at("log").at("lines_lost");
  }
  EXPECT_GT(lost, 0U);
  proxy.signal(SIGTERM);
  ASSERT_TRUE(proxy.ends());
  EXPECT_EQ(proxy.finish(), 0);
  std::filesystem::remove_all("/var/run/dpdk/" + name);
}

TEST(Program, MemoryFromHugepagesThatAreNotThereIsAMistake) {
  std::error_code error;
  for (const auto& size : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", error)) {
    unsigned free = 0;
    std::ifstream(size.path() / "free_hugepages") >> free;
    if (free != 0) GTEST_SKIP() << "this machine has hugepages";
  }
  for (const char* argument : {"-m64", "--in-memory", "--socket-mem=64"}) {
    Program program(with(kNullPorts, {"--name", "nohuge", "--", argument}));
    EXPECT_EQ(program.finish(), 2);
    EXPECT_EQ(program.err, std::string("synproxy: -- ") + argument +
                               ": DPDK takes this memory from hugepages, and none are free; "
                               "'sysctl vm.nr_hugepages=N', or add --no-huge\n");
  }
}

// EAL's files are mapped: where there is no room for them, touching them is a SIGBUS.
TEST(Program, StartsWhereRunIsSmallOrSaysHowMuchItNeeds) {
  const auto small_run = [] {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", "/run", "tmpfs", 0, "size=64k") != 0) {
      ::_exit(77);
    }
  };
  Program proxy(with(kNullPorts, {"--name", "small", "--max-flows", "1024"}), false, nullptr,
                small_run);
  const std::string first = proxy.line();
  if (first.empty() && proxy.ends() && proxy.finish() == 77) {
    GTEST_SKIP() << "no mount namespace of our own";
  }
  EXPECT_THAT(first, testing::StartsWith("synproxy: ready: "));
  proxy.signal(SIGTERM);
  EXPECT_EQ(proxy.finish(), 0);
  Program own_arguments(with(kNullPorts, {"--name", "small", "--", "--no-huge", "-m", "300"}),
                        false, nullptr, small_run);
  EXPECT_EQ(own_arguments.finish(), 2);
  EXPECT_THAT(own_arguments.err,
              testing::MatchesRegex("synproxy: -- --no-huge -m 300: DPDK needs [0-9]+ MB of files "
                                    "in /var/run/dpdk/small, and there are [0-9]+ KB left; free "
                                    "some, or add --no-shconf\n"));
}

// EAL would wait for the process whose memory it is to share.
TEST(Program, StartThatDoesNotEndIsStoppedBySigterm) {
  if (::geteuid() != 0) GTEST_SKIP() << "DPDK's runtime directory is root's";
  const std::string name = "program-test-start-" + std::to_string(::getpid());
  Program proxy(with(kNullPorts, {"--name", name, "--", "--proc-type", "secondary"}));
  ASSERT_TRUE(proxy.takes_sigterm());
  proxy.signal(SIGTERM);
  ASSERT_TRUE(proxy.ends());
  EXPECT_EQ(proxy.finish(), 1);
  EXPECT_EQ(proxy.out, "");
  EXPECT_EQ(proxy.err,
            "synproxy: told to stop while DPDK and the ports were being started, which does not "
            "end\n");
  std::filesystem::remove_all("/var/run/dpdk/" + name);
}

// Told to stop before it is ready, it stops as soon as it is.
TEST(Program, SignalDuringTheStartStopsItCleanly) {
  if (::geteuid() != 0) GTEST_SKIP() << "DPDK's runtime directory is root's";
  const std::string name = "program-test-early-" + std::to_string(::getpid());
  for (const unsigned ms : {20U, 50U, 100U, 150U, 200U}) {
    Program proxy(with(kNullPorts, {"--name", name, "--max-flows", "1024"}));
    ::usleep(ms * 1000);
    proxy.signal(SIGTERM);
    ASSERT_TRUE(proxy.ends());
    const int status = proxy.finish();
    // Before it takes signals, nothing has been changed.
    EXPECT_TRUE(status == 0 || status == 128 + SIGTERM) << status << proxy.err;
  }
  std::filesystem::remove_all("/var/run/dpdk/" + name);
}

// A mistake is exit status 2 also where its line goes nowhere.
TEST(Program, MistakesAreExitStatusTwoWhereverTheLineGoes) {
  const auto no_reader = [] {
    std::array<int, 2> pipe{};
    static_cast<void>(::pipe2(pipe.data(), O_CLOEXEC));
    ::close(pipe[0]);
    ::dup2(pipe[1], STDERR_FILENO);
  };
  const auto no_room = [] {
    const rlimit none{0, 0};
    static_cast<void>(::setrlimit(RLIMIT_FSIZE, &none));
    ::dup2(::memfd_create("full", 0), STDERR_FILENO);
  };
  const auto closed = [] { ::close(STDERR_FILENO); };
  for (void (*const prepare)() : {+no_reader, +no_room, +closed}) {
    Program program({"--bogus"}, false, nullptr, prepare);
    EXPECT_EQ(program.finish(), 2);
    EXPECT_EQ(program.err, "");
  }
}

TEST(Program, FailsWhenItsAnswerGoesToAClosedStream) {
  Program program({"--version"}, false, nullptr, [] { ::close(STDOUT_FILENO); });
  EXPECT_EQ(program.finish(), 1);
  EXPECT_EQ(program.err, "synproxy: standard output cannot be written\n");
}

TEST(Program, CrashLeavesNoCoreWithTheSecret) {
  if (::geteuid() != 0) GTEST_SKIP() << "DPDK's runtime directory is root's";
  const std::string name = "program-test-core-" + std::to_string(::getpid());
  const auto allow_cores = [] {
    const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
    static_cast<void>(::setrlimit(RLIMIT_CORE, &all));
    static_cast<void>(::chdir("/tmp"));
  };
  Program proxy(with(kNullPorts, {"--name", name, "--max-flows", "1024"}), false, nullptr,
                allow_cores);
  EXPECT_THAT(proxy.line(), testing::StartsWith("synproxy: ready: "));
  // Set before the secret is read. 1 keeps a dump from a program too that core_pattern names.
  rlimit limit{};
  ASSERT_EQ(::prlimit(proxy.pid(), RLIMIT_CORE, nullptr, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, 1U);
  proxy.signal(SIGABRT);
  EXPECT_EQ(proxy.finish(), 128 + SIGABRT);
  EXPECT_FALSE(proxy.dumped);
  std::filesystem::remove_all("/var/run/dpdk/" + name);
}

}  // namespace
