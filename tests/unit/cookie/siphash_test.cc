// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/cookie/siphash.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace synproxy {
namespace {

// OpenSSL's SipHash, for comparison. It takes keys and messages as bytes, and gives bytes.
std::uint64_t openssl_siphash(std::uint64_t k0, std::uint64_t k1, const MacInput& in) {
  static EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "SIPHASH", nullptr);
  const std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)> context(EVP_MAC_CTX_new(mac),
                                                                          &EVP_MAC_CTX_free);
  std::size_t size = 8;
  const std::array<OSSL_PARAM, 2> params{OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                                         OSSL_PARAM_construct_end()};
  const std::array<std::uint64_t, 2> key{k0, k1};
  std::array<unsigned char, 16> key_bytes;
  std::memcpy(key_bytes.data(), key.data(), 16);
  std::uint64_t out = 0;
  std::array<unsigned char, 8> out_bytes{};
  std::size_t written = 0;
  EXPECT_EQ(EVP_MAC_init(context.get(), key_bytes.data(), key_bytes.size(), params.data()), 1);
  const auto update = [&](const void* bytes, std::size_t n) {
    EXPECT_EQ(EVP_MAC_update(context.get(), static_cast<const unsigned char*>(bytes), n), 1);
  };
  update(in.words.data(), 8 * std::size_t{in.count});
  if (in.tail != 0) update(&in.tail, sizeof in.tail);
  EXPECT_EQ(EVP_MAC_final(context.get(), out_bytes.data(), &written, out_bytes.size()), 1);
  EXPECT_EQ(written, 8U);
  std::memcpy(&out, out_bytes.data(), 8);
  return out;
}

// Half of them have a tail.
MacInput random_message(std::mt19937_64& random, std::size_t count) {
  MacInput in{};
  for (std::uint64_t& word : in.words) word = random();
  in.count = static_cast<std::uint32_t>(count);
  in.tail = random() % 2 == 0 ? 0 : static_cast<std::uint32_t>(random() | 1U);
  return in;
}

// The paper's key 00 01 .. 0f, with messages that count up in the same way.
constexpr std::uint64_t kPaperK0 = 0x0706050403020100ULL;
constexpr std::uint64_t kPaperK1 = 0x0f0e0d0c0b0a0908ULL;
constexpr std::array<std::uint64_t, 5> kPaperWords{0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL,
                                                   0x1716151413121110ULL, 0x1f1e1d1c1b1a1918ULL,
                                                   0x2726252423222120ULL};

TEST(SipHash, AgreesWithThePublishedVectors) {
  // vectors.h of the reference implementation: messages of 0, 8 and 16 bytes.
  EXPECT_EQ(siphash24(kPaperK0, kPaperK1, kPaperWords.data(), 0), 0x726fdb47dd0e0e31ULL);
  EXPECT_EQ(siphash24(kPaperK0, kPaperK1, kPaperWords.data(), 1), 0x93f5f5799a932462ULL);
  EXPECT_EQ(siphash24(kPaperK0, kPaperK1, kPaperWords.data(), 2), 0x3f2acc7f57c29bdbULL);
  // Of 4 and 12 bytes.
  EXPECT_EQ(siphash24(kPaperK0, kPaperK1, kPaperWords.data(), 0, 0x03020100),
            0xcf2794e0277187b7ULL);
  EXPECT_EQ(siphash24(kPaperK0, kPaperK1, kPaperWords.data(), 1, 0x0b0a0908),
            0x751e8fbc860ee5fbULL);
}

TEST(SipHash, AgreesWithOpenSslOnRandomMessages) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 5000; ++round) {
    const MacInput in = random_message(random, random() % 6);
    const std::uint64_t k0 = random();
    const std::uint64_t k1 = random();
    ASSERT_EQ(siphash24(k0, k1, in), openssl_siphash(k0, k1, in))
        << "round " << round << ", " << in.count << " words, tail " << in.tail;
  }
}

struct Burst {
  std::vector<std::uint64_t> k0s, k1s, out;
  std::vector<MacInput> in;

  Burst(std::mt19937_64& random, std::size_t n, int fixed_count)
      : k0s(n), k1s(n), out(n, 0xa5a5a5a5a5a5a5a5ULL), in(n) {
    for (std::size_t i = 0; i < n; ++i) {
      k0s[i] = random();
      k1s[i] = random();
      in[i] = random_message(random,
                             fixed_count >= 0 ? static_cast<unsigned>(fixed_count) : random() % 6);
    }
  }
};

void expect_right(const Burst& burst, const char* name) {
  for (std::size_t i = 0; i < burst.in.size(); ++i) {
    ASSERT_EQ(burst.out[i], siphash24(burst.k0s[i], burst.k1s[i], burst.in[i]))
        << name << ": lane " << i << " of " << burst.in.size() << ", " << burst.in[i].count
        << " words, tail " << burst.in[i].tail;
  }
}

// By name: what this CPU cannot run says so, and is not passed over.
class SipHashBurst : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    for (const SipHashKernel& k : siphash24_kernels()) {
      if (std::string_view(k.name) == GetParam()) kernel_ = &k;
    }
    if (kernel_ == nullptr) GTEST_SKIP() << "this CPU cannot run it";
  }
  void run(Burst& burst, std::size_t n) const {
    kernel_->run(burst.k0s.data(), burst.k1s.data(), burst.in.data(), burst.out.data(), n);
  }

 private:
  const SipHashKernel* kernel_ = nullptr;
};

TEST_P(SipHashBurst, IsTheSameAtEverySizeAndLengthMix) {
  std::mt19937_64 random(2);
  for (std::size_t n = 0; n <= 40; ++n) {
    for (int fixed_count = -1; fixed_count <= 5; ++fixed_count) {  // -1: each lane its own
      Burst burst(random, n, fixed_count);
      run(burst, n);
      expect_right(burst, GetParam());
    }
  }
}

TEST_P(SipHashBurst, WritesNothingBesideIt) {
  std::mt19937_64 random(4);
  for (std::size_t n = 0; n <= 20; ++n) {
    Burst burst(random, 24, 2);
    run(burst, n);
    for (std::size_t i = n; i < burst.out.size(); ++i) {
      ASSERT_EQ(burst.out[i], 0xa5a5a5a5a5a5a5a5ULL) << n << ", " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, SipHashBurst, ::testing::Values("scalar", "avx2", "avx512"),
                         [](const auto& kernel) { return std::string(kernel.param); });

TEST(SipHash, TheChosenBurstKernelGivesTheSameBytes) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 500; ++round) {
    const std::size_t n = random() % 33;
    // As on the wire: IPv4 alone, IPv6 alone, both.
    Burst burst(random, n, round % 3 == 0 ? 2 : round % 3 == 1 ? 5 : -1);
    siphash24_burst(burst.k0s.data(), burst.k1s.data(), burst.in.data(), burst.out.data(), n);
    expect_right(burst, "burst");
  }
}

TEST(SipHash, TheScalarKernelIsAlwaysThereAndFirst) {
  ASSERT_FALSE(siphash24_kernels().empty());
  EXPECT_STREQ(siphash24_kernels().front().name, "scalar");
}

}  // namespace
}  // namespace synproxy
