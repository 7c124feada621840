// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/flow/arena.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

namespace synproxy {
namespace {

constexpr std::size_t kPage = 4096;

TEST(Arena, PiecesBeginOnPagesInTheOrderInWhichTheyAreTaken) {
  const Mapping region(4 * kPage, Mapping::Kind::kReserved);
  auto* const first = static_cast<std::byte*>(region.data());
  Arena arena({first, 4 * kPage});
  const Mapping a = arena.take(1);
  const Mapping b = arena.take(kPage);
  const Mapping c = arena.take(kPage + 1);
  EXPECT_EQ(a.data(), first);
  EXPECT_EQ(b.data(), first + kPage);
  EXPECT_EQ(c.data(), first + 2 * kPage);
  EXPECT_THROW(static_cast<void>(arena.take(1)), std::bad_alloc);
}

TEST(Arena, ATooLargePieceTakesNothing) {
  const Mapping region(2 * kPage, Mapping::Kind::kReserved);
  Arena arena({static_cast<std::byte*>(region.data()), 2 * kPage});
  EXPECT_THROW(static_cast<void>(arena.take(2 * kPage + 1)), std::bad_alloc);
  EXPECT_THROW(static_cast<void>(arena.take(~std::size_t{0})), std::bad_alloc);
  EXPECT_EQ(arena.take(2 * kPage).data(), region.data());
}

TEST(Arena, WhatWasLeftThereIsFoundAgain) {
  const Mapping region(2 * kPage, Mapping::Kind::kReserved);
  const std::span<std::byte> bytes(static_cast<std::byte*>(region.data()), 2 * kPage);
  {
    Arena arena(bytes);
    static_cast<void>(arena.take(8));
    *static_cast<std::uint32_t*>(arena.take(8).data()) = 0xdecade;
  }
  Arena again(bytes);
  static_cast<void>(again.take(8));
  EXPECT_EQ(*static_cast<const std::uint32_t*>(again.take(8).data()), 0xdecadeU);
}

TEST(Arena, WithoutOnePagesAreFresh) {
  const Mapping fresh = memory_from(nullptr, kPage, Mapping::Kind::kReserved);
  EXPECT_EQ(*static_cast<const std::uint64_t*>(fresh.data()), 0U);
}

}  // namespace
}  // namespace synproxy
