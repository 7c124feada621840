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
    EXPECT_THAT(text, HasSubstr("  synproxy " + std::string(command.name)));
  }
  for (const GroupTitle& group : group_titles()) {
    EXPECT_THAT(text, HasSubstr("\n" + std::string(group.title) + "\n"));
  }
}

TEST(Help, ShowsTheLineOfIptables) {
  EXPECT_THAT(help_text(), HasSubstr("-j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460"));
}

TEST(Help, ACommandNamesItsFlags) {
  for (const Command& command : commands()) {
    const std::string text = help_text(command);
    EXPECT_THAT(text, HasSubstr("Usage: synproxy " + std::string(command.name)));
    for (const CommandFlag& flag : command.flags) {
      EXPECT_THAT(text, HasSubstr("  " + flag_term(flag)));
      EXPECT_EQ(flag.form.empty(), flag.accepts.empty()) << flag.name;
    }
  }
}

TEST(Help, FitsAHundredColumns) {
  std::string text = help_text();
  for (const Command& command : commands()) text += help_text(command);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100U) << line;
    EXPECT_FALSE(line.ends_with(' ')) << "'" << line << "'";
  }
}

TEST(Help, VersionIsTheProjects) { EXPECT_EQ(version_text(), "synproxy " + version_number()); }

}  // namespace
}  // namespace synproxy::control
