// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/base/checked.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

TEST(CheckedDeathTest, AFailedCheckEndsTheProcessWhereChecksAreBuiltIn) {
  check(true);
  if (kChecked) {
    EXPECT_DEATH(check(false), "");
  } else {
    check(false);
  }
}

}  // namespace
}  // namespace synproxy
