// SPDX-License-Identifier: BSD-3-Clause
// HKDF-SHA256 (RFC 5869), its two steps apart, on OpenSSL. Both throw std::runtime_error if it
// fails.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace synproxy {

using HkdfKey = std::array<std::uint8_t, 32>;  // PRK: one SHA-256 output

// RFC 5869 section 2.2. Neither is empty: OpenSSL 3.0 fails on an empty salt here.
[[nodiscard]] HkdfKey hkdf_extract(std::span<const std::uint8_t> salt,
                                   std::span<const std::uint8_t> secret);

// RFC 5869 section 2.3. `out` is filled: 1 to 8,160 bytes.
void hkdf_expand(const HkdfKey& prk, std::span<const std::uint8_t> info,
                 std::span<std::uint8_t> out);

}  // namespace synproxy
