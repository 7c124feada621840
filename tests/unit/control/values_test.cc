// SPDX-License-Identifier: BSD-3-Clause
#include "control/values.h"

#include <gtest/gtest.h>

#include <array>

#include <functional>
#include <stdexcept>

namespace synproxy::control {
namespace {

std::string refusal(const std::function<void()>& parse) {
  try {
    parse();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

struct Refused {
  const char* text;
  const char* because;
};

TEST(Values, IntegerTakesItsWholeRangeAndNothingElse) {
  EXPECT_EQ(parse_integer("0", 0, 14), 0U);
  EXPECT_EQ(parse_integer("14", 0, 14), 14U);
  EXPECT_EQ(parse_integer("007", 0, 14), 7U);
  EXPECT_EQ(parse_integer("18446744073709551615", 0, ~0ULL), ~0ULL);
  const Refused rows[] = {
      {"", "is empty"},
      {"-1", "is negative"},
      {"-", "is not a number"},
      {"+1", "is not a number"},
      {" 1", "is not a number"},
      {"seven", "is not a number"},
      {"1 ", "has ' ' after the number"},
      {"7x", "has 'x' after the number"},
      {"1.5", "has '.5' after the number"},
      {"0x7", "has 'x7' after the number"},
      {"0", "is too small"},
      {"15", "is too large"},
      {"18446744073709551616", "is too large"},
      {"99999999999999999999999999", "is too large"},
  };
  for (const Refused& row : rows) {
    EXPECT_EQ(refusal([&] { (void)parse_integer(row.text, 1, 14); }), row.because) << row.text;
  }
}

TEST(Values, SizeKnowsPowersOf1024) {
  struct Row {
    const char* text;
    std::uint64_t bytes;
  };
  const Row rows[] = {{"0", 0},     {"512", 512},         {"4K", 4096},
                      {"4k", 4096}, {"64M", 64ULL << 20}, {"2g", 2ULL << 30},
                      {"0G", 0},    {"64G", 64ULL << 30}};
  for (const Row& row : rows) {
    EXPECT_EQ(parse_size(row.text, 64ULL << 30), row.bytes) << row.text;
  }
  const Refused refused[] = {
      {"", "is empty"},
      {"K", "is not a number"},
      {"-4K", "is negative"},
      {"4KB", "has 'KB' after the number"},
      {"4T", "has 'T' after the number"},
      {"1.5G", "has '.5' after the number"},
      {"65G", "is too large"},
      {"18446744073709551615G", "is too large"},
      {"17179869185G", "is too large"},  // 2^64 + 2^30, which 64 bits would show as 1G
  };
  for (const Refused& row : refused) {
    EXPECT_EQ(refusal([&] { (void)parse_size(row.text, 64ULL << 30); }), row.because) << row.text;
  }
}

TEST(Values, SecondsTakeMilliseconds) {
  EXPECT_EQ(parse_seconds("10", 200, 600'000), 10'000U);
  EXPECT_EQ(parse_seconds("0.2", 200, 600'000), 200U);
  EXPECT_EQ(parse_seconds("0.25", 200, 600'000), 250U);
  EXPECT_EQ(parse_seconds("1.005", 200, 600'000), 1005U);
  EXPECT_EQ(parse_seconds("600", 200, 600'000), 600'000U);
  EXPECT_EQ(parse_seconds("600.000", 200, 600'000), 600'000U);
  const Refused rows[] = {
      {"", "is empty"},
      {".5", "is empty"},
      {"1.", "is not a number of seconds"},
      {"1.-5", "is not a number of seconds"},
      {"1.2.3", "is not a number of seconds"},
      {"1.0005", "is finer than a millisecond"},
      {"-1", "is negative"},
      {"10s", "has 's' after the number"},
      {"1e3", "has 'e3' after the number"},
      {"0.199", "is too small"},
      {"600.001", "is too large"},
      {"4294967.296", "is too large"},  // 2^32 milliseconds
      {"18446744073709551", "is too large"},
  };
  for (const Refused& row : rows) {
    EXPECT_EQ(refusal([&] { (void)parse_seconds(row.text, 200, 600'000); }), row.because)
        << row.text;
  }
}

TEST(Values, AWordIsItsPlaceInTheList) {
  constexpr std::array<std::string_view, 3> kWords{"off", "on", "auto"};
  const auto place = [&](std::string_view text) { return parse_word(text, kWords, "is no word"); };
  EXPECT_EQ(place("off"), 0U);
  EXPECT_EQ(place("on"), 1U);
  EXPECT_EQ(place("auto"), 2U);
  for (const char* text : {"On", "yes", "1", "on "}) {
    EXPECT_EQ(refusal([&] { (void)place(text); }), "is no word") << text;
  }
  EXPECT_EQ(refusal([&] { (void)place(""); }), "is empty");
}

TEST(Values, TextIsAsAUserWouldTypeIt) {
  EXPECT_EQ(size_text(0), "0");
  EXPECT_EQ(size_text(14600), "14600");
  EXPECT_EQ(size_text(1024), "1K");
  EXPECT_EQ(size_text(64ULL << 20), "64M");
  EXPECT_EQ(size_text(3ULL << 30), "3G");
  EXPECT_EQ(seconds_text(10'000), "10");
  EXPECT_EQ(seconds_text(200), "0.2");
  EXPECT_EQ(seconds_text(1'005), "1.005");
  EXPECT_EQ(cpus_text({3, 0, 1}), "3,0,1");
}

TEST(Values, CpuListKeepsItsOrder) {
  EXPECT_EQ(parse_cpus("0"), (std::vector<unsigned>{0}));
  EXPECT_EQ(parse_cpus("0-1,3"), (std::vector<unsigned>{0, 1, 3}));
  EXPECT_EQ(parse_cpus("3,0-1"), (std::vector<unsigned>{3, 0, 1}));
  EXPECT_EQ(parse_cpus("5-5"), (std::vector<unsigned>{5}));
  EXPECT_EQ(parse_cpus("1023"), (std::vector<unsigned>{1023}));
  const Refused rows[] = {
      {"", "is empty"},
      {",", "is empty"},
      {"0,", "is empty"},
      {",0", "is empty"},
      {"0,,1", "is empty"},
      {"1-", "is empty"},
      {"-1", "is negative"},
      {"0--1", "is negative"},
      {"a", "is not a number"},
      {"0-1-2", "has '-2' after the number"},
      {"0;1", "has ';1' after the number"},
      {"3-1", "has the range '3-1' reversed"},
      {"0,0", "names CPU 0 twice"},
      {"0-3,2", "names CPU 2 twice"},
      {"1024", "is too large"},
      {"0-4294967295", "is too large"},
  };
  for (const Refused& row : rows) {
    EXPECT_EQ(refusal([&] { (void)parse_cpus(row.text); }), row.because) << row.text;
  }
}

TEST(Values, NameIsSafeAsADirectory) {
  for (const char* text : {"synproxy", "a", "web-1.example_2", "0"}) {
    EXPECT_EQ(parse_name(text), text);
  }
  EXPECT_EQ(parse_name(std::string(48, 'x')).size(), 48U);
  EXPECT_EQ(refusal([] { (void)parse_name(std::string(49, 'x')); }), "is too long");
  EXPECT_EQ(refusal([] { (void)parse_name(""); }), "is empty");
  for (const char* text : {".", "..", ".x", "-x", "a/b", "../etc", "a b", "a\n", "\xc3\xa9"}) {
    EXPECT_EQ(refusal([&] { (void)parse_name(text); }), "cannot name a directory safely") << text;
  }
}

}  // namespace
}  // namespace synproxy::control
