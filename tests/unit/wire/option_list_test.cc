// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/option_list.h"

#include <gtest/gtest.h>

#include <vector>

#include "synproxy/wire/tcp_options.h"

namespace synproxy {
namespace {

// The bytes of a list whose values are all zero.
std::vector<std::uint8_t> bytes_of(const OptionList& list) {
  std::vector<std::uint8_t> out(list.bytes());
  for (std::size_t i = 0; i < list.count; ++i) {
    store_be(&out[4 * i], form_of(list.words[i]).fixed);
  }
  return out;
}

// What the proxy writes says what it was asked to say, to a reader that knows nothing of lists.
TEST(OptionList, WrittenOptionsSayTheirSet) {
  for (unsigned set = 0; set < 16; ++set) {
    const OptionList list = written_options(static_cast<OptionSet>(set));
    EXPECT_EQ(written_size(static_cast<OptionSet>(set)), list.bytes());
    EXPECT_LE(list.bytes(), kMaxOptionBytes);
    const auto bytes = bytes_of(list);
    const TcpOptions o = parse_tcp_options(bytes.data(), bytes.size());
    const bool timestamps = (set & kSaysTimestamps) != 0;
    const bool sack = (set & kSaysSack) != 0;
    const bool scale = (set & kSaysScale) != 0;
    EXPECT_EQ(o.timestamps, timestamps) << set;
    EXPECT_EQ(o.sack_permitted, sack) << set;
    EXPECT_EQ(o.window_scale != kNoScale, scale) << set;
    EXPECT_EQ(list.has_timestamps(), timestamps) << set;
    EXPECT_EQ(list.has_sack(), sack) << set;
    EXPECT_EQ(list.has_scale(), scale) << set;
    EXPECT_EQ(option_set((set & kSaysMss) != 0, timestamps, sack, scale), set);
  }
}

TEST(OptionList, AllFourAreWhatLinuxSends) {
  const OptionList written = written_options(kSaysAllFour);
  ASSERT_EQ(written.count, kAllFourOptions.count);
  for (std::size_t i = 0; i < written.count; ++i) {
    EXPECT_EQ(written.words[i], kAllFourOptions.words[i]) << i;
  }
}

TEST(OptionList, IsRecognisedWithAnyValuesAndNothingElse) {
  const auto list = bytes_of(kAllFourOptions);
  ASSERT_TRUE(is_list<kAllFourOptions>(list.data()));
  for (std::size_t bit = 0; bit < 8 * list.size(); ++bit) {
    auto other = list;
    other[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    const std::size_t at = bit / 8;
    const bool value = at == 2 || at == 3 || (at >= 8 && at < 16) || at == 19;
    EXPECT_EQ(is_list<kAllFourOptions>(other.data()), value) << bit;
  }
}

TEST(OptionList, ValuesAreReadWhereTheyStand) {
  auto list = bytes_of(kAllFourOptions);
  store_be<std::uint16_t>(&list[2], 1460);
  store_be<std::uint32_t>(&list[8], 0x01020304);
  store_be<std::uint32_t>(&list[12], 0x05060708);
  list[19] = 7;
  const auto* p = list.data();
  EXPECT_EQ((value_of<kAllFourOptions, OptionWord::kMss, std::uint16_t>(p)), 1460);
  EXPECT_EQ((value_of<kAllFourOptions, OptionWord::kTsval, std::uint32_t>(p)), 0x01020304U);
  EXPECT_EQ((value_of<kAllFourOptions, OptionWord::kTsecr, std::uint32_t>(p)), 0x05060708U);
  EXPECT_EQ((value_of<kAllFourOptions, OptionWord::kNopAndScale, std::uint8_t>(p)), 7);
}

TEST(OptionList, AWordThatIsNotThereIsAtTheEnd) {
  EXPECT_EQ(kTimestampsAlone.at(OptionWord::kMss), kTimestampsAlone.bytes());
  EXPECT_FALSE(kTimestampsAlone.has(OptionWord::kMss));
  EXPECT_EQ(OptionList{}.bytes(), 0U);
}

}  // namespace
}  // namespace synproxy
