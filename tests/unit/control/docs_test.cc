// SPDX-License-Identifier: BSD-3-Clause
#include "control/docs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "control/counter_list.h"
#include "control/flags.h"
#include "control/options.h"
#include "control/pages.h"
#include "synproxy/base/reasons.h"

namespace synproxy::control {
namespace {

using testing::HasSubstr;

std::string committed(const std::string& page) {
  std::ifstream in(std::string(SYNPROXY_DOCS) + "/" + page);
  EXPECT_TRUE(in) << "docs/" << page << " is missing; run scripts/generate_docs.sh";
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(Docs, CountersPageIsWhatTheProgramSays) {
  EXPECT_EQ(committed("counters.md"), counters_markdown()) << "stale: run scripts/generate_docs.sh";
}

TEST(Docs, FlagsPageIsWhatTheProgramSays) {
  EXPECT_EQ(committed("flags.md"), flags_markdown()) << "stale: run scripts/generate_docs.sh";
}

TEST(Docs, MetricsPageIsWhatTheProgramSays) {
  EXPECT_EQ(committed("metrics.md"), metrics_markdown()) << "stale: run scripts/generate_docs.sh";
}

TEST(Docs, CountersPageHasARowForEveryCounter) {
  const std::string page = counters_markdown();
  const auto row = [](std::string_view name) { return "| `" + std::string(name) + "` | "; };
  for (const ReasonInfo& reason : kReasons) {
    EXPECT_THAT(page, HasSubstr(row(reason.name)));
  }
  for (const GaugeInfo& gauge : kGauges) {
    EXPECT_THAT(page, HasSubstr(row(gauge.name)));
  }
  for (const IoInfo& io : kIoCounters) {
    EXPECT_THAT(page, HasSubstr(row(io.name)));
  }
}

TEST(Pages, ManPagesAndCompletionKnowEveryFlagAndCommand) {
  const std::string man = program_man();
  const std::string config = config_man();
  const std::string completion = bash_completion();
  for (const Flag& flag : flags()) {
    std::string name;
    for (const char c : flag.name) name += c == '-' ? std::string("\\-") : std::string(1, c);
    EXPECT_THAT(man, HasSubstr("\n.B \"\\-\\-" + name));
    EXPECT_EQ(config.find("\n.B \"" + name + "\"\n") != std::string::npos,
              flag.kind != FlagKind::kBare && flag.name != "config")
        << flag.name;
    EXPECT_THAT(completion, HasSubstr("--" + std::string(flag.name)));
  }
  EXPECT_THAT(completion, HasSubstr("COMPREPLY=($(compgen -W 'drop forward reassemble' -- "));
  EXPECT_THAT(man, HasSubstr(".B \"synproxy stat"));
}

// Every line that begins with a dot is a request that man(7) knows.
TEST(Pages, NoTextOfAFlagIsTakenForARequest) {
  for (const std::string& page : {program_man(), config_man()}) {
    std::istringstream lines(page);
    for (std::string line; std::getline(lines, line);) {
      EXPECT_FALSE(line.starts_with('\'')) << line;
      if (!line.starts_with('.')) continue;
      EXPECT_THAT(line.substr(0, line.find(' ')),
                  testing::AnyOf(".\\\"", ".TH", ".SH", ".TP", ".RS", ".RE", ".B", ".BR", ".I",
                                 ".IR", ".PP", ".nf", ".fi", ".br"))
          << line;
    }
  }
}

// The blocks of a page that are meant for the file of --config.
std::vector<std::string> examples(const std::string& page) {
  std::vector<std::string> all;
  constexpr std::string_view kBegin = "```ini\n";
  for (std::size_t at = page.find(kBegin); at != std::string::npos; at = page.find(kBegin, at)) {
    at += kBegin.size();
    all.push_back(page.substr(at, page.find("```", at) - at));
  }
  return all;
}

TEST(Docs, EveryExampleOfThePolicyPageIsAccepted) {
  const std::vector<std::string> all = examples(committed("policy.md"));
  EXPECT_GE(all.size(), 6U);
  const std::string path = testing::TempDir() + "policy_example.conf";
  for (const std::string& text : all) {
    std::ofstream(path) << text;
    const Config config = parse_command_line({"--client-port", "eth1", "--server-port", "eth2",
                                              "--protect", "10.0.0.2:80", "--config", path})
                              .config;
    EXPECT_TRUE(config.engine.tuning.limits != LimitTuning{} ||
                config.tight_cookies != Config{}.tight_cookies ||
                config.engine.tuning.mode != Mode::kAlways || !config.services.empty())
        << text;
  }
}

TEST(Docs, EveryFlagWithAValueHasAReason) {
  for (const Flag& flag : flags()) {
    if (flag.kind != FlagKind::kBare) {
      EXPECT_FALSE(flag.reason.empty()) << flag.name;
      EXPECT_FALSE(flag.accepts.empty()) << flag.name;
    }
  }
}

}  // namespace
}  // namespace synproxy::control
