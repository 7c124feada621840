// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/tcp_options.h"

#include <gtest/gtest.h>

#include <random>
#include <tuple>
#include <vector>

#include "core/wire/option_walks.h"
#include "support/exact_buffer.h"
#include "support/packet_builder.h"
#include "support/rounds.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::ExactBuffer;
using Visit = std::tuple<unsigned, std::size_t, std::size_t>;

struct WalkRow {
  const char* sentence;
  Bytes options;
  bool whole;
  std::vector<Visit> visits;
};

TEST(WalkOptions, Rows) {
  const WalkRow rows[] = {
      {"nothing at all", {}, true, {}},
      {"one NOP", {1}, true, {}},
      {"only NOPs", {1, 1, 1, 1}, true, {}},
      {"END at once", {0, 2, 4, 5}, true, {}},
      {"one byte left, of a kind that needs a length", {3}, false, {}},
      {"one byte left after NOPs", {1, 1, 1, 8}, false, {}},
      {"one byte left after an option", {4, 2, 5}, false, {{4, 0, 2}}},
      {"last option ends exactly at the end", {1, 1, 4, 2}, true, {{4, 2, 2}}},
      {"last option one byte too long", {1, 1, 4, 3}, false, {}},
      {"length 0", {2, 0, 1, 1}, false, {}},
      {"length 1", {2, 1, 1, 1}, false, {}},
      {"length 255", {2, 255, 1, 1}, false, {}},
      {"length 2 of a kind that has more elsewhere", {2, 2, 1, 1}, true, {{2, 0, 2}}},
      {"what stands before the malformed one is visited", {2, 4, 5, 180, 3, 0}, false, {{2, 0, 4}}},
      {"END in the middle hides the rest", {2, 4, 5, 180, 0, 3, 0}, true, {{2, 0, 4}}},
      {"unknown kinds are walked over", {253, 6, 1, 2, 3, 4, 4, 2}, true, {{253, 0, 6}, {4, 6, 2}}},
      {"a kind of 0xff with length 2", {255, 2}, true, {{255, 0, 2}}},
  };
  for (const WalkRow& row : rows) {
    SCOPED_TRACE(row.sentence);
    const ExactBuffer buffer(row.options);
    std::vector<Visit> visits;
    const bool whole = walk_options(buffer.data(), buffer.size(),
                                    [&](std::uint8_t kind, std::size_t at, std::size_t length) {
                                      visits.emplace_back(kind, at, length);
                                      return true;
                                    });
    EXPECT_EQ(whole, row.whole);
    EXPECT_EQ(visits, row.visits);
  }
}

TEST(WalkOptions, StopsWhenTheVisitorHasEnough) {
  const ExactBuffer buffer(Bytes{4, 2, 3, 3, 7, 2, 0});
  int visits = 0;
  EXPECT_TRUE(walk_options(buffer.data(), buffer.size(), [&](auto, auto, auto) {
    ++visits;
    return false;
  })) << "what comes later, malformed here, is none of its business";
  EXPECT_EQ(visits, 1);
}

