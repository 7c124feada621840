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
#include "control/service_sections.h"

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
    std::string message;
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
      {"[ports]\n",
       "proxy.conf:1: '[ports]' begins no section; write [service NAME], or key = value"},
      {"[service]\n",
       "proxy.conf:1: '[service]' begins no section; write [service NAME], or key = value"},
      {"[servicer web]\n",
       "proxy.conf:1: '[servicer web]' begins no section; write [service NAME], or key = value"},
      {"[service web\n",
       "proxy.conf:1: '[service web' begins no section; write [service NAME], or key = value"},
      {"\n[service 10.0.0.2]\n",
       "proxy.conf:2: [service 10.0.0.2]: is no name of a service; give a letter, then letters, "
       "digits, '-', '_' and '.', 32 in all at most"},
      {"[service two words]\n",
       "proxy.conf:1: [service two words]: is no name of a service; give a letter, then letters, "
       "digits, '-', '_' and '.', 32 in all at most"},
      {"[service web]\n[service dns]\nprotect = 10.0.0.2:53\n",
       "proxy.conf:1: [service web]: protects nothing; add a line as protect = 203.0.113.10:80"},
      {"[service web]\nprotect = 10.0.0.2:80\n\n[service web]\n",
       "proxy.conf:4: [service web]: was given before; put all its lines behind the first one"},
      {"[service web]\nprotect = 10.0.0.2:80\nmin-ttl = 256\n",
       "proxy.conf:3: min-ttl 256: is too large; give 0 to 255; 0 drops nothing"},
      {"[service web]\nprotect = 10.0.0.2:80\nmode = off\nmode = always\n",
       "proxy.conf:4: mode always: was given before; give it once"},
      {"[service web]\nprotect = 10.0.0.2:80\nclient-port = eth1\n",
       "proxy.conf:3: client-port eth1: is not for one service alone; put it above the first "
       "[service NAME], which may have " +
           keys_of_sections()},
      {"[service web]\nprotect = 10.0.0.2:0\n",
       "proxy.conf:2: protect 10.0.0.2:0: port 0 does not exist; leave the ports away to protect the "
       "whole address"},
      {"[service web]\nprotect = 10.0.0.2:80\n[service shop]\nprotect = 10.0.0.2:80\n",
       "proxy.conf:4: protect 10.0.0.2:80: is in the service shop and in the service web; give "
       "each address and port to one of them"},
      {"[service web]\nprotect = 10.0.0.0/24\n[service shop]\nprotect = 10.0.0.2:80\n",
       "proxy.conf:4: protect 10.0.0.2:80: is in the service shop and, by 10.0.0.0/24, in the "
       "service web; give each address and port to one of them"},
      {"client-port = a\nserver-port = b\n[service web]\nprotect = 10.0.0.2:80\n"
       "monitor = deny,reply-rate,fragments\n",
       "proxy.conf:5: monitor deny,reply-rate,fragments: names reply-rate,fragments, which is for "
       "all services together; put that above the first [service NAME]"},
      {"client-port = a\nserver-port = b\n[service web]\nprotect = 10.0.0.2:80\n"
       "adaptive-end = 30\n",
       "web.adaptive-end 30: is not below web.adaptive-start 25; give less, so that cookies do not "
       "come and go"},
      {"client-port = a\nserver-port = b\nprotect = 10.0.0.2:80\nlimit-conns = off\n"
       "limit-conns = 9\n",
       "proxy.conf:4: limit-conns off: is off, and others are given; leave one of them out"},
      {"mss = 70000\n", "proxy.conf:1: mss 70000: is too large; give 88 to 65535 bytes or auto"},
      {"mss =\n", "proxy.conf:1: mss '': is empty; give 88 to 65535 bytes or auto"},
      {"mss = 1\nwscale = 7\nmss = 2\n", "proxy.conf:3: mss 2: was given before; give it once"},
      {"", "--client-port: is missing; give it, as in --client-port eth1"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(refusal(row.text), row.message) << row.text;
  }
}

