// SPDX-License-Identifier: BSD-3-Clause
#include "control/help.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "control/flags.h"

namespace synproxy::control {
namespace {

using testing::HasSubstr;

TEST(Help, NamesEveryFlagWithItsDefault) {
  const std::string text = help_text();
  for (const Flag& flag : flags()) {
    EXPECT_THAT(text, HasSubstr("  --" + std::string(flag.name)));
    if (const std::string initial = default_text(flag); !initial.empty()) {
      EXPECT_THAT(text, testing::ContainsRegex("\\(default:[[:space:]]+" + initial + "\\)"))
          << flag.name;
    }
  }
  for (const Command& command : commands()) {
    EXPECT_THAT(text, HasSubstr(command.usage));
  }
  for (const GroupTitle& group : group_titles()) {
    EXPECT_THAT(text, HasSubstr("\n" + std::string(group.title) + "\n"));
  }
}

TEST(Help, ShowsTheLineOfIptables) {
  EXPECT_THAT(help_text(), HasSubstr("-j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460"));
}

TEST(Help, FitsAHundredColumns) {
  std::istringstream lines(help_text());
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100U) << line;
    EXPECT_FALSE(line.ends_with(' ')) << "'" << line << "'";
  }
}

TEST(Help, VersionIsTheProjects) { EXPECT_EQ(version_text(), "synproxy " + version_number()); }

}  // namespace
}  // namespace synproxy::control