// Whatever the bytes are, the walk stays inside the buffer, goes in order, does not overlap, and
// ends.
TEST(WalkOptions, AMillionRandomListsStayInside) {
  std::mt19937_64 random(7);
  std::uint64_t visits = 0;
  for (int i = 0; i < test::rounds(1'000'000); ++i) {
    std::uint64_t r = random();
    const std::size_t size = r % 41;
    const std::unique_ptr<std::uint8_t[]> list(new std::uint8_t[size]);
    for (std::size_t k = 0; k < size; ++k) {
      if (k % 8 == 0) r = random();
      const auto v = static_cast<std::uint8_t>(r >> (k % 8 * 8));
      list[k] = (v & 0x80) != 0 ? static_cast<std::uint8_t>(v & 0x0f) : v;  // small ones mean more
    }
    std::size_t end = 0;
    walk_options(list.get(), size, [&](std::uint8_t kind, std::size_t at, std::size_t length) {
      EXPECT_GE(at, end);
      EXPECT_GE(length, 2U);
      end = at + length;
      EXPECT_LE(end, size);
      EXPECT_EQ(list[at], kind);
      EXPECT_GT(kind, kOptionNop);
      ++visits;
      return true;
    });
  }
  EXPECT_GT(visits, test::rounds(100'000U)) << "the lists were too random to mean anything";
}

// What TcpOptions says, in the words of walk_options().
TcpOptions parsed_one_by_one(const std::uint8_t* options, std::size_t size) {
  TcpOptions out;
  out.malformed =
      !walk_options(options, size, [&](std::uint8_t kind, std::size_t at, std::size_t length) {
        const std::uint8_t* value = options + at + 2;
        if (kind == kOptionMss && length == 4) out.mss = load_be<std::uint16_t>(value);
        if (kind == kOptionWindowScale && length == 3) {
          out.window_scale = *value < kMaxWindowScale ? *value : kMaxWindowScale;
        }
        if (kind == kOptionSackPermitted && length == 2) out.sack_permitted = true;
        if (kind == kOptionTimestamps && length == 10) {
          out.timestamps = true;
          out.tsval = load_be<std::uint32_t>(value);
          out.tsecr = load_be<std::uint32_t>(value + 4);
        }
        if (kind == kOptionMd5 || kind == kOptionAo) out.auth = true;
        return true;
      });
  return out;
}

struct ParseRow {
  const char* sentence;
  Bytes options;
  TcpOptions expected;
};

void expect_equal(const TcpOptions& a, const TcpOptions& b) {
  EXPECT_EQ(a.mss, b.mss);
  EXPECT_EQ(a.window_scale, b.window_scale);
  EXPECT_EQ(a.sack_permitted, b.sack_permitted);
  EXPECT_EQ(a.timestamps, b.timestamps);
  EXPECT_EQ(a.malformed, b.malformed);
  EXPECT_EQ(a.auth, b.auth);
  EXPECT_EQ(a.tsval, b.tsval);
  EXPECT_EQ(a.tsecr, b.tsecr);
}

// A list that is likely to be whole: kinds that matter, lengths that mostly fit, runs of NOPs.
Bytes likely_list(std::mt19937_64& random, std::size_t size) {
  constexpr std::uint8_t kKinds[] = {2, 3, 4, 5, 8, 19, 29, 30, 254};
  Bytes out;
  while (out.size() < size) {
    const std::uint64_t r = random();
    if (r % 5 == 0) {
      out.insert(out.end(), (r >> 8) % 12, kOptionNop);
      continue;
    }
    const std::uint8_t kind = kKinds[(r >> 16) % std::size(kKinds)];
    std::size_t length = kind == 2 ? 4U : kind == 3 ? 3U : kind == 8 ? 10U : 2U;
    if (r % 7 == 0) length = (r >> 24) % 12;
    out.push_back(kind);
    out.push_back(static_cast<std::uint8_t>(length));
    for (std::size_t i = 2; i < length; ++i) out.push_back(static_cast<std::uint8_t>(random()));
    if (r % 61 == 0) out.push_back(kOptionEnd);
  }
  out.resize(size);
  return out;
}

// By either walk (option_walks.h): of any size, whole or not, and without a byte behind the end.
TEST(ParseTcpOptions, FindsWhatAWalkFindsOptionByOption) {
  std::mt19937_64 random(11);
  for (int i = 0; i < test::rounds(300'000); ++i) {
    const ExactBuffer list(likely_list(random, random() % 61));
    const TcpOptions expected = parsed_one_by_one(list.data(), list.size());
    const TcpOptions found = parse_tcp_options(list.data(), list.size());
    expect_equal(found, expected);
    const Timestamps stamps = find_timestamps(list.data(), list.size());
    EXPECT_EQ(stamps.present, expected.timestamps);
    EXPECT_EQ(stamps.tsval, expected.tsval);
    EXPECT_EQ(stamps.tsecr, expected.tsecr);
    if (list.size() >= 2) expect_equal(detail::parse_by_steps(list.data(), list.size()), expected);
    EXPECT_EQ(detail::find_timestamps_by_steps(list.data(), list.size()) != list.size(),
              expected.timestamps);
    if (HasFailure())
      FAIL() << testing::PrintToString(Bytes(list.data(), list.data() + list.size()));
  }
}

// Side by side, with another list in each place.
TEST(ParseTcpOptions, FourAtOnceSayWhatEachSays) {
  std::mt19937_64 random(12);
  for (int i = 0; i < test::rounds(50'000); ++i) {
    std::array<Bytes, 4> lists;
    std::array<OptionText, 4> texts;
    for (std::size_t k = 0; k < lists.size(); ++k) {
      lists[k] = likely_list(random, random() % 41);
      const std::size_t size = lists[k].size();
      lists[k].resize(std::max<std::size_t>(size, 2), 2);
      texts[k] = {lists[k].data(), size};
    }
    std::array<TcpOptions, 4> found;
    parse_tcp_options(texts, found);
    for (std::size_t k = 0; k < lists.size(); ++k) {
      expect_equal(found[k], parsed_one_by_one(texts[k].at, texts[k].size));
    }
    if (HasFailure()) FAIL() << "round " << i;
  }
}

TEST(ParseTcpOptions, Rows) {
  const Bytes linux_syn{2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 0, 1, 3, 3, 7};
  const ParseRow rows[] = {
      {"nothing given", {}, {}},
      {"the SYN of Linux",
       linux_syn,
       {.mss = 1460, .window_scale = 7, .sack_permitted = true, .timestamps = true, .tsval = 7}},
      {"the SYN of Windows",
       {2, 4, 5, 180, 1, 3, 3, 8, 1, 1, 4, 2},
       {.mss = 1460, .window_scale = 8, .sack_permitted = true}},
      {"a scale of 0 is given, and not the same as none",
       {3, 3, 0, 1},
       {.mss = 0, .window_scale = 0}},
      {"a scale above 14 counts as 14", {3, 3, 15, 1}, {.window_scale = 14}},
      {"a scale of 255 counts as 14", {3, 3, 255, 1}, {.window_scale = 14}},
      {"MSS of a wrong length is ignored", {2, 3, 5, 1}, {}},
      {"MSS too long is ignored", {2, 5, 5, 180, 9, 1, 1, 1}, {}},
      {"window scale of a wrong length is ignored", {3, 2, 3, 4, 9, 9, 1, 1}, {}},
      {"SACK-permitted of a wrong length is ignored", {4, 3, 0, 1}, {}},
      {"timestamps of a wrong length are ignored", {8, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {}},
      {"the last MSS counts", {2, 4, 1, 0, 2, 4, 2, 0}, {.mss = 0x200}},
      {"what stands before a malformed option counts",
       {2, 4, 5, 180, 3, 1, 7, 0},
       {.mss = 1460, .malformed = true}},
      {"what stands after END does not", {0, 2, 4, 5, 180, 1, 1, 1}, {}},
      {"unaligned timestamps at the very end",
       {8, 10, 1, 2, 3, 4, 5, 6, 7, 8},
       {.timestamps = true, .tsval = 0x01020304, .tsecr = 0x05060708}},
      {"MD5 is seen, of whatever length", {19, 2, 1, 1}, {.auth = true}},
      {"AO is seen among others", {2, 4, 5, 180, 29, 4, 1, 1}, {.mss = 1460, .auth = true}},
      {"timestamps cut by one byte", {8, 10, 1, 2, 3, 4, 5, 6, 7}, {.malformed = true}},
  };
  for (const ParseRow& row : rows) {
    SCOPED_TRACE(row.sentence);
    const ExactBuffer buffer(row.options);
    expect_equal(parse_tcp_options(buffer.data(), buffer.size()), row.expected);
  }
}

TEST(ParseTcpOptions, CommonLayoutMeansTheSameAsTheWholeWalk) {
  const Bytes common{2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7};
  for (std::size_t at = 0; at < common.size(); ++at) {
    for (unsigned value = 0; value < 256; ++value) {
      Bytes list = common;
      list[at] = static_cast<std::uint8_t>(value);
      const ExactBuffer buffer(list);
      SCOPED_TRACE(::testing::Message() << "byte " << at << " is " << value);
      expect_equal(parse_tcp_options(buffer.data(), buffer.size()),
                   detail::parse_any_tcp_options(buffer.data(), buffer.size()));
    }
  }
}

TEST(ParseTcpOptions, TruncatedAtEveryLengthReadsNothingBeyond) {
  const Bytes whole{2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7};
  for (std::size_t n = 0; n <= whole.size(); ++n) {
    const ExactBuffer buffer{std::span(whole).first(n)};
    const TcpOptions got = parse_tcp_options(buffer.data(), n);
    EXPECT_EQ(got.mss, n >= 4 ? 1460 : 0) << n;
    EXPECT_EQ(got.sack_permitted, n >= 6) << n;
    EXPECT_EQ(got.timestamps, n >= 16) << n;
    EXPECT_EQ(got.window_scale, n >= 20 ? 7 : 15) << n;
    const bool cut = n != 0 && n != 4 && n != 6 && n != 16 && n != 17 && n != 20;
    EXPECT_EQ(got.malformed, cut) << n;
    const Timestamps alone = find_timestamps(buffer.data(), n);
    EXPECT_EQ(alone.present, got.timestamps) << n;
  }
}

TEST(FindTimestamps, AgreesWithTheWholeParserWhereverTheOptionStands) {
  for (std::size_t before = 0; before <= 30; ++before) {
    for (std::size_t after = 0; before + after <= 30; ++after) {
      Bytes list(before, 1);
      for (const int b : {8, 10, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed, 0xf0, 0x0d}) {
        list.push_back(static_cast<std::uint8_t>(b));
      }
      list.insert(list.end(), after, std::uint8_t{1});
      const ExactBuffer buffer(list);
      const Timestamps ts = find_timestamps(buffer.data(), buffer.size());
      EXPECT_TRUE(ts.present) << before << ' ' << after;
      EXPECT_EQ(ts.tsval, 0xdeadbeefU);
      EXPECT_EQ(ts.tsecr, 0xfeedf00dU);
    }
  }
  EXPECT_FALSE(find_timestamps(nullptr, 0).present);
}

TEST(FindTimestamps, LastOfSeveralCountsInTheCommonLayoutToo) {
  const ExactBuffer buffer(Bytes{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2,  //
                                 1, 1, 8, 10, 0, 0, 0, 3, 0, 0, 0, 4});
  const Timestamps ts = find_timestamps(buffer.data(), buffer.size());
  EXPECT_EQ(ts.tsval, 3U);
  EXPECT_EQ(ts.tsecr, 4U);
  EXPECT_EQ(parse_tcp_options(buffer.data(), buffer.size()).tsval, 3U);
}

}  // namespace
}  // namespace synproxy
