// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/cookie/master_secret.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace synproxy {
namespace {

using ::testing::HasSubstr;

class SecretFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "synproxy_secret_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    path_ = directory_ + "/secret";
  }
  void TearDown() override {
    ::unlink(path_.c_str());
    ::rmdir(path_.c_str());
    ::unlink((directory_ + "/link").c_str());
    ::rmdir(directory_.c_str());
  }
  void write(const std::string& bytes, mode_t mode = 0600) {
    ::unlink(path_.c_str());
    const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    ASSERT_EQ(::fchmod(fd, mode), 0);
    ASSERT_EQ(::close(fd), 0);
  }
  // The sentence of the refusal; empty if the file is accepted.
  std::string refusal() {
    try {
      const MasterSecret secret = MasterSecret::from_file(path_);
      return {};
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }

  std::string directory_;
  std::string path_;
};

const std::string kGood = "0123456789abcdef0123456789abcdef";

bool same(const EpochKeys& a, const EpochKeys& b) {
  return a.epoch == b.epoch && words_of(a) == words_of(b);
}

TEST_F(SecretFile, IsAcceptedWhenOnlyItsOwnerMayReadIt) {
  for (const mode_t mode : {0600U, 0400U}) {
    write(kGood, mode);
    EXPECT_EQ(refusal(), "") << std::oct << mode;
  }
}

TEST_F(SecretFile, IsRefusedWithAnyOtherMode) {
  for (const mode_t mode :
       {0644U, 0640U, 0604U, 0660U, 0602U, 0700U, 0610U, 01600U, 0666U, 0777U}) {
    write(kGood, mode);
    EXPECT_THAT(refusal(), HasSubstr("make it 0600 or 0400")) << std::oct << mode;
  }
  write(kGood, 0644);
  EXPECT_THAT(refusal(), HasSubstr("has mode 0644"));
}

TEST_F(SecretFile, IsRefusedWhenItIsMissing) {
  EXPECT_EQ(refusal(), "cannot be read: No such file or directory");
}

TEST_F(SecretFile, IsRefusedWhenItIsADirectoryOrAFifo) {
  ASSERT_EQ(::mkdir(path_.c_str(), 0700), 0);
  EXPECT_THAT(refusal(), HasSubstr("is not a regular file"));
  ASSERT_EQ(::rmdir(path_.c_str()), 0);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(refusal(), HasSubstr("is not a regular file"));  // and nobody waits for a writer
}

TEST_F(SecretFile, IsRefusedWhenItBelongsToSomebodyElse) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can give a file away";
  }
  write(kGood);
  ASSERT_EQ(::chown(path_.c_str(), 65534, 65534), 0);
  EXPECT_THAT(refusal(), HasSubstr("belongs to user 65534"));
}

TEST_F(SecretFile, IsRefusedWhenItHoldsTooLittleTooMuchOrNothingThatVaries) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"", "is empty"},
      {"\n", "is empty"},
      {"a", "holds only 1 bytes"},
      {"0123456789abcde", "holds only 15 bytes"},
      {"0123456789abcde\n", "holds only 15 bytes"},
      {std::string(32, '\0'), "repeats one single byte"},
      {std::string(31, 'x') + "\n", "repeats one single byte"},
      {kGood + std::string(993, 'z'), "holds more than 1024 bytes"},
      {kGood + std::string(992, 'z') + "\n\n", "holds more than 1024 bytes"},
      {kGood + std::string(100'000, 'z'), "holds more than 1024 bytes"},
  };
  for (const auto& [bytes, sentence] : rows) {
    write(bytes);
    EXPECT_THAT(refusal(), HasSubstr(sentence)) << bytes.size() << " bytes";
  }
}

TEST_F(SecretFile, HoldsSixteenToOneThousandAndTwentyFourBytes) {
  for (const std::string& bytes :
       {std::string("0123456789abcdef"), std::string("0123456789abcdef\n"),
        kGood + std::string(992, 'z'), kGood + std::string(992, 'z') + "\n"}) {
    write(bytes);
    EXPECT_EQ(refusal(), "") << bytes.size() << " bytes";
  }
}

TEST_F(SecretFile, OneNewlineAtTheEndDoesNotMatterAndEverythingElseDoes) {
  write(kGood);
  const EpochKeys keys = MasterSecret::from_file(path_).derive(1);
  write(kGood + "\n");
  EXPECT_TRUE(same(MasterSecret::from_file(path_).derive(1), keys));
  for (const std::string& other :
       {kGood + "\n\n", kGood + " ", kGood + std::string(1, '\0'), "\n" + kGood, kGood + "\r\n"}) {
    write(other);
    EXPECT_FALSE(same(MasterSecret::from_file(path_).derive(1), keys));
  }
}

