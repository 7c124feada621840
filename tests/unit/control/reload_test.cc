// SPDX-License-Identifier: BSD-3-Clause
#include "control/reload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/errors.h"
#include "control/flags.h"
#include "control/options.h"

namespace synproxy::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Words = std::vector<std::string>;

class ReloadTest : public testing::Test {
 protected:
  ReloadTest()
      : directory_(std::filesystem::temp_directory_path() /
                   ("synproxy-reload-test-" + std::to_string(::getpid()))) {
    std::filesystem::create_directory(directory_);
    file("");
  }
  ~ReloadTest() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] std::string path(const std::string& name) const { return directory_ / name; }
  void file(const std::string& text, const std::string& name = "conf") const {
    std::ofstream(path(name)) << text;
    ::chmod(path(name).c_str(), 0600);
  }
  [[nodiscard]] Reloader start(const Words& more = {}) const {
    Words words = {"--client-port", "eth1",        "--server-port", "eth2",
                   "--protect",     "10.0.0.2:80", "--config",      path("conf")};
    words.insert(words.end(), more.begin(), more.end());
    return {words, parse_command_line(words).config};
  }
  [[nodiscard]] static std::string refusal(const Reloader& reloader) {
    try {
      (void)reloader.read();
    } catch (const UsageError& error) {
      return error.what();
    }
    return "accepted";
  }

  std::filesystem::path directory_;
};

TEST_F(ReloadTest, OtherServicesOrOtherRulesOfOneNeedARestart) {
  const std::string web = "[service web]\nprotect = 10.0.0.3:80\n";
  file(web);
  const Reloader reloader = start();
  EXPECT_THAT(reloader.read().changes, IsEmpty());
  file("wscale = 9\n" + web + "protect = 10.0.0.3:443\n");
  EXPECT_EQ(refusal(reloader),
            "web.protect 10.0.0.3:80 10.0.0.3:443: needs a restart, it runs with 10.0.0.3:80; "
            "restart it, or put the old value back");
  file("wscale = 9\n" + web + "[service dns]\nprotect = 10.0.0.3:53\n");
  EXPECT_THAT(refusal(reloader), HasSubstr("services web, dns: needs a restart, it runs with web"));
  file("");
  EXPECT_THAT(refusal(reloader), HasSubstr("services none: needs a restart, it runs with web"));
  file("wscale = 9\n" + web);
  EXPECT_THAT(reloader.read().changes, ElementsAre("wscale auto -> 9"));
}

TEST_F(ReloadTest, WhatAServiceHasOfItsOwnChangesAtOnce) {
  const std::string web = "[service web]\nprotect = 10.0.0.3:80\n";
  file(web + "min-ttl = 64\n");
  Reloader reloader = start();
  file("mode = adaptive\nmin-ttl = 7\n" + web + "mode = off\n");
  const Reload reload = reloader.read();
  EXPECT_THAT(reload.changes, ElementsAre("mode always -> adaptive", "min-ttl 0 -> 7",
                                          "web.mode always -> off", "web.min-ttl 64 -> 7"));
  reloader.applied(reload);
  file("mode = adaptive\nmin-ttl = 9\n" + web + "mode = off\n");
  EXPECT_THAT(reloader.read().changes, ElementsAre("min-ttl 7 -> 9")) << "the service follows";
  Reload set = reloader.set("web.min-ttl", {"200"});
  EXPECT_THAT(set.changes, ElementsAre("web.min-ttl 7 -> 200"));
  EXPECT_EQ(set.config.engine.tuning.min_ttl, 7) << "of all others";
  EXPECT_EQ(set.config.tuning().services.of[0].min_ttl, 200);
  reloader.applied(set);
  EXPECT_THAT(reloader.read().changes, ElementsAre("min-ttl 7 -> 9")) << "it stays";
  EXPECT_THAT(reloader.unset("web.min-ttl").changes, ElementsAre("web.min-ttl 200 -> 7"));
  EXPECT_THROW((void)reloader.unset("web.mode"), UsageError);
  EXPECT_THROW((void)reloader.set("web.max-flows", {"5"}), UsageError);
  EXPECT_THROW((void)reloader.set("web.mode", {"sometimes"}), UsageError);
}

// Whoever reads it would wait for a writer.
TEST_F(ReloadTest, NeverWaitsForAPipe) {
  const Reloader reloader = start();
  std::filesystem::remove(path("conf"));
  ASSERT_EQ(::mkfifo(path("conf").c_str(), 0600), 0);
  EXPECT_THAT(refusal(reloader), HasSubstr("is not a regular file"));
}

TEST_F(ReloadTest, SaysWhatChangedInTheOrderOfTheFlags) {
  file("wscale = 7\nmss = 1400\n");
  Reloader reloader = start();
  EXPECT_THAT(reloader.read().changes, IsEmpty());
  file("idle-timeout = 0.5\n");
  EXPECT_THAT(refusal(reloader), HasSubstr("conf:1: idle-timeout 0.5: is too small"));
  file("idle-timeout = 600\nwscale = 9\n");
  const Reload reload = reloader.read();
  EXPECT_THAT(reload.changes,
              ElementsAre("wscale 7 -> 9", "mss 1400 -> auto", "idle-timeout 7500 -> 600"));
  EXPECT_EQ(reload.config.engine.tuning.offer.window_scale, 9);
  EXPECT_FALSE(reload.secret);
  EXPECT_EQ(reloader.read().changes.size(), 3U) << "nothing is in force before it is said to be";
  reloader.applied(reload);
  EXPECT_THAT(reloader.read().changes, IsEmpty());
}

