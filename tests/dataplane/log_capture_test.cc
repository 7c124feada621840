// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/log_capture.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace synproxy::dataplane {
namespace {

TEST(LogCapture, KeepsTheLastLineWithoutTheLibrarysPrefix) {
  LogCapture log(false);
  std::fputs("EAL: first\nEAL: Cannot find device (net_nosuch)\n", log.stream());
  EXPECT_EQ(log.last_line(), "Cannot find device (net_nosuch)");
}

TEST(LogCapture, FunctionNamesArePrefixesToo) {
  LogCapture log(false);
  log.write("rte_pmd_memif_probe(): Invalid size: 0\n");
  EXPECT_EQ(log.last_line(), "Invalid size: 0");
}

TEST(LogCapture, LineWithAColonInTheMiddleStaysWhole) {
  LogCapture log(false);
  log.write("no such file: /dev/vhost-net\n");
  EXPECT_EQ(log.last_line(), "no such file: /dev/vhost-net");
}

TEST(LogCapture, HowToUseItSaysNothingOfWhatIsWrong) {
  LogCapture log(false);
  log.write("EAL: --a is not compatible with --b\nEAL: Invalid 'command line' arguments.\n");
  log.write("\nUsage: synproxy [options]\n");
  for (int i = 0; i < 100; ++i) log.write("  --option  what it is for\n");
  EXPECT_EQ(log.last_line(), "--a is not compatible with --b");
  log.forget();
  log.write("EAL: next\n");
  EXPECT_EQ(log.last_line(), "next");
}

TEST(LogCapture, PiecesOfOneLineAreJoined) {
  LogCapture log(false);
  log.write("EAL: half");
  log.write(" a line\n\n");
  EXPECT_EQ(log.last_line(), "half a line");
}

TEST(LogCapture, ForgetStartsAnew) {
  LogCapture log(false);
  log.write("EAL: old\nEAL: cut");
  log.forget();
  EXPECT_EQ(log.last_line(), "");
}

TEST(LogCapture, ChattyDriverDoesNotGrowIt) {
  LogCapture log(false);
  for (int i = 0; i < 100'000; ++i) log.write("driver: " + std::to_string(i) + "\n");
  EXPECT_EQ(log.last_line(), "99999");
}

TEST(QuietScope, WhatIsPrintedInsideGoesToTheLogAndNowhereElse) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  LogCapture log(false);
  {
    const QuietScope quiet(log);
    std::fputs("libxdp: out\n", stdout);
    std::fputs("libxdp: err\n", stderr);
    [[maybe_unused]] const auto n = ::write(STDERR_FILENO, "libxdp: raw\n", 12);
  }
  std::fputs("after\n", stderr);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "after\n");
  EXPECT_NE(log.last_line(), "");
}

TEST(LogCapture, PassesOnWhenAsked) {
  testing::internal::CaptureStderr();
  {
    LogCapture log(true);
    std::fputs("EAL: noise\n", log.stream());
    const QuietScope quiet(log);
    std::fputs("more noise\n", stderr);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "EAL: noise\nmore noise\n");
}

}  // namespace
}  // namespace synproxy::dataplane
