// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/window_scale.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace synproxy {
namespace {

TEST(WindowBytes, TheLargestThereIs) {
  EXPECT_EQ(window_bytes(0xffff, 14), 0x3fffc000U);
  EXPECT_EQ(window_bytes(0xffff, 0), 0xffffU);
}

struct WindowRow {
  const char* sentence;
  std::uint16_t window;
  unsigned server_shift, offered_shift;
  std::uint16_t expected;
};

TEST(WindowToClient, Rows) {
  const WindowRow rows[] = {
      {"no scaling on either side", 1234, 0, 0, 1234},
      {"the same on both", 65535, 14, 14, 65535},
      {"down", 512, 0, 7, 4},
      {"down to less than one", 127, 0, 7, 1},
      {"down, closed", 0, 0, 14, 0},
      {"up", 4, 7, 0, 512},
      {"up beyond the field", 512, 7, 0, 65535},
      {"the largest there is", 65535, 14, 0, 65535},
      {"rounds down, never up", 255, 0, 7, 1},
  };
  for (const WindowRow& row : rows) {
    EXPECT_EQ(window_to_client(row.window, row.server_shift, row.offered_shift), row.expected)
        << row.sentence;
  }
}

// The client must never be told of more than the server has, except for a window that is less than
// one unit of the client's scale.
TEST(WindowToClient, NeverPromisesMoreThanTheServerHas) {
  for (unsigned server = 0; server <= 14; ++server) {
    for (unsigned offered = 0; offered <= 14; ++offered) {
      for (std::uint32_t w = 0; w <= 0xffff; w += (w < 300 ? 1 : 97)) {
        const std::uint64_t real = std::uint64_t{w} << server;
        const std::uint64_t told =
            std::uint64_t{window_to_client(static_cast<std::uint16_t>(w), server, offered)}
            << offered;
        if (w == 0) {
          ASSERT_EQ(told, 0U);
        } else {
          ASSERT_GT(told, 0U);
          ASSERT_LE(told, std::max(real, std::uint64_t{1} << offered));
        }
      }
    }
  }
}

TEST(WindowUnscaled, ShiftsAndClamps) {
  EXPECT_EQ(window_unscaled(0, 14), 0);
  EXPECT_EQ(window_unscaled(1, 14), 16384);
  EXPECT_EQ(window_unscaled(502, 7), 64256);
  EXPECT_EQ(window_unscaled(512, 7), 65535);
  EXPECT_EQ(window_unscaled(65535, 0), 65535);
}

}  // namespace
}  // namespace synproxy
