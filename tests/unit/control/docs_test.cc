// SPDX-License-Identifier: BSD-3-Clause
#include "control/docs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "control/counter_list.h"
#include "control/flags.h"
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
