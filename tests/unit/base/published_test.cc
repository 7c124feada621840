// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/base/published.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "synproxy/base/config.h"

namespace synproxy {
namespace {

// Every word says the same: a mixture shows.
struct Wide {
  std::array<std::uint64_t, 9> words{};
  std::uint8_t last = 0;

  [[nodiscard]] static Wide of(std::uint64_t value) {
    Wide w;
    w.words.fill(value);
    w.last = static_cast<std::uint8_t>(value);
    return w;
  }
  [[nodiscard]] bool whole() const {
    for (const std::uint64_t word : words) {
      if (word != words[0]) return false;
    }
    return last == static_cast<std::uint8_t>(words[0]);
  }
};

TEST(Published, TheFirstValueIsNews) {
  const Published<Wide> published(Wide::of(7));
  Published<Wide>::Version seen = Published<Wide>::kNone;
  Wide got;
  ASSERT_TRUE(published.news(seen, got));
  EXPECT_EQ(got.words[8], 7U);
  EXPECT_EQ(got.last, 7U);
  EXPECT_FALSE(published.news(seen, got)) << "once";
}

TEST(Published, TheVeryNextLookSeesWhatWasPublished) {
  Published<EngineTuning> published(EngineTuning{});
  Published<EngineTuning>::Version seen = Published<EngineTuning>::kNone;
  EngineTuning got;
  ASSERT_TRUE(published.news(seen, got));
  for (std::uint8_t scale = 0; scale < 15; ++scale) {
    EngineTuning next;
    next.offer.window_scale = scale;
    published.publish(next);
    ASSERT_TRUE(published.news(seen, got));
    EXPECT_EQ(got, next);
    EXPECT_FALSE(published.news(seen, got));
  }
}

TEST(Published, WhatIsMissedInBetweenIsNotMissed) {
  Published<Wide> published(Wide::of(1));
  Published<Wide>::Version seen = Published<Wide>::kNone;
  Wide got;
  ASSERT_TRUE(published.news(seen, got));
  published.publish(Wide::of(2));
  published.publish(Wide::of(3));
  ASSERT_TRUE(published.news(seen, got));
  EXPECT_EQ(got.words[0], 3U);
}

// Meant for ThreadSanitizer too.
TEST(Published, ReadersSeeWholeValuesInOrder) {
  constexpr std::uint64_t kLast = 200'000;
  Published<Wide> published(Wide::of(0));
  std::atomic<bool> mixed{false};
  std::vector<std::thread> readers;
  for (int r = 0; r < 3; ++r) {
    readers.emplace_back([&] {
      Published<Wide>::Version seen = Published<Wide>::kNone;
      Wide got;
      std::uint64_t last = 0;
      while (last != kLast) {
        if (!published.news(seen, got)) {
          std::this_thread::yield();
          continue;
        }
        if (!got.whole() || got.words[0] < last) mixed = true;
        last = got.words[0];
      }
    });
  }
  for (std::uint64_t value = 1; value <= kLast; ++value) published.publish(Wide::of(value));
  for (std::thread& reader : readers) reader.join();
  EXPECT_FALSE(mixed);
}

}  // namespace
}  // namespace synproxy