constexpr const char* kSections =
    "client-port = eth1\n"
    "server-port = eth2\n"
    "protect = 10.0.0.0/24\n"
    "  [service web]   # the shop\r\n"
    "protect = 10.0.0.2:80\n"
    "protect = [2001:db8::2]:80\n"
    "[service  dns.example-1 ]\n"
    "protect = 10.0.0.2:53\n";

TEST_F(ConfigFile, NamesServices) {
  const Config c = parse(kSections, {});
  ASSERT_EQ(c.services.size(), 2U);
  EXPECT_EQ(c.services[0].name, "web");
  EXPECT_EQ(c.services[1].name, "dns.example-1");
  std::vector<unsigned> numbers;
  for (const ProtectRule& rule : c.protect) numbers.push_back(rule.service);
  EXPECT_THAT(numbers, testing::ElementsAre(0, 1, 1, 2)) << "one around them may have no name";
  EXPECT_THAT(values_of(key_called("protect", c), c), testing::ElementsAre("10.0.0.0/24"));
  EXPECT_THAT(values_of(key_called("web.protect", c), c),
              testing::ElementsAre("10.0.0.2:80", "[2001:db8::2]:80"));
  EXPECT_EQ(key_called("dns.example-1.protect", c).service, "dns.example-1");
}

TEST_F(ConfigFile, AServiceHasOfItsOwnWhatItsSectionSaysAndElseWhatAllHave) {
  const Config c = parse(
      "mode = adaptive\nmin-ttl = 5\n[service web]\nserver-backlog = 64\nprotect = 10.0.0.2:80\n"
      "mode = always\n[service dns]\nprotect = 10.0.0.2:53\nunknown = drop\nstrict-window = on\n"
      "min-ttl = 9\n",
      {"--client-port", "a", "--server-port", "b", "--min-ttl", "7"});
  EXPECT_EQ(c.engine.tuning.mode, Mode::kAdaptive);
  const ServiceTunings own = c.tuning().services;
  ASSERT_EQ(own.count, 2);
  EXPECT_EQ(own.of[0].mode, Mode::kAlways);
  EXPECT_EQ(own.of[0].backlog.connections, 64U);
  EXPECT_EQ(own.of[0].min_ttl, 7) << "typed for all";
  EXPECT_EQ(own.of[1].mode, Mode::kAdaptive);
  EXPECT_EQ(own.of[1].min_ttl, 9);
  EXPECT_TRUE(own.of[1].strict_window);
  EXPECT_EQ(own.of[1].unknown, Unknown::kDrop);
  EXPECT_FALSE(own.of[1].backlog.bounds());
  EXPECT_THAT(values_of(key_called("web.server-backlog", c), c),
              testing::ElementsAre("64,mask4=32,mask6=64"));
  EXPECT_THAT(values_of(key_called("dns.server-backlog", c), c), testing::ElementsAre("off"));
}

TEST_F(ConfigFile, LimitsOfASectionTakeThePlaceOfThoseOfAll) {
  const Config c = parse(
      "limit-rate = 100/second\nlimit-conns = 9\n[service web]\nprotect = 10.0.0.2:80\n"
      "limit-rate = 5/second\nlimit-rate = 50/second,mask4=24\nlimit-action = reset\n"
      "[service dns]\nprotect = 10.0.0.2:53\n",
      {"--client-port", "a", "--server-port", "b"});
  const ServiceTunings own = c.tuning().services;
  ASSERT_EQ(own.of[0].rate.count, 2);
  EXPECT_EQ(own.of[0].rate.limits[0].connections, 5U);
  EXPECT_EQ(own.of[0].conns.limits[0].connections, 9U);
  EXPECT_EQ(own.of[0].action, LimitAction::kReset);
  EXPECT_EQ(own.of[1].rate, c.engine.tuning.limits.rate);
  EXPECT_EQ(own.of[1].action, LimitAction::kDrop);
  EXPECT_EQ(values_of(key_called("web.limit-rate", c), c).size(), 2U);
}