TEST_F(SecretFile, MayBeReachedThroughALink) {
  write(kGood);
  const std::string link = directory_ + "/link";
  ASSERT_EQ(::symlink(path_.c_str(), link.c_str()), 0);
  EXPECT_NO_THROW(static_cast<void>(MasterSecret::from_file(link)));
}

// HKDF in one call of OpenSSL, extraction and expansion together, over the file's bytes.
std::vector<std::uint8_t> openssl_hkdf(std::string secret, std::string salt, std::string info,
                                       std::size_t size) {
  const std::unique_ptr<EVP_KDF, decltype(&EVP_KDF_free)> kdf(
      EVP_KDF_fetch(nullptr, "HKDF", nullptr), &EVP_KDF_free);
  const std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(
      EVP_KDF_CTX_new(kdf.get()), &EVP_KDF_CTX_free);
  std::string digest = "SHA256";
  const std::array params{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret.data(), secret.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.data(), salt.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end()};
  std::vector<std::uint8_t> out(size);
  EXPECT_EQ(EVP_KDF_derive(context.get(), out.data(), out.size(), params.data()), 1);
  return out;
}

std::uint64_t little_endian(const std::vector<std::uint8_t>& bytes, std::size_t at) {
  std::uint64_t word = 0;
  for (std::size_t i = 8; i-- > 0;) {
    word = word << 8 | bytes[at + i];
  }
  return word;
}

TEST_F(SecretFile, DerivesWhatOpenSslDerivesWithTheInfoStringsOfTheDocument) {
  write(kGood);
  const MasterSecret secret = MasterSecret::from_file(path_);
  for (const std::uint64_t epoch : {0ULL, 1ULL, 27'500'000ULL, 0x0102030405060708ULL}) {
    const EpochKeys keys = secret.derive(epoch);
    EXPECT_EQ(keys.epoch, epoch);
    for (const auto& [name, key] :
         {std::pair{"timestamps", keys.timestamps}, std::pair{"plain", keys.plain}}) {
      std::string info(name);
      info += '\0';
      for (int byte = 7; byte >= 0; --byte) {
        info += static_cast<char>(epoch >> (8 * byte));
      }
      const std::vector<std::uint8_t> want = openssl_hkdf(kGood, "synproxy cookie 1", info, 24);
      EXPECT_EQ(key.k0, little_endian(want, 0)) << name << epoch;
      EXPECT_EQ(key.k1, little_endian(want, 8)) << name << epoch;
      EXPECT_EQ(key.multiplier, little_endian(want, 16) | 1) << name << epoch;
    }
  }
}

TEST(MasterSecret, GivesEveryEpochAndLayoutKeysOfItsOwn) {
  const MasterSecret secret = MasterSecret::random();
  std::set<std::uint64_t> seen;
  for (std::uint64_t epoch = 0; epoch < 300; ++epoch) {
    const EpochKeys keys = secret.derive(epoch);
    for (const LayoutKey& key : {keys.timestamps, keys.plain}) {
      EXPECT_NE(key.k0 | key.k1, 0U);
      EXPECT_EQ(key.multiplier & 1, 1U);
      for (const std::uint64_t word : {key.k0, key.k1, key.multiplier}) {
        EXPECT_TRUE(seen.insert(word).second) << "epoch " << epoch;
      }
    }
  }
}

TEST(MasterSecret, RandomOnesDiffer) {
  EXPECT_FALSE(same(MasterSecret::random().derive(1), MasterSecret::random().derive(1)));
}

TEST(MasterSecret, MovesAndDerivesTheSameAfterwards) {
  MasterSecret first = MasterSecret::random();
  const EpochKeys keys = first.derive(5);
  MasterSecret second = std::move(first);
  EXPECT_TRUE(same(second.derive(5), keys));
  MasterSecret third = MasterSecret::random();
  third = std::move(second);
  EXPECT_TRUE(same(third.derive(5), keys));
  static_assert(!std::is_copy_constructible_v<MasterSecret>);
  static_assert(!std::is_copy_assignable_v<MasterSecret>);
}

TEST(MasterSecret, IsWipedWhenItIsDestroyedOrMovedFrom) {
  alignas(MasterSecret) std::array<unsigned char, sizeof(MasterSecret)> storage;
  const auto zero = [&] {
    const volatile unsigned char* p = storage.data();
    bool all = true;
    for (std::size_t i = 0; i < storage.size(); ++i) {
      all = all && p[i] == 0;
    }
    return all;
  };
  auto* secret = new (storage.data()) MasterSecret(MasterSecret::random());
  EXPECT_FALSE(zero());
  {
    const MasterSecret taken = std::move(*secret);
    EXPECT_TRUE(zero());
  }
  *secret = MasterSecret::random();
  EXPECT_FALSE(zero());
  secret->~MasterSecret();
  EXPECT_TRUE(zero());
}

}  // namespace
}  // namespace synproxy