TEST_F(ReloadTest, FlagsOfTheCommandLineStillWin) {
  file("wscale = 7\nmss = 1400\n");
  const Reloader reloader = start({"--mss", "1300"});
  file("wscale = 7\nmss = 1200\n");
  EXPECT_THAT(reloader.read().changes, IsEmpty());
}

// For each row of the flags: a reload either applies its change, or refuses it and names the flag.
TEST_F(ReloadTest, EachFlagIsTuningOrRefusedByName) {
  const Words no_flags = {"--config", path("conf")};
  const std::string base = "client-port = net_a\nserver-port = net_b\nprotect = 10.0.0.2:80\n";
  const auto is_base = [](const Flag& f) { return f.required; };
  file(base);
  const Reloader reloader(no_flags, parse_command_line(no_flags).config);
  for (const Flag& flag : flags()) {
    if (flag.kind == FlagKind::kBare || flag.name == "config") continue;
    const bool list = flag.name == "allow-file" || flag.name == "deny-file";  // it is read
    if (list) file("192.0.2.0/24\n", "list");
    const std::string line =
        std::string(flag.name) + " = " + (list ? path("list") : std::string(flag.example)) + "\n";
    if (!is_base(flag)) {
      file(base + line);
    } else {
      std::string changed = base;
      const auto at = changed.find(std::string(flag.name) + " = ");
      changed.replace(at, changed.find('\n', at) + 1 - at, line);
      file(changed);
    }
    if (flag.change == Change::kReload) {
      EXPECT_THAT(reloader.read().changes,
                  ElementsAre(testing::StartsWith(std::string(flag.name) + " ")));
    } else {
      const std::string why = refusal(reloader);
      EXPECT_THAT(why,
                  testing::StartsWith("--" + std::string(flag.name) + " " +
                                      std::string(flag.example == "2-3" ? "2,3" : flag.example) +
                                      ": needs a restart"));
      EXPECT_THAT(why, testing::Not(HasSubstr("\n")));
    }
  }
}

TEST_F(ReloadTest, AChangeOfShapeIsNamedWithBothValues) {
  const Reloader reloader = start();
  file("wscale = 3\nmax-flows = 2048\n");
  EXPECT_EQ(refusal(reloader),
            "--max-flows 2048: needs a restart, it runs with 1048576; restart it, or put the old "
            "value back");
}

TEST_F(ReloadTest, AFileThatIsGoneIsAnError) {
  const Reloader reloader = start();
  std::filesystem::remove(path("conf"));
  EXPECT_THAT(refusal(reloader), HasSubstr("cannot be opened"));
}

TEST_F(ReloadTest, TheSecretIsReadAgain) {
  file("0123456789abcdef", "secret");
  const Reloader reloader = start({"--secret-file", path("secret")});
  const auto first = reloader.read().secret;
  ASSERT_TRUE(first);
  EXPECT_TRUE(*reloader.read().secret == *first);
  file("0123456789abcdeg", "secret");
  EXPECT_FALSE(*reloader.read().secret == *first);
  file("short", "secret");
  file("wscale = 3\n");
  EXPECT_THAT(refusal(reloader), testing::StartsWith("--secret-file " + path("secret") + ": "));
}

TEST_F(ReloadTest, TheListsAreReadAgain) {
  file("192.0.2.1\n", "deny");
  const Reloader reloader = start({"--deny-file", path("deny")});
  EXPECT_EQ(reloader.read().lists->deny_count, 1U);
  file("192.0.2.1\n192.0.2.2\n", "deny");
  EXPECT_EQ(reloader.read().lists->deny_count, 2U);
  file("192.0.2.1\nnonsense\n", "deny");
  EXPECT_THAT(refusal(reloader),
              testing::StartsWith("--deny-file " + path("deny") + ":2: nonsense: "));
  std::filesystem::remove(path("deny"));
  EXPECT_THAT(refusal(reloader), HasSubstr("No such file"));
  ASSERT_EQ(::mkfifo(path("deny").c_str(), 0600), 0);
  EXPECT_THAT(refusal(reloader), HasSubstr("is not a regular file"));
}

class SetTest : public ReloadTest {
 protected:
  [[nodiscard]] Reloader begin(const Words& more = {}) const {
    Words words = {"--client-port", "eth1",        "--server-port", "eth2",
                   "--protect",     "10.0.0.2:80", "--config",      path("conf")};
    words.insert(words.end(), more.begin(), more.end());
    const Invocation invocation = parse_command_line(words);
    return {words, invocation.config, invocation.settings};
  }
  static Reload set(Reloader& reloader, const std::string& key, const Words& values) {
    Reload reload = reloader.set(key, values);
    reloader.applied(reload);
    return reload;
  }
  template <typename Act>
  static std::string refusal_of(Act&& act) {
    try {
      (void)act();
    } catch (const UsageError& error) {
      return error.what();
    }
    return "accepted";
  }
};

