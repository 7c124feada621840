// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/cookie/layout.h"

#include <gtest/gtest.h>

#include <vector>

#include "synproxy/cookie/cookie.h"

namespace synproxy {
namespace {

const std::vector<std::uint16_t> kSizes{1,    63,   64,   127,  216,  535,  536,  537,   1219,
                                        1220, 1400, 1439, 1440, 1459, 1460, 9000, 0xffff};

std::vector<ClientOptions> all_options(bool timestamps) {
  std::vector<ClientOptions> all;
  for (const std::uint16_t mss : kSizes) {
    for (std::uint8_t scale = 0; scale <= kNoScale; ++scale) {
      for (const bool sack : {false, true}) {
        for (const bool ecn : {false, true}) {
          if (ecn && !timestamps) continue;
          all.push_back(
              {.mss = mss, .wscale = scale, .sack = sack, .ecn = ecn, .timestamps = timestamps});
        }
      }
    }
  }
  return all;
}

TEST(Layout, TimestampsGiveEverythingBackExactly) {
  for (const ClientOptions& o : all_options(true)) {
    const std::uint64_t bits = pack_timestamps(o);
    EXPECT_EQ(bits & ~layout::option_mask(true), 0U);
    EXPECT_EQ(unpack_timestamps(bits), o);
  }
}

TEST(Layout, PlainGivesBackTheLargestClassThatIsNotAbove) {
  for (const ClientOptions& o : all_options(false)) {
    ClientOptions expected = fit_for_cookie(o);
    const std::uint64_t bits = pack_plain(expected);
    EXPECT_EQ(bits & ~layout::option_mask(false), 0U);
    expected.mss = 0;
    for (const std::uint16_t size : kLowMssClasses) {
      if (size <= o.mss) expected.mss = size;
    }
    for (const std::uint16_t size : kMssClasses) {
      if (size <= o.mss) expected.mss = size;
    }
    EXPECT_EQ(unpack_plain(bits), expected) << o.mss;
  }
}

// Every value of the option bits may come from a forger.
TEST(Layout, EveryValueUnpacksToSomethingLawful) {
  for (std::uint64_t bits = 0; bits <= layout::option_mask(false); ++bits) {
    const ClientOptions o = unpack_plain(bits);
    EXPECT_GE(o.mss, kLowMssClasses[0]);
    EXPECT_LE(o.wscale, kNoScale);
    EXPECT_EQ(pack_plain(o), bits);
  }
  for (std::uint64_t bits = 0; bits <= layout::option_mask(true); bits += 0xfff) {
    EXPECT_EQ(pack_timestamps(unpack_timestamps(bits)), bits);
  }
}

TEST(Layout, TheScaleThatTheTagCoversStandsAboveTheOptions) {
  for (const bool timestamps : {false, true}) {
    const unsigned bits = layout::option_bits(timestamps);
    const std::uint64_t options = layout::option_mask(timestamps);
    for (unsigned scale = 0; scale <= kNoScale; ++scale) {
      EXPECT_EQ(layout::covered(options, bits, scale) - options, std::uint64_t{scale} << bits);
    }
  }
}

}  // namespace
}  // namespace synproxy
