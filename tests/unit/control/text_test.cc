// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include "control/log.h"
#include "control/rule_text.h"

namespace synproxy::control {
namespace {

TEST(OneLine, HoldsWhateverWasTyped) {
  EXPECT_EQ(one_line("--mss 1\n2\t\x1b[31m\x7f"), "--mss 1\\x0a2\\x09\\x1b[31m\\x7f");
  EXPECT_EQ(one_line("caf\xc3\xa9"), "caf\xc3\xa9");
  EXPECT_EQ(one_line(""), "");
}

TEST(RuleText, IsWhatTheFlagTakes) {
  for (const char* text :
       {"203.0.113.10", "203.0.113.10:80", "203.0.113.0/24:80-89", "10.0.0.0/8", "2001:db8::1",
        "[2001:db8::1]:443", "[2001:db8::/64]:443-444", "2001:db8::/32"}) {
    EXPECT_EQ(rule_text(parse_protect_rule(text)), text);
  }
}

}  // namespace
}  // namespace synproxy::control
