// SPDX-License-Identifier: BSD-3-Clause
// Lists of TCP options as they stand on the wire, in words of 32 bits: those of the usual senders,
// recognised by their fixed bits, and those that the proxy writes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>

#include "synproxy/wire/bytes.h"

namespace synproxy {

inline constexpr std::uint8_t kOptionEnd = 0;
inline constexpr std::uint8_t kOptionNop = 1;
inline constexpr std::uint8_t kOptionMss = 2;            // 4 bytes
inline constexpr std::uint8_t kOptionWindowScale = 3;    // 3 bytes, RFC 7323 section 2.2
inline constexpr std::uint8_t kOptionSackPermitted = 4;  // 2 bytes, RFC 2018 section 2
inline constexpr std::uint8_t kOptionSack = 5;           // 2 + 8 n bytes, RFC 2018 section 3
inline constexpr std::uint8_t kOptionTimestamps = 8;     // 10 bytes, RFC 7323 section 3.2
inline constexpr std::uint8_t kTimestampsLength = 10;
inline constexpr std::uint8_t kOptionMd5 = 19;  // 18 bytes, RFC 2385
inline constexpr std::uint8_t kOptionAo = 29;   // at least 4 bytes, RFC 5925 section 2.2
inline constexpr std::size_t kMaxOptionBytes = 40;

inline constexpr std::uint8_t kMaxWindowScale = 14;  // RFC 7323 section 2.3
inline constexpr std::uint8_t kNoScale = 15;         // no window scale option

enum class OptionWord : std::uint8_t {
  kMss,                // kind, length, value in the lower half
  kNopAndScale,        // value in the last byte
  kNopsAndSack,        // SACK-permitted
  kSackAndEnd,         // SACK-permitted, end of options, padding
  kSackAndTimestamps,  // SACK-permitted, kind and length of timestamps
  kNopsAndTimestamps,  // kind and length of timestamps
  kTsval,              // follows one of the two words before
  kTsecr,              // follows kTsval
};

// The fixed bits of a word in host order, and a mask of the bits that are fixed.
struct WordForm {
  std::uint32_t fixed = 0;
  std::uint32_t mask = 0;
};
namespace detail {
constexpr WordForm four(unsigned a, unsigned b, unsigned c, unsigned d, std::uint32_t mask) {
  return {a << 24 | b << 16 | c << 8 | d, mask};
}
}  // namespace detail
[[nodiscard]] constexpr WordForm form_of(OptionWord w) {
  constexpr unsigned kNop = kOptionNop;
  switch (w) {
    case OptionWord::kMss:
      return detail::four(kOptionMss, 4, 0, 0, 0xffff0000U);
    case OptionWord::kNopAndScale:
      return detail::four(kNop, kOptionWindowScale, 3, 0, 0xffffff00U);
    case OptionWord::kNopsAndSack:
      return detail::four(kNop, kNop, kOptionSackPermitted, 2, 0xffffffffU);
    case OptionWord::kSackAndEnd:
      return detail::four(kOptionSackPermitted, 2, kOptionEnd, 0, 0xffffffffU);
    case OptionWord::kSackAndTimestamps:
      return detail::four(kOptionSackPermitted, 2, kOptionTimestamps, 10, 0xffffffffU);
    case OptionWord::kNopsAndTimestamps:
      return detail::four(kNop, kNop, kOptionTimestamps, 10, 0xffffffffU);
    case OptionWord::kTsval:
    case OptionWord::kTsecr:
      break;
  }
  return {};
}
// Bytes from the start of a word to its value.
[[nodiscard]] constexpr std::size_t value_at(OptionWord w) {
  return w == OptionWord::kMss ? 2 : w == OptionWord::kNopAndScale ? 3 : 0;
}

struct OptionList {
  std::array<OptionWord, kMaxOptionBytes / 4> words{};
  std::size_t count = 0;

  constexpr OptionList() = default;
  constexpr OptionList(std::initializer_list<OptionWord> list) {
    for (const OptionWord w : list) add(w);
  }
  constexpr void add(OptionWord w) { words[count++] = w; }

