// SPDX-License-Identifier: BSD-3-Clause
// One cache line of the flow index: ten short tags beside ten record numbers.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "synproxy/flow/record.h"

namespace synproxy {

inline constexpr std::uint32_t kBucketSlots = 10;

// All zero is an empty bucket. A tag of 0 is an empty slot.
struct alignas(64) FlowBucket {
  std::array<std::uint16_t, kBucketSlots> tags{};
  std::uint16_t displaced = 0;  // entries whose home is here but that stand in their other bucket
  std::uint16_t foreign = 0;    // bit s: slot s holds an entry whose home is its other bucket
  std::array<FlowIndex, kBucketSlots> records{};
};
static_assert(sizeof(FlowBucket) == 64);

// Bits 0-15 of the hash, never 0.
[[nodiscard]] constexpr std::uint16_t tag_of(std::uint64_t hash) {
  const auto bits = static_cast<std::uint16_t>(hash);
  return bits != 0 ? bits : std::uint16_t{0x8000};
}

// Bit s of the result: slot s carries `tag`.
[[nodiscard]] inline std::uint32_t match_tags_portable(const FlowBucket& bucket,
                                                       std::uint16_t tag) {
  std::uint32_t mask = 0;
  for (std::uint32_t s = 0; s < kBucketSlots; ++s) mask |= (bucket.tags[s] == tag ? 1U : 0U) << s;
  return mask;
}

[[nodiscard]] inline std::uint32_t match_tags(const FlowBucket& bucket, std::uint16_t tag) {
#if defined(__SSE2__)
  // The second load reaches past the tags, into the same line; the mask drops what it finds there.
  const auto* line = reinterpret_cast<const __m128i*>(&bucket);
  const __m128i wanted = _mm_set1_epi16(static_cast<short>(tag));
  const __m128i equal = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(line), wanted),
                                        _mm_cmpeq_epi16(_mm_load_si128(line + 1), wanted));
  return static_cast<std::uint32_t>(_mm_movemask_epi8(equal)) & ((1U << kBucketSlots) - 1);
#else
  return match_tags_portable(bucket, tag);
#endif
}

}  // namespace synproxy
