// SPDX-License-Identifier: BSD-3-Clause
#include "intrinsics.h"
#include "option_walks.h"

#if defined(__x86_64__)
#include <array>

// Every CPU with AVX-512 counts leading zeros.
#define SYNPROXY_WALK_TARGET "avx512f,avx512bw,avx512vl,avx512vbmi,lzcnt"
#define SYNPROXY_WALK __attribute__((target(SYNPROXY_WALK_TARGET), always_inline)) inline
#define SYNPROXY_WALK_KERNEL __attribute__((target(SYNPROXY_WALK_TARGET)))

namespace synproxy::detail {
namespace {

struct alignas(64) Lanes {
  std::array<std::uint8_t, 64> at;
};
constexpr Lanes kCount = [] {
  Lanes l{};
  for (std::size_t i = 0; i < l.at.size(); ++i) l.at[i] = static_cast<std::uint8_t>(i);
  return l;
}();

SYNPROXY_WALK __m512i bytes(std::uint8_t value) {
  return _mm512_set1_epi8(static_cast<char>(value));
}

// Lane n is the n-th step of the walk: a NOP is a step, an option is a step.
struct Steps {
  __m512i at;      // offset of the step
  __m512i kind;    // 0 from the end of the walk on
  __m512i length;  // as the option says
  __mmask64 bad;   // Map::bad
};

// What stands at each offset, if a step begins there.
struct Map {
  __m512i kinds;    // 0 where a walk ends
  __m512i lengths;  // as the options say
  __m512i next;     // where the step that would follow it begins; where a walk ends it is this one
  __mmask64 bad;    // here a walk cannot go on
};
SYNPROXY_WALK Map map_of(const std::uint8_t* options, std::size_t size) {
  const __m512i count = _mm512_load_si512(&kCount);
  const __mmask64 there = (1ULL << size) - 1;
  // Two loads: one of 64 bytes would wait for a line behind the headers that nobody has fetched.
  const __m256i front = _mm256_maskz_loadu_epi8(static_cast<__mmask32>(there), options);
  const __m128i rest = _mm_maskz_loadu_epi8(static_cast<__mmask16>(there >> 32), options + 32);
  const __m512i kinds = _mm512_inserti32x4(_mm512_zextsi256_si512(front), rest, 2);
  Map m;
  m.lengths = _mm512_maskz_permutexvar_epi8(there >> 1,
                                            _mm512_maskz_add_epi8(there, count, bytes(1)), kinds);
  const __mmask64 nop = _mm512_cmpeq_epi8_mask(kinds, bytes(kOptionNop));
  const __mmask64 end = _mm512_cmpeq_epi8_mask(kinds, bytes(kOptionEnd));
  const __m512i onward = _mm512_mask_mov_epi8(m.lengths, nop, bytes(1));
  const __m512i next = _mm512_adds_epu8(count, onward);
  const __mmask64 misfits = _mm512_cmpgt_epu8_mask(next, bytes(static_cast<std::uint8_t>(size))) |
                            (_mm512_cmplt_epu8_mask(m.lengths, bytes(2)) & ~nop);
  m.bad = misfits & ~end;
  m.next = _mm512_mask_mov_epi8(next, misfits | end, count);
  m.kinds = _mm512_maskz_mov_epi8(~(misfits | end), kinds);
  return m;
}

// The map is applied n times to offset 0 for each lane n, by the bits of n: once where bit 0 is
// set, twice where bit 1 is, and so on. Each application waits for the one before it, so several
// lists are walked side by side.
template <std::size_t kLists>
SYNPROXY_WALK void walk(const std::array<Map, kLists>& maps, std::array<Steps, kLists>& steps) {
  constexpr std::array<__mmask64, 6> kBit{0xaaaaaaaaaaaaaaaaULL, 0xccccccccccccccccULL,
                                          0xf0f0f0f0f0f0f0f0ULL, 0xff00ff00ff00ff00ULL,
                                          0xffff0000ffff0000ULL, 0xffffffff00000000ULL};
  __m512i next[kLists];
  __m512i at[kLists];
  for (std::size_t i = 0; i < kLists; ++i) {
    next[i] = maps[i].next;
    at[i] = _mm512_setzero_si512();
  }
#pragma GCC unroll 8
  for (std::size_t bit = 0; bit < kBit.size(); ++bit) {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kLists; ++i) {
      at[i] = _mm512_mask_permutexvar_epi8(at[i], kBit[bit], at[i], next[i]);
      next[i] = _mm512_permutexvar_epi8(next[i], next[i]);
    }
  }
  for (std::size_t i = 0; i < kLists; ++i) {
    steps[i] = {.at = at[i],
                .kind = _mm512_permutexvar_epi8(at[i], maps[i].kinds),
                .length = _mm512_permutexvar_epi8(at[i], maps[i].lengths),
                .bad = maps[i].bad};
  }
}
SYNPROXY_WALK Steps walk(const std::uint8_t* options, std::size_t size) {
  std::array<Steps, 1> steps;
  walk<1>({map_of(options, size)}, steps);
  return steps[0];
}

SYNPROXY_WALK __mmask64 of_kind(const Steps& s, std::uint8_t kind) {
  return _mm512_cmpeq_epi8_mask(s.kind, bytes(kind));
}
SYNPROXY_WALK __mmask64 of_form(const Steps& s, std::uint8_t kind, std::uint8_t length) {
  return _mm512_mask_cmpeq_epi8_mask(of_kind(s, kind), s.length, bytes(length));
}
// Offsets, one for each step, and one for "there is none". Whether a list made at random has an
// option is a coin toss, so nothing branches on it.
class Offsets {
 public:
  SYNPROXY_WALK Offsets(__m512i at, std::uint8_t none) {
    _mm512_store_si512(bytes_.data() + kSteps, at);
    bytes_[kSteps - 1] = none;
  }
  // Of the last of `steps`.
  [[nodiscard]] SYNPROXY_WALK std::size_t last(__mmask64 steps) const {
    return bytes_[2 * kSteps - 1 - _lzcnt_u64(steps)];
  }

