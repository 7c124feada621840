// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/flow/mapping.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <new>

namespace synproxy {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

TEST(Mapping, FirstAndLastByteAreZeroAndWritable) {
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{4096}, std::size_t{4097},
                                  kHugePage - 1, kHugePage, kHugePage + 1, 5 * kHugePage - 3}) {
    const Mapping mapping(bytes, Mapping::Kind::kReserved);
    auto* data = static_cast<std::uint8_t*>(mapping.data());
    EXPECT_EQ(mapping.bytes(), bytes);
    EXPECT_EQ(data[0], 0);
    EXPECT_EQ(data[bytes - 1], 0);
    data[0] = data[bytes - 1] = 1;
  }
}

TEST(Mapping, LongOneStartsOnAHugePage) {
  // Several at once, so that some of the addresses that the kernel chose are not aligned.
  const Mapping a(kHugePage + 1, Mapping::Kind::kReserved);
  const Mapping b(3 * kHugePage - 5, Mapping::Kind::kSparse);
  const Mapping c(kHugePage, Mapping::Kind::kReserved);
  for (const Mapping* mapping : {&a, &b, &c}) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(mapping->data()) % kHugePage, 0U);
  }
}

TEST(Mapping, NothingIsMappedForNothing) {
  const Mapping mapping(0, Mapping::Kind::kReserved);
  EXPECT_EQ(mapping.data(), nullptr);
}

TEST(Mapping, WhatCannotBeThrowsBadAlloc) {
  EXPECT_THROW(Mapping(std::numeric_limits<std::size_t>::max(), Mapping::Kind::kReserved),
               std::bad_alloc);
  EXPECT_THROW(Mapping(std::size_t{1} << 60, Mapping::Kind::kSparse), std::bad_alloc);
}

}  // namespace
}  // namespace synproxy
