// SPDX-License-Identifier: BSD-3-Clause
#include "histogram.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace synproxy::generator {
namespace {

TEST(WireHistogram, SmallValuesAreExact) {
  Histogram h;
  for (std::uint64_t v = 0; v < 100; ++v) h.add(v);
  EXPECT_EQ(h.percentile(0), 0);
  EXPECT_EQ(h.percentile(0.5), 50);
  EXPECT_EQ(h.percentile(0.99), 99);
  EXPECT_EQ(h.percentile(1), 99);
}

TEST(WireHistogram, EmptyHasNoPercentile) { EXPECT_EQ(Histogram().percentile(0.5), 0); }

TEST(WireHistogram, PercentilesOfAnySizeAreWithinASixtyFourth) {
  std::mt19937_64 random(1);
  Histogram h;
  std::vector<std::uint64_t> values;
  for (int i = 0; i < 100'000; ++i) {
    values.push_back(random() >> (random() % 64));
    h.add(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double p : {0.01, 0.1, 0.5, 0.9, 0.99, 0.999}) {
    const auto exact = static_cast<double>(
        values[static_cast<std::size_t>(p * static_cast<double>(values.size()))]);
    EXPECT_NEAR(h.percentile(p), exact, exact / 64) << p;
  }
}

TEST(WireHistogram, SumOfTwoHasTheValuesOfBoth) {
  Histogram low;
  Histogram high;
  for (int i = 0; i < 3; ++i) low.add(5);
  high.add(100);
  low.add(high);
  EXPECT_EQ(low.count(), 4U);
  EXPECT_EQ(low.percentile(0.7), 5);
  EXPECT_EQ(low.percentile(0.8), 100);
}

}  // namespace
}  // namespace synproxy::generator