TEST_F(ConfigFile, ListsMonitorAndMarksOfASectionAreItsOwn) {
  const Config c = parse(
      "deny-file = all\nbogons = on\nmonitor = deny,reply-rate\nlimit-conns = 9\n"
      "[service web]\nprotect = 10.0.0.2:80\ndeny-file = a\ndeny-file = b\nbogons = off\n"
      "monitor = off\nadaptive-backlog = 64\nlimit-conns = off\n"
      "[service dns]\nprotect = 10.0.0.2:53\ndeny-file = off\nmonitor = limit-conns,mode\n"
      "[service ssh]\nprotect = 10.0.0.2:22\n",
      {"--client-port", "a", "--server-port", "b"});
  EXPECT_THAT(c.lists.deny, testing::ElementsAre("all"));
  EXPECT_THAT(c.services[0].lists.deny, testing::ElementsAre("a", "b"));
  EXPECT_FALSE(c.services[0].lists.bogons);
  EXPECT_TRUE(c.services[1].lists.deny.empty());
  EXPECT_TRUE(c.services[1].lists.bogons);
  EXPECT_EQ(c.services[2].lists, c.lists);
  const ServiceTunings own = c.tuning().services;
  EXPECT_EQ(own.of[0].monitored, 0);
  EXPECT_EQ(own.of[1].monitored, kMonitorLimitConns | kMonitorMode);
  EXPECT_EQ(own.of[2].monitored, kMonitorDeny | kMonitorReplyRate);
  EXPECT_EQ(own.of[0].adaptive.backlog, 64U);
  EXPECT_EQ(own.of[0].conns.count, 0);
  EXPECT_EQ(own.of[1].conns.count, 1);
  EXPECT_THAT(values_of(key_called("web.deny-file", c), c), testing::ElementsAre("a", "b"));
  EXPECT_THAT(values_of(key_called("ssh.deny-file", c), c), testing::ElementsAre("all"));
  for (const char* off : {"dns.deny-file", "web.limit-conns", "web.monitor"}) {
    EXPECT_THAT(values_of(key_called(off, c), c), testing::ElementsAre("off")) << off;
  }
  EXPECT_THAT(values_of(key_called("web.limit-rate", c), c), testing::IsEmpty());
}

TEST_F(ConfigFile, TypedRulesLeaveThoseOfServicesAlone) {
  const Config c = parse(kSections, {"--protect", "192.0.2.1"});
  ASSERT_EQ(c.protect.size(), 4U);
  EXPECT_EQ(c.protect[0].address[0], 192);
  EXPECT_EQ(c.services.size(), 2U);
}

TEST_F(ConfigFile, AServiceIsEnoughToProtect) {
  const Config c =
      parse("[service web]\nprotect = 10.0.0.2:80\n", {"--client-port", "a", "--server-port", "b"});
  EXPECT_EQ(c.protect.size(), 1U);
}

TEST_F(ConfigFile, KeysOfServicesThatAreNotThereAreRefused) {
  const Config c = parse(kSections, {});
  const auto refused = [&](const std::string& key) {
    try {
      (void)key_called(key, c);
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refused("shop.protect"),
            "'shop.protect': there is no service 'shop'; there are web, dns.example-1");
  EXPECT_EQ(
      refused("web.client-port"),
      "'web.client-port': is not for one service alone; a service may have " + keys_of_sections());
  EXPECT_THAT(refused("web.bogus"), testing::HasSubstr("unknown key"));
  EXPECT_THAT(refused("bogus"), testing::HasSubstr("unknown key"));
}

TEST(Settings, BinaryGarbageIsRefusedNotRead) {
  EXPECT_THROW((void)read(std::string("\177ELF\0\1\2\n", 9)), UsageError);
}

}  // namespace
}  // namespace synproxy::control
