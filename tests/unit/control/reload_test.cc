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
  reloader.applied(reload.config);
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
    const std::string line = std::string(flag.name) + " = " + std::string(flag.example) + "\n";
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

TEST_F(ReloadTest, WithoutFilesThereIsNothingToRead) {
  const Words words = {"--client-port", "eth1", "--server-port", "eth2", "--protect", "10.0.0.2"};
  EXPECT_EQ(refusal(Reloader(words, parse_command_line(words).config)),
            "neither --config nor --secret-file was given, there is nothing to read");
}

}  // namespace
}  // namespace synproxy::control
