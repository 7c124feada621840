// SPDX-License-Identifier: BSD-3-Clause
#include "control/secret.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/errors.h"
#include "synproxy/cookie/epoch.h"

namespace synproxy::control {
namespace {

EngineConfig config_at(std::uint64_t unix_ms, std::uint32_t epoch_ms) {
  EngineConfig config;
  config.shape.unix_ms_at_start = unix_ms;
  config.shape.epoch_ms = epoch_ms;
  return config;
}

bool has(const KeyRing& ring, std::uint64_t epoch) {
  EpochKeys keys;
  return ring.read(epoch, keys) && keys.epoch == epoch;
}

// Walks every tick of the control thread through many epochs, for starts anywhere in an epoch.
TEST(EpochKeeper, WorkersAlwaysFindPreviousCurrentAndNext) {
  for (const std::uint32_t epoch_ms : {1000U, 1500U, 64'000U}) {
    for (const std::uint64_t start : {1'700'000'000'000ULL, 1'700'000'000'999ULL}) {
      KeyRing ring;
      EpochKeeper keeper(MasterSecret::random(), ring, config_at(start, epoch_ms));
      for (std::uint64_t now = 0; now < 10ULL * epoch_ms; now += 250) {
        keeper.keep(now);
        // The control thread may be late by nearly an epoch before the next tick.
        for (const std::uint64_t later : {now, now + 250, now + epoch_ms - 1}) {
          const std::uint64_t epoch = epoch_at(start + later, epoch_ms).epoch;
          EXPECT_TRUE(has(ring, epoch)) << epoch_ms << " at " << later;
          EXPECT_TRUE(has(ring, epoch + 1)) << epoch_ms << " at " << later;
        }
        EXPECT_TRUE(has(ring, epoch_at(start + now, epoch_ms).epoch - 1));
      }
    }
  }
}

TEST(EpochKeeper, PublishesBeforeTheFirstTickAndWipesAtTheEnd) {
  KeyRing ring;
  const std::uint64_t start = 1'700'000'000'000;
  const std::uint64_t epoch = epoch_at(start, 64'000).epoch;
  {
    const EpochKeeper keeper(MasterSecret::random(), ring, config_at(start, 64'000));
    EXPECT_TRUE(has(ring, epoch - 1));
    EXPECT_TRUE(has(ring, epoch));
    EXPECT_TRUE(has(ring, epoch + 1));
  }
  EXPECT_FALSE(has(ring, epoch));
}

class SecretFile : public testing::Test {
 protected:
  SecretFile()
      : path_(std::filesystem::temp_directory_path() /
              ("synproxy-secret-test-" + std::to_string(::getpid()))) {}
  ~SecretFile() override { std::filesystem::remove_all(path_); }

  Config config(const std::string& content, mode_t mode) {
    std::ofstream(path_) << content;
    ::chmod(path_.c_str(), mode);
    Config c;
    c.secret_file = path_.string();
    return c;
  }

  std::filesystem::path path_;
};

TEST_F(SecretFile, TwoProxiesWithOneFileAgree) {
  const Config c = config("0123456789abcdef0123456789abcdef", 0600);
  EXPECT_EQ(load_secret(c).derive(7).plain.k0, load_secret(c).derive(7).plain.k0);
  EXPECT_NE(load_secret(c).derive(7).plain.k0, load_secret(Config()).derive(7).plain.k0);
}

TEST_F(SecretFile, IsRefusedUnderItsFlagWhenOthersCouldReadIt) {
  const Config c = config("0123456789abcdef0123456789abcdef", 0644);
  EXPECT_THAT([&] { (void)load_secret(c); },
              testing::ThrowsMessage<UsageError>(
                  testing::AllOf(testing::StartsWith("--secret-file " + path_.string() + ": "),
                                 testing::HasSubstr("0644"), testing::HasSubstr("chmod 600"))));
}

TEST_F(SecretFile, IsRefusedWhenItIsNotThere) {
  Config c;
  c.secret_file = path_.string();
  EXPECT_THAT([&] { (void)load_secret(c); },
              testing::ThrowsMessage<UsageError>(testing::StartsWith("--secret-file ")));
}

}  // namespace
}  // namespace synproxy::control
