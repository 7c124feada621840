// SPDX-License-Identifier: BSD-3-Clause
// The keyed hash that places a connection: its worker, its bucket and its tag.
//
// An attacker may have as many real addresses and ports as he likes. Without the key he must not be
// able to choose connections that meet in one bucket. The first round is NH (RFC 4418 section
// 5.2.2) with 64-bit words: any two keys that he picks agree in all of its 128 bits with a chance
// of 2^-64 over the choice of the IndexKey. The second round is the same construction over those
// 128 bits. This is not a MAC: none of it is ever shown outside, and cookies have their own hash.
#pragma once

#include <array>
#include <cstdint>

#include "synproxy/base/wide_product.h"
#include "synproxy/flow/identity.h"
#include "synproxy/flow/key.h"
#include "synproxy/wire/bytes.h"

namespace synproxy {

// Random, drawn once per process. All workers have the same one, because they must agree on
// worker_of().
using IndexKey = std::array<std::uint64_t, 4>;

// Use of the 64 bits: bits 0-15 are the tag, 16-31 the worker, 32-63 the bucket. For IPv6 all of
// them stand for the addresses, too (record_identity()).
[[nodiscard]] inline std::uint64_t index_hash(const IndexKey& secret, const KeyView& key) {
  const FlowIdentity& identity = key.identity;
  Uint128 first;
  if (!key.ipv6()) [[likely]] {
    first = wide_product(identity.addresses + secret[0], identity.ports_and_vlan + secret[1]);
  } else {
    // NH bounds the chance of every difference, not only of zero, so a fifth word may be added.
    first = wide_product(load_raw<std::uint64_t>(key.client) + secret[0],
                         load_raw<std::uint64_t>(key.client + 8) + secret[1]) +
            wide_product(load_raw<std::uint64_t>(key.server) + secret[2],
                         load_raw<std::uint64_t>(key.server + 8) + secret[3]) +
            (static_cast<Uint128>(identity.ports_and_vlan) << 64);
  }
  return folded_product(low_half(first) + secret[2], high_half(first) + secret[3]);
}

// 0 <= result < workers, which is 1 to 65,535. The spread is even to within workers / 65,536.
[[nodiscard]] constexpr std::uint32_t worker_of(std::uint64_t hash, std::uint32_t workers) {
  return static_cast<std::uint32_t>((hash >> 16 & 0xffffU) * workers >> 16);
}

}  // namespace synproxy
