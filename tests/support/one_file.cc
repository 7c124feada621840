// SPDX-License-Identifier: BSD-3-Clause
// main() of a program of many test files of which a process can run only one, such as those that
// start EAL: its argument names the file, without ".cc". --gtest_filter chooses otherwise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <string_view>

namespace {

// For --gtest_filter; empty if the file has no test.
std::string tests_of(std::string_view stem) {
  const std::string end = "/" + std::string(stem) + ".cc";
  std::string filter;
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  for (int s = 0; s < all.total_test_suite_count(); ++s) {
    const testing::TestSuite& suite = *all.GetTestSuite(s);
    for (int t = 0; t < suite.total_test_count(); ++t) {
      const testing::TestInfo& test = *suite.GetTestInfo(t);
      if (std::string_view(test.file()).ends_with(end)) {
        filter += std::string(suite.name()) + "." + test.name() + ":";
      }
    }
  }
  return filter;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  if (GTEST_FLAG_GET(filter) == "*" && !GTEST_FLAG_GET(list_tests)) {
    const std::string filter = argc == 2 ? tests_of(argv[1]) : "";
    if (filter.empty()) {
      std::fprintf(stderr, "usage: %s FILE, like rss_test, or --gtest_filter=TESTS\n", argv[0]);
      return 2;
    }
    GTEST_FLAG_SET(filter, filter);
  }
  return RUN_ALL_TESTS();
}