 private:
  static constexpr std::size_t kSteps = 64;
  alignas(64) std::array<std::uint8_t, 2 * kSteps> bytes_;  // the first half ends with "none"
};

}  // namespace

bool has_vector_walks() {
  return __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
         __builtin_cpu_supports("avx512vbmi") != 0;
}

namespace {
SYNPROXY_WALK TcpOptions read(const Steps& s, const std::uint8_t* options, std::size_t size) {
  const Offsets value(_mm512_adds_epu8(s.at, bytes(2)), 0);
  OptionValues at;
  at.mss = value.last(of_form(s, kOptionMss, 4));
  at.scale = value.last(of_form(s, kOptionWindowScale, 3));
  at.sack_permitted = value.last(of_form(s, kOptionSackPermitted, 2));
  at.timestamps = value.last(of_form(s, kOptionTimestamps, kTimestampsLength));
  at.auth = value.last(of_kind(s, kOptionMd5) | of_kind(s, kOptionAo));
  const __m128i last = _mm512_extracti32x4_epi32(s.at, 3);
  const auto end = static_cast<std::uint8_t>(_mm_extract_epi8(last, 15));
  return read_options(options, size, at, (s.bad >> end & 1U) != 0);
}
}  // namespace

SYNPROXY_WALK_KERNEL TcpOptions parse_at_once(const std::uint8_t* options, std::size_t size) {
  return read(walk(options, size), options, size);
}

SYNPROXY_WALK_KERNEL void parse_four_at_once(const OptionText* lists, TcpOptions* out) {
  std::array<Map, 4> maps;
  for (std::size_t i = 0; i < maps.size(); ++i) maps[i] = map_of(lists[i].at, lists[i].size);
  std::array<Steps, 4> steps;
  walk<4>(maps, steps);
  for (std::size_t i = 0; i < maps.size(); ++i) out[i] = read(steps[i], lists[i].at, lists[i].size);
}

SYNPROXY_WALK_KERNEL std::size_t find_timestamps_at_once(const std::uint8_t* options,
                                                         std::size_t size) {
  const Steps s = walk(options, size);
  const Offsets start(s.at, static_cast<std::uint8_t>(size));
  return start.last(of_form(s, kOptionTimestamps, kTimestampsLength));
}
}  // namespace synproxy::detail
#else
namespace synproxy::detail {
bool has_vector_walks() { return false; }
TcpOptions parse_at_once(const std::uint8_t* options, std::size_t size) {
  return parse_by_steps(options, size);
}
void parse_four_at_once(const OptionText* lists, TcpOptions* out) {
  for (std::size_t i = 0; i < 4; ++i) out[i] = parse_by_steps(lists[i].at, lists[i].size);
}
std::size_t find_timestamps_at_once(const std::uint8_t* options, std::size_t size) {
  return find_timestamps_by_steps(options, size);
}
}  // namespace synproxy::detail
#endif
