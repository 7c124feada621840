// SPDX-License-Identifier: BSD-3-Clause
// What `synproxy capture` asks for, and the file that it writes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "control/capture_filter_text.h"
#include "control/pcapng.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;
using testing::HasSubstr;

Json request(const Words& words) {
  return capture_request(read_command_line(*find_command("capture"), words));
}

TEST(CaptureRequest, SaysWhatTheFlagsMean) {
  EXPECT_EQ(request({}), (Json{{"command", "capture"}}));
  EXPECT_EQ(request({"--src", "198.51.100.0/24", "--service=[2001:db8::1]:443", "--snaplen", "14",
                     "--drop-reason", "bad_checksum", "--drop-reason=land"}),
            (Json{{"command", "capture"},
                  {"client", "198.51.100.0/24"},
                  {"server", "[2001:db8::1]:443"},
                  {"reasons", {"bad_checksum", "land"}},
                  {"snaplen", 14}}));
  EXPECT_EQ(request({"--flow", "198.51.100.7:40000-203.0.113.10:80"}),
            (Json{{"command", "capture"},
                  {"client", "198.51.100.7:40000"},
                  {"server", "203.0.113.10:80"},
                  {"either_way", true}}));
  EXPECT_EQ(request({"--service", "web"}), (Json{{"command", "capture"}, {"service", "web"}}));
  EXPECT_EQ(request({"--flow=[2001:db8:1::7]:4-[2001:db8::1]:80"}).at("client"),
            "[2001:db8:1::7]:4");
}

TEST(CaptureRequest, WhatIsWrongIsToldInOneLine) {
  struct Row {
    Words words;
    const char* said;
  };
  const Row rows[] = {
      {{"--src", "198.51.100.7:80"}, "--src 198.51.100.7:80: has a port"},
      {{"--src", "198.51.100.7/24"}, "write 198.51.100.0/24"},
      {{"--src", "web"}, "'web' is not an IPv4 or IPv6 address"},
      {{"--service", "203.0.113.10:0"}, "--service 203.0.113.10:0: port 0"},
      {{"--service", "9web"}, "'9web' is not an IPv4 or IPv6 address"},
      {{"--flow", "198.51.100.7:40000"}, "no '-' between"},
      {{"--flow", "198.51.100.7-203.0.113.10"}, "is not one address with one port"},
      {{"--flow", "198.51.100.0/24:1-203.0.113.10:80"}, "is not one address with one port"},
      {{"--flow", "198.51.100.7:1-203.0.113.10:80-81"}, "is not one address with one port"},
      {{"--flow", "198.51.100.7:1-[2001:db8::1]:80"}, "one end of IPv4 and one of IPv6"},
      {{"--flow", "198.51.100.7:1-203.0.113.10:80", "--src", "198.51.100.7"}, "--flow: says both"},
      {{"--flow", "1.2.3.4:1-1.2.3.5:2", "--service", "1.2.3.4"}, "--flow: says both ends"},
      {{"--drop-reason", "bad_luck"}, "--drop-reason bad_luck: no packet is dropped for that"},
      {{"--drop-reason", "translated"}, "--drop-reason translated: is counted, but"},
      {{"--snaplen", "13"}, "--snaplen 13: "},
      {{"--snaplen", "65536"}, "--snaplen 65536: "},
      {{"--snaplen", "-1"}, "--snaplen -1: "},
  };
  for (const Row& row : rows) {
    try {
      static_cast<void>(request(row.words));
      ADD_FAILURE() << row.words[1];
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr(row.said));
      EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n")));
    }
  }
}

TEST(CaptureRequest, HelpNamesAllReasonsToDrop) {
  EXPECT_THAT(drop_reasons(), HasSubstr("  bad_checksum  "));
  EXPECT_THAT(drop_reasons(), HasSubstr("  icmp_invalid"));
  EXPECT_THAT(drop_reasons(), testing::Not(HasSubstr("translated")));
}

// Each block says its length twice, and all are multiples of four.
TEST(Pcapng, BlocksHaveTheirLengthAtBothEnds) {
  const std::vector<std::uint8_t> frame(61, 0xaa);
  std::string file = pcapng::section("x") + pcapng::interface("eth1", "of clients", 96);
  pcapng::append(file, {.interface = 1,
                        .unix_ns = (7ULL << 32) + 9,
                        .length = 1500,
                        .bytes = frame,
                        .comment = "verdict=drop",
                        .outbound = true});
  file += pcapng::statistics(0, 5, 77);
  const auto word = [&](std::size_t at) {
    std::uint32_t w = 0;
    std::memcpy(&w, file.data() + at, sizeof w);
    return w;
  };
  std::vector<std::uint32_t> types;
  for (std::size_t at = 0; at < file.size();) {
    types.push_back(word(at));
    const std::uint32_t length = word(at + 4);
    ASSERT_EQ(length % 4, 0U);
    ASSERT_LE(at + length, file.size());
    ASSERT_EQ(word(at + length - 4), length);
    if (types.back() == 6) {
      EXPECT_EQ(word(at + 8), 1U);
      EXPECT_EQ(word(at + 12), 7U);
      EXPECT_EQ(word(at + 16), 9U);
      EXPECT_EQ(word(at + 20), 61U);
      EXPECT_EQ(word(at + 24), 1500U);
      EXPECT_EQ(word(at + 28 + 64), 1U | 12U << 16) << "a comment of 12 bytes";
    }
    at += length;
  }
  EXPECT_EQ(types, (std::vector<std::uint32_t>{0x0A0D0D0A, 1, 6, 5}));
}

}  // namespace
}  // namespace synproxy::control