  [[nodiscard]] constexpr std::size_t bytes() const { return 4 * count; }
  // Offset of the word from the start of the options; bytes() if it is not in the list.
  [[nodiscard]] constexpr std::size_t at(OptionWord w) const {
    std::size_t i = 0;
    while (i < count && words[i] != w) ++i;
    return 4 * i;
  }
  [[nodiscard]] constexpr bool has(OptionWord w) const { return at(w) != bytes(); }
  [[nodiscard]] constexpr bool has_timestamps() const { return has(OptionWord::kTsval); }
  [[nodiscard]] constexpr bool has_scale() const { return has(OptionWord::kNopAndScale); }
  [[nodiscard]] constexpr bool has_sack() const {
    return has(OptionWord::kNopsAndSack) || has(OptionWord::kSackAndEnd) ||
           has(OptionWord::kSackAndTimestamps);
  }
};

// The options of a SYN of Linux or Android. The proxy writes the same list when all four are agreed
// upon.
inline constexpr OptionList kAllFourOptions{OptionWord::kMss, OptionWord::kSackAndTimestamps,
                                            OptionWord::kTsval, OptionWord::kTsecr,
                                            OptionWord::kNopAndScale};
// The options of nearly all stacks' segments once timestamps are agreed upon (RFC 7323 appendix A).
inline constexpr OptionList kTimestampsAlone{OptionWord::kNopsAndTimestamps, OptionWord::kTsval,
                                             OptionWord::kTsecr};

// Reading. `options` has list.bytes() bytes.
namespace detail {
template <OptionList kList, std::size_t... kWord>
[[nodiscard]] inline std::uint32_t difference(const std::uint8_t* options,
                                              std::index_sequence<kWord...>) {
  return (0U | ... |
          ((load_raw<std::uint32_t>(options + 4 * kWord) ^
            be32(form_of(kList.words[kWord]).fixed).raw()) &
           be32(form_of(kList.words[kWord]).mask).raw()));
}
}  // namespace detail
// Whether the options are such a list, with any values.
template <OptionList kList>
[[nodiscard]] inline bool is_list(const std::uint8_t* options) {
  return detail::difference<kList>(options, std::make_index_sequence<kList.count>()) == 0;
}
template <OptionList kList, OptionWord kWord, typename T>
[[nodiscard]] inline T value_of(const std::uint8_t* options) {
  static_assert(kList.has(kWord));
  return load_be<T>(options + kList.at(kWord) + value_at(kWord));
}

// --- what the proxy writes ---------------------------------------------------------------------
using OptionSet = std::uint8_t;
inline constexpr OptionSet kSaysMss = 1;
inline constexpr OptionSet kSaysTimestamps = 2;
inline constexpr OptionSet kSaysSack = 4;
inline constexpr OptionSet kSaysScale = 8;
inline constexpr OptionSet kSaysAllFour = kSaysMss | kSaysTimestamps | kSaysSack | kSaysScale;
[[nodiscard]] constexpr OptionSet option_set(bool mss, bool timestamps, bool sack, bool scale) {
  return static_cast<OptionSet>((mss ? kSaysMss : 0U) | (timestamps ? kSaysTimestamps : 0U) |
                                (sack ? kSaysSack : 0U) | (scale ? kSaysScale : 0U));
}

// Calls emit(word) for each word, in the order in which the proxy writes them. `Set`: OptionSet, or
// a type whose value is known at compile time.
template <typename Set, typename Emit>
constexpr void lay_out_options(Set set, Emit&& emit) {
  if ((set & kSaysMss) != 0) emit(OptionWord::kMss);
  if ((set & kSaysTimestamps) != 0) {
    (set & kSaysSack) != 0 ? emit(OptionWord::kSackAndTimestamps)
                           : emit(OptionWord::kNopsAndTimestamps);
    emit(OptionWord::kTsval);
    emit(OptionWord::kTsecr);
  } else if ((set & kSaysSack) != 0) {
    emit(OptionWord::kNopsAndSack);
  }
  if ((set & kSaysScale) != 0) emit(OptionWord::kNopAndScale);
}
[[nodiscard]] constexpr OptionList written_options(OptionSet set) {
  OptionList list;
  lay_out_options(set, [&](OptionWord w) { list.add(w); });
  return list;
}
// The bytes that these options take.
template <typename Set>
[[nodiscard]] constexpr std::uint32_t written_size(Set set) {
  std::uint32_t bytes = 0;
  lay_out_options(set, [&](OptionWord) { bytes += 4; });
  return bytes;
}

}  // namespace synproxy
