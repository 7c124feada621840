// SPDX-License-Identifier: BSD-3-Clause
#include "control/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/errors.h"
#include "control/options.h"

namespace synproxy::control {
namespace {

std::vector<Setting> read(const std::string& text) {
  std::istringstream in(text);
  return read_config(in, "proxy.conf");
}

std::string refusal(const std::string& text) {
  try {
    (void)build_config(read(text));
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

class ConfigFile : public testing::Test {
 protected:
  ConfigFile()
      : path_(std::filesystem::temp_directory_path() /
              ("synproxy-settings-test-" + std::to_string(::getpid()))) {}
  ~ConfigFile() override { std::filesystem::remove_all(path_); }

  Config parse(const std::string& text, std::vector<std::string> words) {
    std::ofstream(path_) << text;
    words.insert(words.end(), {"--config", path_.string()});
    return parse_command_line(words).config;
  }

  std::filesystem::path path_;
};

constexpr const char* kWhole =
    "# the web server\n"
    "client-port = eth1\r\n"
    "\n"
    "  server-port=xdp:eth2   # towards it\n"
    "protect = 10.0.0.2:80\n"
    "protect = [2001:db8::10]:443\n"
    "mss = 1400\n"
    "sack-perm = off\n";

TEST_F(ConfigFile, GivesEveryFlag) {
  const Config c = parse(kWhole, {});
  EXPECT_EQ(c.client_port.text, "eth1");
  EXPECT_EQ(c.server_port.text, "xdp:eth2");
  EXPECT_EQ(c.protect.size(), 2U);
  EXPECT_EQ(c.engine.tuning.offer.mss, 1400);
  EXPECT_EQ(c.engine.tuning.offer.sack, Offer::kOff);
}

TEST_F(ConfigFile, YieldsToTheCommandLine) {
  const Config c = parse(kWhole, {"--mss", "536", "--sack-perm", "--protect", "10.0.0.9"});
  EXPECT_EQ(c.engine.tuning.offer.mss, 536);
  EXPECT_EQ(c.engine.tuning.offer.sack, Offer::kOn);
  ASSERT_EQ(c.protect.size(), 1U) << "typed rules hide those of the file";
  EXPECT_TRUE(c.protect[0].whole_address());
  EXPECT_EQ(c.client_port.text, "eth1");
}

TEST_F(ConfigFile, IsNamedWhenItCannotBeRead) {
  const std::vector<std::string> words = {"--config", path_.string()};
  try {
    (void)parse_command_line(words);
    ADD_FAILURE();
  } catch (const UsageError& error) {
    EXPECT_EQ(error.what(), "--config " + path_.string() +
                                ": cannot be opened: No such file or directory; name a readable "
                                "file of lines key = value");
  }
  std::filesystem::create_directory(path_);
  EXPECT_THAT([&] { (void)parse_command_line(words); },
              testing::ThrowsMessage<UsageError>(testing::HasSubstr("is a directory")));
}

TEST(Settings, BadLinesAreNamedWithFileAndLine) {
  struct Row {
    const char* text;
    const char* message;
  };
  const Row rows[] = {
      {"mss = 1460\nmmss = 3\n",
       "proxy.conf:2: unknown key 'mmss'; the keys are the flags without their dashes, see "
       "synproxy --help"},
      {"--mss = 3\n",
       "proxy.conf:1: unknown key '--mss'; the keys are the flags without their dashes, see "
       "synproxy --help"},
      {"config = other.conf\n",
       "proxy.conf:1: unknown key 'config'; the keys are the flags without their dashes, see "
       "synproxy --help"},
      {"help = on\n",
       "proxy.conf:1: unknown key 'help'; the keys are the flags without their dashes, see "
       "synproxy --help"},
      {"= 3\n",
       "proxy.conf:1: unknown key ''; the keys are the flags without their dashes, see synproxy "
       "--help"},
      {"\n\nsack-perm\n", "proxy.conf:3: 'sack-perm' is not a setting; write key = value"},
      {"[ports]\n", "proxy.conf:1: '[ports]' is not a setting; write key = value"},
      {"mss = 70000\n", "proxy.conf:1: mss 70000: is too large; give 88 to 65535 bytes or auto"},
      {"mss =\n", "proxy.conf:1: mss '': is empty; give 88 to 65535 bytes or auto"},
      {"mss = 1\nwscale = 7\nmss = 2\n", "proxy.conf:3: mss 2: was given before; give it once"},
      {"", "--client-port: is missing; give it, as in --client-port eth1"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(refusal(row.text), row.message) << row.text;
  }
}

TEST(Settings, BinaryGarbageIsRefusedNotRead) {
  EXPECT_THROW((void)read(std::string("\177ELF\0\1\2\n", 9)), UsageError);
}

}  // namespace
}  // namespace synproxy::control
