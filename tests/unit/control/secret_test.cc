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

EpochKeys keys_of(const KeyRing& ring, std::uint64_t epoch) {
  EpochKeys keys;
  EXPECT_TRUE(ring.read(epoch, keys)) << epoch;
  return keys;
}

// The cookies that are out there stay good: no epoch changes its keys once they are published.
TEST(EpochKeeper, AnotherSecretComesWithAnEpochThatNobodyHasKeysOf) {
  KeyRing ring;
  const std::uint64_t start = 1'700'000'000'000;
  const std::uint64_t epoch = epoch_at(start, 64'000).epoch;
  EpochKeeper keeper(MasterSecret::random(), ring, config_at(start, 64'000));
  std::array<std::uint64_t, 4> before{};
  for (std::uint64_t i = 0; i < 4; ++i) before[i] = keys_of(ring, epoch - 1 + i).plain.k0;
  MasterSecret next = MasterSecret::random();
  const std::uint64_t expected = next.derive(epoch + 3).plain.k0;
  const auto wait = keeper.replace(std::move(next), 10);
  ASSERT_TRUE(wait);
  EXPECT_EQ(*wait, (epoch + 3) * 64'000 - start - 10);
  for (std::uint64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(keys_of(ring, epoch - 1 + i).plain.k0, before[i]);
  }
  for (std::uint64_t now = 10; now < 3 * 64'000; now += 250) {
    keeper.keep(now);
    const std::uint64_t e = epoch_at(start + now, 64'000).epoch;
    if (e < epoch + 2) continue;
    EXPECT_EQ(keys_of(ring, epoch + 2).plain.k0, before[3]);
    EXPECT_EQ(keys_of(ring, epoch + 3).plain.k0, expected);
  }
}

TEST(EpochKeeper, TheSameSecretIsNoChange) {
  KeyRing ring;
  Config config;
  config.secret_file = std::filesystem::temp_directory_path() /
                       ("synproxy-same-secret-test-" + std::to_string(::getpid()));
  std::ofstream(config.secret_file) << "0123456789abcdef";
  ::chmod(config.secret_file.c_str(), 0600);
  EpochKeeper keeper(load_secret(config), ring, config_at(1'700'000'000'000, 64'000));
  EXPECT_FALSE(keeper.replace(load_secret(config), 5));
  EXPECT_TRUE(keeper.replace(MasterSecret::random(), 5));
  std::filesystem::remove(config.secret_file);
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
