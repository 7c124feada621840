// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/cookie/layout.h"

#include <gtest/gtest.h>

#include <vector>

#include "synproxy/cookie/cookie.h"

namespace synproxy {
namespace {

const std::vector<std::uint16_t> kSizes{1,    63,   64,   459,  460,  535,  536,  537,   1219,
                                        1220, 1400, 1439, 1440, 1459, 1460, 9000, 0xffff};

std::vector<ClientOptions> all_options(bool timestamps) {
  std::vector<ClientOptions> all;
  for (const std::uint16_t mss : kSizes) {
    for (std::uint8_t scale = 0; scale <= kNoScale; ++scale) {
      for (const bool sack : {false, true}) {
        for (const bool ecn : {false, true}) {
          if (ecn && !timestamps) continue;
          const ClientOptions o{
              .mss = mss, .wscale = scale, .sack = sack, .ecn = ecn, .timestamps = timestamps};
          if (fit_for_cookie(o) == o) all.push_back(o);
        }
      }
    }
  }
  return all;
}

// The largest of `classes` that is not above.
template <typename Classes>
std::uint16_t class_below(std::uint16_t mss, const Classes& classes) {
  std::uint16_t below = 0;
  for (const std::uint16_t size : classes) {
    if (size <= mss) below = size;
  }
  return below;
}

constexpr std::uint64_t kAllMask = (std::uint64_t{1} << layout::kAllOptionBits) - 1;

TEST(Layout, TimestampsGiveEverythingBackExactly) {
  for (const ClientOptions& o : all_options(true)) {
    const std::uint64_t bits = pack_timestamps(o);
    EXPECT_EQ(bits & ~kAllMask, 0U);
    EXPECT_EQ(unpack_timestamps(bits), o);
  }
}

TEST(Layout, PlainGivesBackTheLargestClassThatIsNotAbove) {
  for (const ClientOptions& o : all_options(false)) {
    const std::uint64_t bits = pack_in_isn(o);
    EXPECT_EQ(bits & ~layout::kIsnOptionMask, 0U);
    ClientOptions expected = o;
    expected.mss =
        is_low_mss(o.mss) ? class_below(o.mss, kLowMssClasses) : class_below(o.mss, kMssClasses);
    EXPECT_EQ(unpack_plain(bits), expected) << o.mss;
  }
}

TEST(Layout, StrippedGivesBackScaleAndSackAndAClassOfTheMss) {
  for (const ClientOptions& o : all_options(true)) {
    ClientOptions expected = o;
    expected.mss = is_low_mss(o.mss) ? kLowestMssClass : class_below(o.mss, kMssClasses);
    expected.ecn = false;
    expected.timestamps = false;
    EXPECT_EQ(unpack_stripped(pack_timestamps(o) & layout::kIsnOptionMask), expected) << o.mss;
  }
}

// Every value of the option bits may come from a forger.
TEST(Layout, EveryValueUnpacksToSomethingLawful) {
  for (std::uint64_t bits = 0; bits <= layout::kIsnOptionMask; ++bits) {
    for (const ClientOptions& o : {unpack_plain(bits), unpack_stripped(bits)}) {
      EXPECT_GE(o.mss, 1);
      EXPECT_LE(o.wscale, kNoScale);
    }
    const ClientOptions plain = unpack_plain(bits);
    EXPECT_EQ(fit_for_cookie(plain), plain);
    EXPECT_EQ(pack_in_isn(plain), bits);
  }
  for (std::uint64_t bits = 0; bits <= kAllMask; bits += 0xfff) {
    const ClientOptions o = unpack_timestamps(bits);
    // The class that stands in the ISN need not be that of the MSS; check_cookie() looks.
    EXPECT_EQ((pack_timestamps(o) ^ bits) >> layout::kMssClassBits, 0U);
  }
}

TEST(Layout, TheScaleThatTheTagCoversStandsAboveTheOptions) {
  for (unsigned scale = 0; scale <= kNoScale; ++scale) {
    EXPECT_EQ(layout::covered(layout::kIsnOptionMask, scale) - layout::kIsnOptionMask,
              std::uint64_t{scale} << layout::kIsnOptionBits);
  }
}

}  // namespace
}  // namespace synproxy
