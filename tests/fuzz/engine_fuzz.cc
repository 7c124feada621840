// SPDX-License-Identifier: BSD-3-Clause
// Whole conversations of hostile frames from both sides: conversation.h says what must hold,
// command.h what an input looks like. The harness's EXPECTs abort here.
#include <gtest/gtest.h>

#include "fuzz/conversation.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  testing::GTEST_FLAG(break_on_failure) = true;
  synproxy::fuzz::Conversation(synproxy::fuzz::Script(data, size)).run();
  return 0;
}
