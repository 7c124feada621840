// SPDX-License-Identifier: BSD-3-Clause
// Streams that take nothing, or only some of what is written.
#include "base/line_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

namespace synproxy {
namespace {

struct Pipe {
  Pipe() {
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    EXPECT_GT(::fcntl(ends[1], F_SETPIPE_SZ, 4096), 0);
  }
  ~Pipe() {
    close_writer();
    ::close(ends[0]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_writer() {
    if (ends[1] >= 0) ::close(ends[1]);
    ends[1] = -1;
  }
  void fill() const {
    const std::string page(4096, '-');
    ASSERT_EQ(::write(ends[1], page.data(), page.size()), 4096);
  }
  // Until all writers have gone.
  [[nodiscard]] std::string rest() {
    std::string text;
    std::array<char, 512> part;
    for (ssize_t n = 0; (n = ::read(ends[0], part.data(), part.size())) > 0;) {
      text.append(part.data(), static_cast<std::size_t>(n));
      if (text.ends_with("not take them\n")) notice_read = true;
    }
    return text;
  }
  std::array<int, 2> ends{-1, -1};
  std::atomic<bool> notice_read{false};
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(LineWriter, NobodyWaitsForAReaderAndWhatIsLostIsCountedAndSaid) {
  Pipe pipe;
  pipe.fill();
  const std::uint64_t before = LineWriter::lost();
  {
    LineWriter writer(pipe.ends[1], 1000);
    for (int i = 100; i < 600; ++i) writer.write("line " + std::to_string(i) + "\n");
    EXPECT_EQ(LineWriter::lost() - before, 389U) << "111 lines of 9 bytes wait";
  }
  pipe.close_writer();  // its thread has another
  const auto lines = lines_of(pipe.rest().substr(4096));
  ASSERT_EQ(lines.size(), 112U);
  EXPECT_EQ(lines[110], "line 210");
  EXPECT_EQ(lines[111], "synproxy: 389 lines are missing here: this stream did not take them");
}

TEST(LineWriter, WhatIsMissingIsSaidWhereItIsMissing) {
  Pipe pipe;
  pipe.fill();
  const std::uint64_t before = LineWriter::lost();
  std::string got;
  std::thread reader;
  {
    LineWriter writer(pipe.ends[1], 1000);
    for (int i = 0; i < 500; ++i) writer.write("line " + std::to_string(i) + "\n");
    reader = std::thread([&] { got = pipe.rest(); });
    // Whoever writes on after the stall finds the notice before his line.
    while (!pipe.notice_read) ::usleep(1000);
    writer.write("last\n");
  }
  pipe.close_writer();
  reader.join();
  const std::uint64_t lost = LineWriter::lost() - before;
  EXPECT_GT(lost, 300U);
  auto lines = lines_of(got.substr(4096));
  ASSERT_EQ(lines.size(), 500 - lost + 2);
  EXPECT_EQ(lines.back(), "last");
  lines.pop_back();
  EXPECT_EQ(lines.back(), "synproxy: " + std::to_string(lost) +
                              " lines are missing here: this stream did not take them");
  lines.pop_back();
  for (std::size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i], "line " + std::to_string(i));
}

// The line that says ready names every rule.
TEST(LineWriter, OneLineMayBeLongerThanTheMemory) {
  Pipe pipe;
  const std::string line = std::string(5000, 'x') + "\n";
  std::string got;
  std::thread reader([&] { got = pipe.rest(); });
  { LineWriter(pipe.ends[1], 1000).write(line); }
  pipe.close_writer();
  reader.join();
  EXPECT_EQ(got, line);
}

TEST(LineWriter, StreamThatIsNonBlockingGetsEverything) {
  Pipe pipe;
  ASSERT_EQ(::fcntl(pipe.ends[1], F_SETFL, O_NONBLOCK), 0);
  std::string got;
  std::thread reader([&] {
    ::usleep(50'000);
    got = pipe.rest();
  });
  const std::string text(100'000, 'x');
  EXPECT_EQ(write_whole(pipe.ends[1], text), text.size());
  pipe.close_writer();
  reader.join();
  EXPECT_EQ(got, text);
}

TEST(LineWriter, ReaderThatHasLeftCostsNothing) {
  (void)std::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  ::close(std::exchange(pipe.ends[0], -1));
  const std::uint64_t before = LineWriter::lost();
  {
    LineWriter writer(pipe.ends[1]);
    for (int i = 0; i < 10; ++i) writer.write("nobody reads this\n");
  }
  EXPECT_EQ(LineWriter::lost() - before, 10U);
}

// A full disk, or a limit on the size of files: half a line, then nothing, then it takes more.
TEST(LineWriter, HalfALineIsNotContinuedByTheNext) {
  (void)std::signal(SIGXFSZ, SIG_IGN);
  const std::string path = std::filesystem::temp_directory_path() /
                           ("synproxy-line-writer-test-" + std::to_string(::getpid()));
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  rlimit usual{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &usual), 0);
  const auto limit = [&](rlim_t bytes) {
    const rlimit now{bytes, usual.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &now), 0);
  };
  const std::uint64_t before = LineWriter::lost();
  {
    LineWriter writer(fd);
    limit(4);
    writer.write("first line\n");
    while (LineWriter::lost() == before) ::usleep(1000);
    limit(usual.rlim_cur);
    writer.write("second line\n");
  }
  ::close(fd);
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(),
            "firs\nsynproxy: 1 line is missing here: this stream did not take them\nsecond "
            "line\n");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace synproxy
