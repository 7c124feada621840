// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/cookie/hkdf.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <memory>
#include <stdexcept>
#include <vector>

namespace synproxy {

namespace {

// OpenSSL's parameters point to non-const memory that it only reads.
OSSL_PARAM octets(const char* name, std::span<const std::uint8_t> bytes) {
  return OSSL_PARAM_construct_octet_string(
      name,
      const_cast<std::uint8_t*>(bytes.data()),  // NOLINT(cppcoreguidelines-pro-type-const-cast)
      bytes.size());
}

void run(int mode, std::span<const OSSL_PARAM> inputs, std::span<std::uint8_t> out) {
  const std::unique_ptr<EVP_KDF, decltype(&EVP_KDF_free)> kdf(
      EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_HKDF, nullptr), &EVP_KDF_free);
  const std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(
      kdf ? EVP_KDF_CTX_new(kdf.get()) : nullptr, &EVP_KDF_CTX_free);
  char digest[] = "SHA256";
  std::vector<OSSL_PARAM> params{
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0)};
  params.insert(params.end(), inputs.begin(), inputs.end());
  params.push_back(OSSL_PARAM_construct_end());
  if (!context || EVP_KDF_derive(context.get(), out.data(), out.size(), params.data()) != 1) {
    throw std::runtime_error("OpenSSL cannot compute HKDF-SHA256");
  }
}

}  // namespace

HkdfKey hkdf_extract(std::span<const std::uint8_t> salt, std::span<const std::uint8_t> secret) {
  HkdfKey prk;
  const std::array inputs{octets(OSSL_KDF_PARAM_SALT, salt), octets(OSSL_KDF_PARAM_KEY, secret)};
  run(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, inputs, prk);
  return prk;
}

void hkdf_expand(const HkdfKey& prk, std::span<const std::uint8_t> info,
                 std::span<std::uint8_t> out) {
  const std::array inputs{octets(OSSL_KDF_PARAM_KEY, prk), octets(OSSL_KDF_PARAM_INFO, info)};
  run(EVP_KDF_HKDF_MODE_EXPAND_ONLY, inputs, out);
}

}  // namespace synproxy
