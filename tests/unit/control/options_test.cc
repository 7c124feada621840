// SPDX-License-Identifier: BSD-3-Clause
#include "control/options.h"
#include "base/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace synproxy::control {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::string>;

const Words kPorts = {"--client-port", "eth1", "--server-port", "eth2", "--protect", "10.0.0.2:80"};

Words with(const Words& more) {
  Words all = kPorts;
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

Config run_with(const Words& more) { return parse_command_line(with(more)).config; }

std::string refusal(const Words& words) {
  try {
    (void)parse_command_line(words);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Options, OnlyPortsAndARuleAreNeeded) {
  const Invocation invocation = parse_command_line(kPorts);
  EXPECT_EQ(invocation.action, Invocation::Action::kRun);
  const Config& c = invocation.config;
  EXPECT_EQ(c.client_port.device, "eth1");
  EXPECT_EQ(c.server_port.device, "eth2");
  ASSERT_EQ(c.protect.size(), 1U);
  EXPECT_EQ(c.protect[0].first_port, 80);
  EXPECT_EQ(c.engine.tuning.offer.sack, Offer::kAuto);
  EXPECT_EQ(c.engine.tuning.offer.timestamps, Offer::kAuto);
  EXPECT_EQ(c.engine.tuning.offer.ecn, Offer::kAuto);
  EXPECT_EQ(c.engine.tuning.offer.window_scale, kAutoScale);
  EXPECT_EQ(c.engine.tuning.offer.mss, 0);
  EXPECT_EQ(c.name, "synproxy");
  EXPECT_TRUE(c.workers.empty());
  EXPECT_TRUE(c.eal_arguments.empty());
}

TEST(Options, TheLineOfEveryIptablesTutorialWorks) {
  const Config c = run_with({"--sack-perm", "--timestamp", "--wscale", "7", "--mss", "1460"});
  EXPECT_EQ(c.engine.tuning.offer.sack, Offer::kOn);
  EXPECT_EQ(c.engine.tuning.offer.timestamps, Offer::kOn);
  EXPECT_EQ(c.engine.tuning.offer.ecn, Offer::kAuto);
  EXPECT_EQ(c.engine.tuning.offer.window_scale, 7);
  EXPECT_EQ(c.engine.tuning.offer.mss, 1460);
}

TEST(Options, SwitchesTakeTheirValueEitherWay) {
  struct Row {
    Words words;
    Offer sack;
    Offer ecn;
  };
  const Row rows[] = {
      {{"--sack-perm", "--ecn"}, Offer::kOn, Offer::kOn},
      {{"--sack-perm", "off", "--ecn"}, Offer::kOff, Offer::kOn},
      {{"--sack-perm=off", "--ecn=auto"}, Offer::kOff, Offer::kAuto},
      {{"--ecn", "on", "--sack-perm", "auto"}, Offer::kAuto, Offer::kOn},
      {{"--ecn", "off", "--sack-perm"}, Offer::kOn, Offer::kOff},
      {{"--sack-perm", "--", "off"}, Offer::kOn, Offer::kAuto},
  };
  for (const Row& row : rows) {
    const Config c = run_with(row.words);
    EXPECT_EQ(c.engine.tuning.offer.sack, row.sack) << testing::PrintToString(row.words);
    EXPECT_EQ(c.engine.tuning.offer.ecn, row.ecn) << testing::PrintToString(row.words);
  }
}

TEST(Options, EveryValueArrives) {
  const Config c = run_with({"--wscale=0",
                             "--mss",
                             "88",
                             "--early-window",
                             "0",
                             "--early-data-memory",
                             "1G",
                             "--max-flows",
                             "268435456",
                             "--server-timeout",
                             "0.5",
                             "--idle-timeout",
                             "604800",
                             "--close-timeout",
                             "1",
                             "--epoch",
                             "1.5",
                             "--secret-file",
                             "/x/y",
                             "--workers",
                             "1,0",
                             "--name",
                             "web",
                             "--stats-interval",
                             "86400",
                             "--idle-sleep",
                             "0",
                             "--log-level",
                             "debug",
                             "--synack-repeats",
                             "0",
                             "--fragments",
                             "forward",
                             "--syn-shed",
                             "off",
                             "--hide-rtt",
                             "on",
                             "--tcp-auth",
                             "forward",
                             "--unknown",
                             "drop",
                             "--protect",
                             "[2001:db8::/64]:443-444"});
  EXPECT_EQ(c.engine.tuning.synack_repeats, 0U);
  EXPECT_EQ(c.engine.tuning.fragments, Fragments::kForward);
  EXPECT_TRUE(c.engine.tuning.forward_tcp_auth);
  EXPECT_EQ(c.engine.tuning.unknown, Unknown::kDrop);
  EXPECT_FALSE(c.loop.shed_syns);
  EXPECT_EQ(c.engine.tuning.hide_rtt, HideRtt::kOn);
  EXPECT_EQ(c.engine.tuning.offer.window_scale, 0);
  EXPECT_EQ(c.engine.tuning.offer.mss, 88);
  EXPECT_EQ(c.engine.tuning.early_window, 0U);
  EXPECT_EQ(c.engine.shape.early_data_memory, 1ULL << 30);
  EXPECT_EQ(c.engine.shape.max_flows, 1U << 28);
  EXPECT_EQ(c.engine.tuning.server_timeout_ms, 500U);
  EXPECT_EQ(c.engine.tuning.idle_timeout_ms, 604'800'000U);
  EXPECT_EQ(c.engine.tuning.close_timeout_ms, 1000U);
  EXPECT_EQ(c.engine.shape.epoch_ms, 1500U);
  EXPECT_EQ(c.secret_file, "/x/y");
  EXPECT_EQ(c.workers, (std::vector<unsigned>{1, 0}));
  EXPECT_EQ(c.name, "web");
  EXPECT_EQ(c.stats_interval, 86'400U);
  EXPECT_EQ(c.loop.idle_sleep_us, 0U);
  EXPECT_EQ(c.log_level, LogLevel::kDebug);
  ASSERT_EQ(c.protect.size(), 2U);
  EXPECT_TRUE(c.protect[1].ipv6);
  EXPECT_EQ(c.protect[1].last_port, 444);
}

TEST(Options, WhatFollowsTwoDashesGoesToEal) {
  const Config c = run_with({"--mss", "1400", "--", "--no-huge", "--help", "-m", "64", "--", "x"});
  EXPECT_EQ(c.engine.tuning.offer.mss, 1400);
  EXPECT_EQ(c.eal_arguments, (Words{"--no-huge", "--help", "-m", "64", "--", "x"}));
}

TEST(Options, HelpAndVersionAnswerWhateverElseWasTyped) {
  using Action = Invocation::Action;
  EXPECT_EQ(parse_command_line({"--help"}).action, Action::kHelp);
  EXPECT_EQ(parse_command_line({"-h"}).action, Action::kHelp);
  EXPECT_EQ(parse_command_line({"--help"}).command, nullptr);
  EXPECT_EQ(parse_command_line({"stat", "--help"}).action, Action::kHelp);
  EXPECT_EQ(parse_command_line({"stat", "-h"}).command, find_command("stat"));
  EXPECT_EQ(parse_command_line({"--bogus", "--help"}).action, Action::kHelp);
  EXPECT_EQ(parse_command_line({"--version"}).action, Action::kVersion);
}

TEST(Options, StatTakesItsOwnFlags) {
  Invocation invocation = parse_command_line({"stat"});
  EXPECT_EQ(invocation.action, Invocation::Action::kCommand);
  ASSERT_NE(invocation.command, nullptr);
  EXPECT_EQ(invocation.command->name, "stat");
  EXPECT_FALSE(invocation.line.has("json"));
  EXPECT_EQ(invocation.line.name(), "synproxy");
  invocation = parse_command_line({"stat", "--name", "web", "--json"});
  EXPECT_TRUE(invocation.line.has("json"));
  EXPECT_EQ(invocation.line.name(), "web");
}

TEST(Options, OnTheHostOlderConnectionsGoOn) {
  const auto config = [](Words words) {
    words.insert(words.begin(), {"--client-port", "eth0", "--protect", "10.0.0.1:80"});
    return parse_command_line(words).config;
  };
  EXPECT_EQ(config({"--server-port", "eth1"}).engine.tuning.unknown, Unknown::kReset);
  EXPECT_EQ(config({"--server-port", "host"}).engine.tuning.unknown, Unknown::kForward);
  EXPECT_EQ(config({"--server-port", "host", "--unknown", "drop"}).engine.tuning.unknown,
            Unknown::kDrop);
  EXPECT_EQ(config({"--server-port", "host"}).confirm, 0U);
  EXPECT_EQ(config({"--server-port", "host", "--confirm"}).confirm, 60U);
  EXPECT_EQ(config({"--server-port", "host", "--confirm", "90"}).confirm, 90U);
}

TEST(Options, AnUnknownCommandIsToldWhatThereIs) {
  try {
    (void)parse_command_line({"frobnicate"});
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_EQ(error.what(), "'frobnicate': unknown command; there are " + names_of_commands() +
                                ", and without a command the proxy starts, see synproxy --help");
  }
}

struct Refused {
  Words words;
  const char* message;
};

// The line that the user reads, without the program's name.
TEST(Options, EveryMistakeIsNamedWithItsRemedy) {
  const Refused rows[] = {
      {{}, "--client-port: is missing; give it, as in --client-port eth1"},
      {{"--client-port", "eth1"}, "--server-port: is missing; give it, as in --server-port eth2"},
      {{"--client-port", "eth1", "--server-port", "eth2"},
       "--protect: is missing; give it, as in --protect 203.0.113.10:80"},
      {with({"--bogus"}), "--bogus: unknown flag; see synproxy --help"},
      {with({"--bogus=1"}), "--bogus: unknown flag; see synproxy --help"},
      {with({"--ms", "1460"}), "--ms: unknown flag; see synproxy --help"},
      {with({"--MSS", "1460"}), "--MSS: unknown flag; see synproxy --help"},
      {with({"-v"}), "-v: unknown flag; see synproxy --help"},
      {with({"--json"}), "--json: unknown flag; see synproxy --help"},
      {with({"--=x"}), "--: unknown flag; see synproxy --help"},
      {with({"garbage"}),
       "'garbage': stands alone, no flag takes it; flags begin with --, see synproxy --help"},
      {with({"--sack-perm", "off", "on"}),
       "'on': stands alone, no flag takes it; flags begin with --, see synproxy --help"},
      {with({"-"}),
       "'-': stands alone, no flag takes it; flags begin with --, see synproxy --help"},
      {with({""}), "'': stands alone, no flag takes it; flags begin with --, see synproxy --help"},
      {{"stat", "x"},
       "'x': stands alone, no flag takes it; flags begin with --, see synproxy stat --help"},
      {{"stat", "--mss", "1460"}, "--mss: is not a flag of this command; see synproxy stat --help"},
      {{"stat", "--json=1"}, "--json: takes no value; leave out what follows the ="},
      {{"stat", "--json", "--json"}, "--json: was given before; give it once"},
      {{"stat", "--name"},
       "--name: has no value; give 1 to 48 of the characters A-Z a-z 0-9 _ . - and no . or - first"},
      {{"stat", "--name="},
       "--name: its value is empty; give 1 to 48 of the characters A-Z a-z 0-9 _ . - and no . or - "
       "first"},
      {{"stat", "--name", "../x"},
       "--name ../x: cannot name a directory safely; give 1 to 48 of the characters A-Z a-z 0-9 _ "
       ". - and no . or - first"},
      {with({"--wscale", "15"}),
       "--wscale 15: is too large; give 0 to 14 or auto (RFC 7323, section 2.3)"},
      {with({"--wscale", "-1"}),
       "--wscale -1: is negative; give 0 to 14 or auto (RFC 7323, section 2.3)"},
      {with({"--wscale", "Auto"}),
       "--wscale Auto: is not a number; give 0 to 14 or auto (RFC 7323, section 2.3)"},
      {with({"--mss", "0"}), "--mss 0: is too small; give 88 to 65535 bytes or auto"},
      {with({"--mss", "87"}), "--mss 87: is too small; give 88 to 65535 bytes or auto"},
      {with({"--mss", "70000"}), "--mss 70000: is too large; give 88 to 65535 bytes or auto"},
      {with({"--mss", "65536"}), "--mss 65536: is too large; give 88 to 65535 bytes or auto"},
      {with({"--mss=99999999999999999999"}),
       "--mss 99999999999999999999: is too large; give 88 to 65535 bytes or auto"},
      {with({"--mss", "1460x"}),
       "--mss 1460x: has 'x' after the number; give 88 to 65535 bytes or auto"},
      {with({"--mss"}), "--mss: has no value; give 88 to 65535 bytes or auto"},
      {with({"--mss", "--wscale", "7"}), "--mss: has no value; give 88 to 65535 bytes or auto"},
      {with({"--mss", "--", "7"}), "--mss: has no value; give 88 to 65535 bytes or auto"},
      {with({"--mss="}), "--mss: its value is empty; give 88 to 65535 bytes or auto"},
      {with({"--mss", ""}), "--mss: its value is empty; give 88 to 65535 bytes or auto"},
      {with({"--mss", "1400", "--mss", "1400"}), "--mss 1400: was given before; give it once"},
      {with({"--sack-perm", "--sack-perm"}), "--sack-perm on: was given before; give it once"},
      {with({"--client-port", "eth3"}), "--client-port eth3: was given before; give it once"},
      {with({"--sack-perm", "yes"}),
       "--sack-perm yes: is not a setting of this flag; give on, off or auto"},
      {with({"--ecn="}), "--ecn: its value is empty; give on, off or auto"},
      {with({"--early-window", "64K"}),
       "--early-window 64K: is too large; give 0 to 65535 bytes, K allowed (1K is 1024)"},
      {with({"--early-data-memory", "65G"}),
       "--early-data-memory 65G: is too large; give a number of bytes up to 64G, K, M and G "
       "allowed (1K is 1024)"},
      {with({"--mode", "sometimes"}),
       "--mode sometimes: is not a setting of this flag; give always, adaptive or off"},
      {with({"--adaptive-end", "25"}),
       "--adaptive-end 25: is not below --adaptive-start 25; give less, so that cookies do not "
       "come and go"},
      {with({"--max-flows", "0"}), "--max-flows 0: is too small; give 1 to 268435456 flows"},
      {with({"--max-flows", "1M"}),
       "--max-flows 1M: has 'M' after the number; give 1 to 268435456 flows"},
      {with({"--max-flows", "4294967296"}),
       "--max-flows 4294967296: is too large; give 1 to 268435456 flows"},
      {with({"--max-flows", "1", "--workers", "0-1"}),
       "--max-flows 1: is less than one for each of the 2 workers; give more flows or fewer "
       "workers"},
      {with({"--server-timeout", "0"}),
       "--server-timeout 0: is too small; give 0.2 to 600 seconds"},
      {with({"--idle-timeout", "1y"}),
       "--idle-timeout 1y: has 'y' after the number; give 1 to 604800 seconds"},
      {with({"--close-timeout", "0.0001"}),
       "--close-timeout 0.0001: is finer than a millisecond; give 1 to 3600 seconds"},
      {with({"--epoch", "0"}), "--epoch 0: is too small; give 1 to 3600 seconds"},
      {with({"--workers", "0,0"}),
       "--workers 0,0: names CPU 0 twice; give CPUs such as 0-1,3, each once"},
      {with({"--stats-interval", "0.5"}),
       "--stats-interval 0.5: has '.5' after the number; give 0 to 86400 seconds"},
      {with({"--idle-sleep", "1001"}),
       "--idle-sleep 1001: is too large; give 0 to 1000 microseconds"},
      {with({"--idle-sleep", "50us"}),
       "--idle-sleep 50us: has 'us' after the number; give 0 to 1000 microseconds"},
      {with({"--log-level", "trace"}),
       "--log-level trace: is not a log level; give error, warning, info or debug"},
      {with({"--config", "/"}), "--config /: is a directory; name a file of lines key = value"},
      {{"--client-port", "eth1", "--server-port", "eth1", "--protect", "10.0.0.2"},
       "--server-port eth1: is the device of --client-port eth1; name two different ones"},
      {{"--client-port", "eth0", "--server-port", "xdp:eth0", "--protect", "10.0.0.2"},
       "--server-port xdp:eth0: is the device of --client-port eth0; name two different ones"},
      {{"--client-port", "net_tap0,iface=a", "--server-port", "net_tap0,iface=b", "--protect",
        "10.0.0.2"},
       "--server-port net_tap0,iface=b: is the device of --client-port net_tap0,iface=a; name two "
       "different ones"},
      {{"--client-port", "0000:3b:00", "--server-port", "eth1", "--protect", "10.0.0.2"},
       "--client-port 0000:3b:00: is not a device name of any known form; give a Linux interface "
       "(eth1), xdp:eth1, a PCI address (0000:3b:00.0) or a DPDK device (net_tap0)"},
  };
  for (const Refused& row : rows) {
    EXPECT_EQ(refusal(row.words), row.message);
  }
}

TEST(Options, ABadRuleIsNamedWithWhatIsWrongInIt) {
  const Refused rows[] = {
      {{"1.2.3"}, "'1.2.3' is not an IPv4 or IPv6 address; give ADDR[/LEN][:PORT[-PORT]]"},
      {{"1.2.3.4:90-80"}, "backwards"},
      {{"1.2.3.4:65536"}, "65536"},
      {{"1.2.3.4:"}, "--protect 1.2.3.4:: "},
      {{"1.2.3.4/33"}, "33"},
      {{"http://a"}, "--protect http://a: "},
  };
  for (const Refused& row : rows) {
    const std::string line =
        refusal({"--client-port", "eth1", "--server-port", "eth2", "--protect", row.words.front()});
    EXPECT_THAT(line, testing::StartsWith("--protect " + row.words.front() + ": "));
    EXPECT_THAT(line, HasSubstr(row.message));
    EXPECT_THAT(line, HasSubstr("; ")) << "says what to do";
  }
}

TEST(Options, NoRefusalSpeaksOfBoostOrHoldsAnEmptyPart) {
  for (const Words& words :
       std::vector<Words>{with({"--mss="}), with({"--help=1"}), with({"--"}), with({"--=x"}),
                          with({"---mss", "1"}), with({"--mss", "=", "="})}) {
    const std::string line = refusal(words);
    EXPECT_THAT(line, testing::Not(HasSubstr("option")));
    EXPECT_THAT(line, testing::Not(HasSubstr("argument")));
    EXPECT_THAT(line, testing::Not(testing::StartsWith(":")));
  }
}

}  // namespace
}  // namespace synproxy::control
