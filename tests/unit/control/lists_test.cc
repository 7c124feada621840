// SPDX-License-Identifier: BSD-3-Clause
#include "control/lists.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

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
    config.deny_files = {path};
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
  config.deny_files = {file("a", "192.0.2.0/25\n"), file("b", "192.0.2.128/25\n")};
  config.allow_files = {file("c", "192.0.2.9\n"), file("d", "")};
  config.bogons = true;
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

}  // namespace
}  // namespace synproxy::control
