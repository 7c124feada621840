// SPDX-License-Identifier: BSD-3-Clause
#include "control/help.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "control/flags.h"
#include "control/options.h"

namespace synproxy::control {
namespace {

using testing::HasSubstr;

TEST(Help, NamesEveryFlagWithItsDefault) {
  const std::string text = help_text();
  for (const Flag& flag : flags()) {
    EXPECT_THAT(text, HasSubstr("  --" + std::string(flag.name)));
    if (!flag.initial.empty()) {
      EXPECT_THAT(text, testing::ContainsRegex("\\(default:[[:space:]]+" +
                                               std::string(flag.initial) + "\\)"))
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

// The default that --help names is the one that holds without the flag.
TEST(Help, DefaultsAreTrue) {
  const std::vector<std::string> bare = {"--client-port", "eth1",      "--server-port",
                                         "eth2",          "--protect", "10.0.0.2"};
  const Config expected = parse_command_line(bare).config;
  for (const Flag& flag : flags()) {
    if (flag.initial.empty()) {
      continue;
    }
    auto words = bare;
    words.push_back("--" + std::string(flag.name) + "=" + std::string(flag.initial));
    const Config c = parse_command_line(words).config;
    const OfferConfig& offer = c.engine.tuning.offer;
    EXPECT_EQ(offer.sack, expected.engine.tuning.offer.sack) << flag.name;
    EXPECT_EQ(offer.timestamps, expected.engine.tuning.offer.timestamps) << flag.name;
    EXPECT_EQ(offer.ecn, expected.engine.tuning.offer.ecn) << flag.name;
    EXPECT_EQ(offer.window_scale, expected.engine.tuning.offer.window_scale) << flag.name;
    EXPECT_EQ(offer.mss, expected.engine.tuning.offer.mss) << flag.name;
    EXPECT_EQ(c.engine.shape.max_flows, expected.engine.shape.max_flows) << flag.name;
    EXPECT_EQ(c.engine.tuning.early_window, expected.engine.tuning.early_window) << flag.name;
    EXPECT_EQ(c.engine.shape.early_data_memory, expected.engine.shape.early_data_memory)
        << flag.name;
    EXPECT_EQ(c.engine.tuning.server_timeout_ms, expected.engine.tuning.server_timeout_ms)
        << flag.name;
    EXPECT_EQ(c.engine.tuning.idle_timeout_ms, expected.engine.tuning.idle_timeout_ms) << flag.name;
    EXPECT_EQ(c.engine.tuning.close_timeout_ms, expected.engine.tuning.close_timeout_ms)
        << flag.name;
    EXPECT_EQ(c.engine.shape.epoch_ms, expected.engine.shape.epoch_ms) << flag.name;
    EXPECT_EQ(c.name, expected.name) << flag.name;
    EXPECT_EQ(c.stats_interval, expected.stats_interval) << flag.name;
    EXPECT_EQ(c.log_level, expected.log_level) << flag.name;
  }
}

TEST(Help, VersionIsTheProjects) { EXPECT_EQ(version_text(), "synproxy " + version_number()); }

}  // namespace
}  // namespace synproxy::control
