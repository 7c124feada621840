// SPDX-License-Identifier: BSD-3-Clause
// Checks what docs/cookie.md says about chance: guesses, flipped bits, and the look of an ISN.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "support/rounds.h"
#include "synproxy/cookie/cookie.h"
#include "unit/cookie/cookie_samples.h"

namespace synproxy {
namespace {

using test::ipv4_key;
using test::kKey;
using test::kOffered;
using test::mac_of;
using test::usual;

// The other bits of a cookie are tag or options. A flip in the tag is always noticed. A flip in the
// options moves the tag by a multiple of the secret multiplier, and goes unnoticed with the chance
// of a guess. (The choice of the key checks the parity bit.)
TEST(TimestampsCookie, ASingleBitFlipFailsButForOneInThousandsOfTheExactMss) {
  std::mt19937_64 random(3);
  unsigned unnoticed = 0;
  for (int round = 0; round < 20000; ++round) {
    const LayoutKey key{.k0 = 0, .k1 = 1, .multiplier = random() | 1};
    const std::uint64_t mac = random();
    const auto scale = static_cast<std::uint8_t>(random() & 15);
    const ClientOptions options{.mss = static_cast<std::uint16_t>(random()),
                                .wscale = scale,
                                .sack = (random() & 1) != 0,
                                .ecn = (random() & 1) != 0,
                                .timestamps = true,
                                .offered_scale = test::offered_for(scale)};
    const Cookie cookie = make_cookie(mac, key, 0, options);
    ClientOptions out;
    for (unsigned bit = 1; bit < 64; ++bit) {
      Cookie flipped = cookie;
      (bit < 32 ? flipped.isn : flipped.tsval) ^= 1U << (bit % 32);
      const bool passes = check_cookie(mac, key, flipped, true, kOffered, out);
      const bool of_tsval_options = bit >= 32 && bit < 32 + layout::kTsvalOptionBits;
      ASSERT_FALSE(passes && !of_tsval_options) << "round " << round << " bit " << bit;
      unnoticed += passes ? 1U : 0U;
    }
  }
  // The bound is 2^-14 of 20,000 times 17 flips: 21.
  EXPECT_LT(unnoticed, 45U);
}

TEST(PlainCookie, ASingleBitFlipOfTheTagFailsAndOneOfTheOptionsAlmostAlways) {
  std::mt19937_64 random(4);
  unsigned unnoticed = 0;
  for (int round = 0; round < test::rounds(200000); ++round) {
    const LayoutKey key{.k0 = 0, .k1 = 1, .multiplier = random() | 1};
    const std::uint64_t mac = random();
    const auto scale = static_cast<std::uint8_t>(random() & 15);
    const Cookie cookie = make_cookie(mac, key, 0,
                                      {.mss = 1460,
                                       .wscale = scale,
                                       .sack = (random() & 1) != 0,
                                       .ecn = false,
                                       .timestamps = false,
                                       .offered_scale = test::offered_for(scale)});
    ClientOptions out;
    for (unsigned bit = 8; bit < 32; ++bit) {
      ASSERT_FALSE(check_cookie(mac, key, {.isn = cookie.isn ^ 1U << bit, .tsval = 0}, false,
                                kOffered, out));
    }
    for (unsigned bit = 1; bit < 8; ++bit) {
      unnoticed +=
          check_cookie(mac, key, {.isn = cookie.isn ^ 1U << bit, .tsval = 0}, false, kOffered, out);
    }
  }
  // 1.4 million tries at 2^-24 or, for neighbouring sums, 2^-23: 0.17 expected.
  EXPECT_LE(unnoticed, 3U);
}

TEST(PlainCookie, AGuessFitsWithTheChanceOfItsTwentyFourBitTag) {
  // A unit test cannot try all 2^31 cookies of one parity, but it can try those with one value of
  // the masked bits: exactly one tag of 2^24 fits. So a guess with any masked value has one chance
  // in 2^24.
  ClientOptions out;
  for (const std::uint32_t masked : {0U, 1U, 77U, 127U}) {
    unsigned fits = 0;
    for (std::uint32_t tag = 0; tag < test::tries(1U << 24); ++tag) {
      fits += check_cookie(0x0123456789abcdefULL, kKey, {.isn = tag << 8 | masked << 1, .tsval = 0},
                           false, kOffered, out);
    }
    EXPECT_LE(fits, 1U) << masked;
    EXPECT_TRUE(fits == 1 || test::kSanitized) << masked;
  }
}

TEST(PlainCookie, ForgedAcksForRandomConnectionsPassAtTheStatedRate) {
  // Like a flood: new addresses each time, one guess for each. With 2^27 guesses at 2^-24, 8 are
  // expected; a Poisson variable of that mean is between 1 and 21 except once in 2,000 seeds.
  std::mt19937_64 random(5);
  std::uint64_t state = random();
  unsigned passed = 0;
  ClientOptions out;
  for (std::uint32_t i = 0; i < test::tries(1U << 27); ++i) {
    state += 0x9e3779b97f4a7c15ULL;
    const std::uint64_t z = (state ^ state >> 30) * 0xbf58476d1ce4e5b9ULL;
    const std::uint64_t mac = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    passed += check_cookie(mac ^ mac >> 31, kKey, {.isn = i * 2654435761U, .tsval = 0}, false,
                           kOffered, out);
  }
  EXPECT_TRUE(passed >= 1 || test::kSanitized);
  EXPECT_LE(passed, 21U);
}

TEST(TimestampsCookie, HundredMillionForgedAcksPassNone) {
  std::mt19937_64 random(6);
  std::uint64_t state = random();
  unsigned passed = 0;
  ClientOptions out;
  for (std::uint32_t i = 0; i < test::tries(100'000'000U); ++i) {  // 5e-5 expected at 2^-41
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    const std::uint64_t mac = state ^ state >> 29;
    passed += check_cookie(mac, kKey, {.isn = i * 2654435761U, .tsval = ~i}, true, kOffered, out);
  }
  EXPECT_EQ(passed, 0U);
}

// RFC 6528: nobody may predict the ISN of somebody else's connection. Here all inputs that a client
// varies in practice count up, with the same options each time.
TEST(Cookie, IsnAndTsvalLookRandomWhileInputsCountUp) {
  constexpr unsigned kSamples = 1U << 16;
  for (const bool timestamps : {false, true}) {
    std::array<unsigned, 64> ones{};
    std::array<unsigned, 64> changes{};
    std::vector<std::uint32_t> isns;
    std::uint64_t last = 0;
    for (unsigned i = 0; i < kSamples; ++i) {
      FlowKey flow = ipv4_key();
      flow.client_port = static_cast<std::uint16_t>(1024 + i);
      const Cookie cookie = make_cookie(mac_of(kKey, flow, 1000 + i), kKey, 0, usual(timestamps));
      const std::uint64_t bits = std::uint64_t{cookie.tsval} << 32 | cookie.isn;
      for (unsigned bit = 0; bit < 64; ++bit) {
        ones[bit] += static_cast<unsigned>(bits >> bit & 1);
        changes[bit] += static_cast<unsigned>((bits ^ last) >> bit & 1);
      }
      last = bits;
      isns.push_back(cookie.isn);
    }
    const double sigma = std::sqrt(kSamples) / 2;
    for (unsigned bit = 1; bit < (timestamps ? 64U : 32U); ++bit) {  // bit 0 is the parity
      EXPECT_NEAR(ones[bit], kSamples / 2.0, 5 * sigma) << "bit " << bit;
      EXPECT_NEAR(changes[bit], kSamples / 2.0, 5 * sigma) << "bit " << bit;
    }
    std::sort(isns.begin(), isns.end());
    const auto distinct = std::unique(isns.begin(), isns.end()) - isns.begin();
    EXPECT_GE(distinct, kSamples - 12) << "one collision is expected in 2^31";
  }
}

}  // namespace
}  // namespace synproxy