// For each row: `set` takes its value, or refuses it by name because it needs a restart.
TEST_F(SetTest, EachFlagIsTuningOrRefusedByName) {
  for (const Flag& flag : flags()) {
    if (flag.kind == FlagKind::kBare) continue;
    const Reloader reloader = begin();
    const std::string key(flag.name);
    // A list is read.
    const bool list = flag.name == "allow-file" || flag.name == "deny-file";
    if (list) file("192.0.2.0/24\n", "list");
    const Words values = {list ? path("list") : std::string(flag.example)};
    if (flag.change == Change::kRestart) {
      EXPECT_THAT(refusal_of([&] { return reloader.set(key, values); }),
                  testing::StartsWith("--" + key + ": needs a restart"));
      continue;
    }
    const Reload reload = reloader.set(key, values);
    EXPECT_THAT(reload.changes, ElementsAre(testing::StartsWith(key + " ")));
    Config alone = reloader.running();
    flag.value.apply(alone, values[0]);
    EXPECT_EQ(reload.config, alone) << "nothing else changes";
  }
}

TEST_F(SetTest, ValuesAreCheckedAsOnTheCommandLine) {
  const Reloader reloader = begin();
  const auto refused = [&](const std::string& key, const Words& values) {
    return refusal_of([&] { return reloader.set(key, values); });
  };
  EXPECT_EQ(refused("mss", {"70000"}), "--mss 70000: is too large; give 88 to 65535 bytes or auto");
  EXPECT_EQ(refused("wscale", {""}),
            "--wscale '': is empty; give 0 to 14 or auto (RFC 7323, section 2.3)");
  EXPECT_THAT(refused("wscale", {"7", "8"}), HasSubstr("--wscale: takes one value"));
  EXPECT_THAT(refused("wscale", {}), HasSubstr("--wscale: has no value"));
  for (const char* key : {"", "nothing", "help", "version", "--mss", "MSS"}) {
    EXPECT_THAT(refused(key, {"1"}), HasSubstr("': unknown key; ")) << key;
  }
}

TEST_F(SetTest, WhatWasSetWinsOverFlagAndFileAndStaysOverAReload) {
  file("wscale = 7\n");
  Reloader reloader = begin({"--mss", "1300"});
  EXPECT_THAT(set(reloader, "mss", {"1200"}).changes, ElementsAre("mss 1300 -> 1200"));
  EXPECT_THAT(set(reloader, "wscale", {"9"}).changes, ElementsAre("wscale 7 -> 9"));
  EXPECT_THAT(set(reloader, "wscale", {"9"}).changes, IsEmpty());
  file("wscale = 3\nidle-timeout = 600\n");
  Reload reload = reloader.read();
  EXPECT_THAT(reload.changes, ElementsAre("idle-timeout 7500 -> 600"));
  reloader.applied(reload);
  EXPECT_EQ(reloader.running().engine.tuning.offer.mss, 1200);
  // What is taken back is as the file says now.
  reload = reloader.unset("wscale");
  EXPECT_THAT(reload.changes, ElementsAre("wscale 9 -> 3"));
  reloader.applied(reload);
  EXPECT_THAT(refusal_of([&] { return reloader.unset("wscale"); }), HasSubstr("was not set"));
  EXPECT_THAT(reloader.unset("mss").changes, ElementsAre("mss 1200 -> 1300"));
}

TEST_F(SetTest, AFileThatWasEditedSinceIsNotRead) {
  Reloader reloader = begin();
  file("idle-timeout = 600\nnonsense\n");
  EXPECT_THAT(set(reloader, "wscale", {"9"}).changes, ElementsAre("wscale auto -> 9"));
}

TEST_F(SetTest, EachValueKnowsWhereItComesFrom) {
  file("# first\nwscale = 7\nmss = 1400\n");
  Reloader reloader = begin({"--mss", "1300"});
  using Origin = Setting::Origin;
  const auto origin = [&](const char* key) {
    return reloader.settings_of(key_called(key, reloader.running())).at(0);
  };
  EXPECT_TRUE(reloader.settings_of(key_called("ecn", reloader.running())).empty());
  EXPECT_EQ(origin("mss").origin, Origin::kTyped);
  EXPECT_EQ(origin("wscale").origin, Origin::kFile);
  EXPECT_THAT(origin("wscale").where, HasSubstr("conf:2: "));
  set(reloader, "wscale", {"9"});
  EXPECT_EQ(origin("wscale").origin, Origin::kSet);
}

TEST_F(ReloadTest, WithoutFilesThereIsNothingToRead) {
  const Words words = {"--client-port", "eth1", "--server-port", "eth2", "--protect", "10.0.0.2"};
  EXPECT_EQ(refusal(Reloader(words, parse_command_line(words).config)),
            "neither --config nor --secret-file, --allow-file or --deny-file was given, there is "
            "nothing to read");
}

}  // namespace
}  // namespace synproxy::control
