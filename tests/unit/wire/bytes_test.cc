// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/bytes.h"

#include <gtest/gtest.h>

#include <array>
#include <type_traits>

namespace synproxy {
namespace {

static_assert(!std::is_convertible_v<std::uint16_t, be16>, "host order must not slip in");
static_assert(!std::is_convertible_v<be32, std::uint32_t>, "network order must not slip out");
static_assert(be16(0x1234).host() == 0x1234);
static_assert(be32::from_raw(be32(0xdeadbeef).raw()) == be32(0xdeadbeef));

TEST(Bytes, BigEndianIntegersLieInMemoryMostSignificantByteFirst) {
  const be32 word(0x01020304);
  std::array<std::uint8_t, 4> memory{};
  std::memcpy(memory.data(), &word, sizeof word);
  EXPECT_EQ(memory, (std::array<std::uint8_t, 4>{1, 2, 3, 4}));
}

TEST(Bytes, LoadAndStoreWorkAtEveryAlignment) {
  for (std::size_t at = 0; at < 8; ++at) {
    std::array<std::uint8_t, 17> memory;
    memory.fill(0xee);
    store_be<std::uint64_t>(memory.data() + at, 0x0102030405060708ULL);
    for (std::size_t i = 0; i < memory.size(); ++i) {
      const bool inside = i >= at && i < at + 8;
      EXPECT_EQ(memory[i], inside ? i - at + 1 : 0xeeU) << "offset " << at << " byte " << i;
    }
    EXPECT_EQ(load_be<std::uint64_t>(memory.data() + at), 0x0102030405060708ULL);
    EXPECT_EQ(load_be<std::uint32_t>(memory.data() + at), 0x01020304U);
    EXPECT_EQ(load_be<std::uint16_t>(memory.data() + at), 0x0102U);
    EXPECT_EQ(load_be<std::uint8_t>(memory.data() + at), 0x01U);
  }
}

TEST(Bytes, RawLoadKeepsTheOrderOfMemory) {
  const std::array<std::uint8_t, 4> memory{0xaa, 0xbb, 0xcc, 0xdd};
  EXPECT_EQ(load_raw<std::uint32_t>(memory.data()), be32(0xaabbccddU).raw());
}

}  // namespace
}  // namespace synproxy
