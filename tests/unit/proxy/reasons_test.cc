// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/base/reasons.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "synproxy/base/counters.h"

namespace synproxy {
namespace {

TEST(Reasons, EachHasANameOfItsOwnAndASentence) {
  std::set<std::string_view> names;
  for (const ReasonInfo& r : kReasons) {
    SCOPED_TRACE(r.name);
    EXPECT_TRUE(names.insert(r.name).second);
    ASSERT_FALSE(r.sentence.empty());
    EXPECT_EQ(r.sentence.back(), '.');
    EXPECT_EQ(r.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789"),
              std::string_view::npos);
  }
  EXPECT_EQ(info(Reason::synack_sent).name, "synack_sent");
  EXPECT_EQ(info(Reason::synack_sent).kind, ReasonKind::FATE);
}

TEST(Counters, CountPerReasonAndStartAtZero) {
  Counters c;
  for (std::size_t i = 0; i < kReasonCount; ++i) EXPECT_EQ(c.get(static_cast<Reason>(i)), 0U);
  c.count(Reason::land);
  c.count(Reason::land, 41);
  EXPECT_EQ(c.get(Reason::land), 42U);
  EXPECT_EQ(c.get(Reason::fragment), 0U);
  c.flows.set(7);
  EXPECT_EQ(c.flows.get(), 7U);
}

}  // namespace
}  // namespace synproxy
