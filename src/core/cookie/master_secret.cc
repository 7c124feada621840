// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/cookie/master_secret.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <stdexcept>
#include <string_view>
#include <utility>

#include "synproxy/cookie/hkdf.h"

namespace synproxy {

namespace {

[[nodiscard]] std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// These names change when the layouts do, so that proxies of different versions share nothing by
// mistake.
constexpr std::string_view kSalt = "synproxy cookie 1";
constexpr std::string_view kTimestampsInfo = "timestamps";
constexpr std::string_view kPlainInfo = "plain";

[[nodiscard]] std::uint64_t load_word(const std::uint8_t* p) {
  std::uint64_t word = 0;
  for (unsigned i = 0; i < 8; ++i) {
    word |= std::uint64_t{p[i]} << (8 * i);
  }
  return word;
}

[[nodiscard]] LayoutKey derive_layout(const HkdfKey& prk, std::string_view layout,
                                      std::uint64_t epoch) {
  std::string info(layout);
  info.push_back('\0');
  for (int shift = 56; shift >= 0; shift -= 8) {
    info.push_back(static_cast<char>(epoch >> shift & 0xff));
  }
  std::array<std::uint8_t, 24> out;
  hkdf_expand(prk, bytes_of(info), out);
  const LayoutKey key{
      .k0 = load_word(&out[0]), .k1 = load_word(&out[8]), .multiplier = load_word(&out[16]) | 1U};
  OPENSSL_cleanse(out.data(), out.size());
  return key;
}

}  // namespace

MasterSecret::MasterSecret(std::span<const std::uint8_t> secret)
    : prk_(hkdf_extract(bytes_of(kSalt), secret)) {}

MasterSecret::~MasterSecret() { OPENSSL_cleanse(prk_.data(), prk_.size()); }

MasterSecret::MasterSecret(MasterSecret&& other) noexcept : prk_(other.prk_) {
  OPENSSL_cleanse(other.prk_.data(), other.prk_.size());
}

MasterSecret& MasterSecret::operator=(MasterSecret&& other) noexcept {
  if (this != &other) {
    prk_ = other.prk_;
    OPENSSL_cleanse(other.prk_.data(), other.prk_.size());
  }
  return *this;
}

MasterSecret MasterSecret::random() {
  std::array<std::uint8_t, 32> bytes;
  if (RAND_priv_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    throw std::runtime_error("the system's random generator gives no bytes for the cookie secret");
  }
  MasterSecret secret{bytes};
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return secret;
}

EpochKeys MasterSecret::derive(std::uint64_t epoch) const {
  return {.epoch = epoch,
          .timestamps = derive_layout(prk_, kTimestampsInfo, epoch),
          .plain = derive_layout(prk_, kPlainInfo, epoch)};
}

bool operator==(const MasterSecret& a, const MasterSecret& b) {
  return CRYPTO_memcmp(a.prk_.data(), b.prk_.data(), a.prk_.size()) == 0;
}

void publish_epochs(KeyRing& ring, const MasterSecret& secret, std::uint64_t epoch) {
  for (std::uint64_t wanted = epoch == 0 ? 0 : epoch - 1; wanted <= epoch + kEpochsAhead;
       ++wanted) {
    EpochKeys keys;
    if (!ring.read(wanted, keys)) {
      keys = secret.derive(wanted);
      ring.publish(keys);
    }
    cleanse(keys);
  }
}

void cleanse(EpochKeys& keys) { OPENSSL_cleanse(&keys, sizeof keys); }

}  // namespace synproxy
