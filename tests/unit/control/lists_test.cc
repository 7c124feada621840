// SPDX-License-Identifier: BSD-3-Clause
#include "control/lists.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "base/errors.h"

namespace synproxy::control {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Lists : public testing::Test {
 protected:
  Lists()
      : directory_(std::filesystem::temp_directory_path() /
                   ("synproxy-lists-test-" + std::to_string(::getpid()))) {
    std::filesystem::create_directory(directory_);
  }
  ~Lists() override { std::filesystem::remove_all(directory_); }

  std::string file(const std::string& name, const std::string& text) const {
    const std::string path = directory_ / name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  static std::unique_ptr<const SourceLists> denying(const std::string& path) {
    Config config;
    config.lists.deny = {path};
    return load_lists(config);
  }
  static std::string refusal(const std::string& path) {
    try {
      (void)denying(path);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "accepted";
  }
  static bool has(const PrefixSet& set, const std::string& text) {
    std::array<std::uint8_t, 16> address{};
    const bool ipv6 = text.find(':') != std::string::npos;
    EXPECT_EQ(::inet_pton(ipv6 ? AF_INET6 : AF_INET, text.c_str(), address.data()), 1);
    return set.contains(address.data(), ipv6);
  }

  std::filesystem::path directory_;
};

TEST_F(Lists, HoldWhatTheirLinesSay) {
  const auto lists = denying(file("deny",
                                  "# a comment\n"
                                  "\n"
                                  "198.51.100.7\n"
                                  "  203.0.113.0/24\t; SBL1234\r\n"
                                  "2001:db8::/32 # the whole of it\n"
                                  ";another\n"
                                  "2001:db9::1"));
  EXPECT_EQ(lists->deny_count, 4U);
  for (const char* in : {"198.51.100.7", "203.0.113.255", "2001:db8::5", "2001:db9::1"}) {
    EXPECT_TRUE(has(lists->denied, in)) << in;
  }
  EXPECT_FALSE(has(lists->denied, "198.51.100.8"));
  EXPECT_FALSE(has(lists->denied, "2001:db9::2"));
  EXPECT_TRUE(lists->allowed == PrefixSet());
}

TEST_F(Lists, SeveralFilesAreOneList) {
  Config config;
  config.lists.deny = {file("a", "192.0.2.0/25\n"), file("b", "192.0.2.128/25\n")};
  config.lists.allow = {file("c", "192.0.2.9\n"), file("d", "")};
  config.lists.bogons = true;
  const auto lists = load_lists(config);
  EXPECT_TRUE(has(lists->denied, "192.0.2.1"));
  EXPECT_TRUE(has(lists->denied, "192.0.2.200"));
  EXPECT_FALSE(has(lists->denied, "192.0.2.9"));
  EXPECT_TRUE(has(lists->allowed, "192.0.2.9"));
  EXPECT_TRUE(has(lists->bogons, "10.0.0.1"));
  EXPECT_TRUE(denying(file("a", ""))->denied == PrefixSet());
}

TEST_F(Lists, AWrongLineIsNamed) {
  const auto why = [&](const std::string& text) { return refusal(file("deny", text)); };
  const std::string begin = "--deny-file " + (directory_ / "deny").string();
  EXPECT_THAT(
      why("1.2.3.4\n# x\n10.1.2.3/8\n"),
      StartsWith(begin + ":3: 10.1.2.3/8: has bits set after the prefix; write 10.0.0.0/8"));
  EXPECT_THAT(why("1.2.3.4 5.6.7.8\n"),
              StartsWith(begin + ":1: 1.2.3.4 5.6.7.8: is more than one"));
  EXPECT_THAT(why("\n\nexample.org"), StartsWith(begin + ":3: example.org: "));
  EXPECT_THAT(why("2001:db8::/129\n"), HasSubstr(":1: 2001:db8::/129: "));
  EXPECT_THAT(why("1.2.3.4:80\n"), HasSubstr("has a port"));
  const std::string binary = why(std::string("\x7f"
                                             "ELF\0\x1b[2J",
                                             9) +
                                 std::string(1000, 'x'));
  EXPECT_THAT(binary, HasSubstr(":1: ?ELF??[2J"));
  EXPECT_LT(binary.size(), 1400U);
  for (const char c : binary) EXPECT_TRUE(c >= ' ' && c <= '~');
}

// Prints how long it takes, in time of the CPU.
TEST_F(Lists, AMillionLinesAreReadInSeconds) {
  std::string text;
  std::uint32_t x = 1;
  for (unsigned i = 0; i < 1'000'000; ++i) {
    x = x * 1664525 + 1013904223;
    for (int shift = 24; shift >= 0; shift -= 8) {
      text += std::to_string(x >> shift & 255) + (shift != 0 ? "." : "\n");
    }
  }
  const std::string path = file("deny", text);
  const std::clock_t begin = std::clock();
  const auto lists = denying(path);
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  std::printf("a million lines: %.2f s\n", seconds);
  EXPECT_EQ(lists->deny_count, 1'000'000U);
  EXPECT_LT(seconds, 10) << "it takes 0.3 s, sanitized some 3 s";
}

TEST_F(Lists, AFileThatCannotBeReadIsNamed) {
  EXPECT_THAT(
      refusal(directory_ / "absent"),
      testing::AllOf(StartsWith("--deny-file "), HasSubstr("absent: cannot be read: No such")));
  EXPECT_THAT(refusal(directory_), HasSubstr("is a directory"));
}

TEST_F(Lists, ChangesNameTheListAndItsSize) {
  const Prefix a = parse_prefix("192.0.2.1");
  const Prefix b = parse_prefix("192.0.2.2");
  const std::vector<Prefix> none;
  const SourceLists one = make_source_lists(none, std::vector{a}, false);
  const auto changes = [&](const SourceLists& next) { return list_changes(one, next); };
  EXPECT_THAT(changes(one), testing::IsEmpty());
  EXPECT_THAT(changes(make_source_lists(none, std::vector{b}, false)),
              testing::ElementsAre("deny-file of 1 other prefixes"));
  EXPECT_THAT(changes(make_source_lists(none, std::vector{a, b}, true)),
              testing::ElementsAre("deny-file of 2 prefixes, before 1"));
  EXPECT_THAT(changes(make_source_lists(std::vector{a}, std::vector{a}, false)),
              testing::ElementsAre("allow-file of 1 prefixes, before 0"));
}

TEST_F(Lists, AServiceMayHaveItsOwnAndSeveralTheSame) {
  Config config;
  config.lists.deny = {file("all", "192.0.2.1\n")};
  const std::string own = file("own", "192.0.2.2\n");
  for (const char* name : {"web", "dns", "ssh"}) {
    config.services.push_back({.name = name, .tuning = {}, .lists = config.lists});
  }
  config.services[0].lists.deny = {own};
  config.services[2].lists.deny = {own};
  const auto lists = load_lists(config);
  EXPECT_EQ(lists->own.size(), 1U);
  EXPECT_TRUE(has(lists->of(0).denied, "192.0.2.1"));
  EXPECT_TRUE(has(lists->of(2).denied, "192.0.2.1"));
  for (const NamedServiceId service : {NamedServiceId{1}, NamedServiceId{3}}) {
    EXPECT_TRUE(has(lists->of(service).denied, "192.0.2.2"));
    EXPECT_FALSE(has(lists->of(service).denied, "192.0.2.1"));
  }
  std::ofstream(own) << "192.0.2.3\n192.0.2.4\n";
  EXPECT_THAT(list_changes(*lists, *load_lists(config), config.services),
              testing::ElementsAre("web.deny-file of 2 prefixes, before 1",
                                   "ssh.deny-file of 2 prefixes, before 1"));
  std::ofstream(own) << "192.0.2.400\n";
  try {
    (void)load_lists(config);
    ADD_FAILURE() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), StartsWith("web.deny-file " + own + ":1: 192.0.2.400: "));
  }
}

}  // namespace
}  // namespace synproxy::control
