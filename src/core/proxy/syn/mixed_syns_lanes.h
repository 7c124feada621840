// SPDX-License-Identifier: BSD-3-Clause
// SYNs of several shapes in one group, whatever their services offer, and SYNs of no shape. What a
// kernel for one shape has as a constant (syn_burst_lanes.h), a lane takes here from a table of
// all rows of kSynShapes. For the sources that compile them (../lanes/avx512.h).
#pragma once

#include "burst/kernels.h"
#include "syn/answer_columns_lanes.h"
#include "syn/shapes.h"

#if defined(__x86_64__)
namespace synproxy::SYNPROXY_ISA {

constexpr std::size_t kShapes = kSynShapes.size();
constexpr std::size_t kSecond = second_half(kMostOptionBytes);
// In a table, the place of frames that have the size of no shape.
static_assert(kShapes < Columns::kLanes, "a table is one register");

struct alignas(64) Table {
  std::array<std::uint64_t, Columns::kLanes> of_shape{};
};
// Of each row value(shape); where there is no shape, `none`.
template <typename Value>
constexpr Table table_of(Value&& value, std::uint64_t none = 0) {
  Table t;
  t.of_shape.fill(none);
  for (std::size_t i = 0; i < kShapes; ++i) t.of_shape[i] = value(kSynShapes[i]);
  return t;
}
template <typename Holds>
constexpr std::uint64_t rows_where(Holds&& holds) {
  std::uint64_t rows = 0;
  for (std::size_t i = 0; i < kShapes; ++i) rows |= std::uint64_t{holds(kSynShapes[i])} << i;
  return rows;
}

struct Lanes {
  Index index;  // the shape
  U64x8 bit;    // 1 << shape

  SYNPROXY_LANES explicit Lanes(U64x8 of_lane)
      : index(index_of(of_lane)), bit(up_by_each(all(1), of_lane)) {}
  SYNPROXY_LANES U64x8 take(const Table& t) const { return look_up(t.of_shape, index); }
  // The lanes whose shape is one of `rows`.
  SYNPROXY_LANES Mask of(std::uint64_t rows) const { return any_bit(bit, all(rows)); }
};

// The length of the TCP header in words of 32 bits.
SYNPROXY_LANES U64x8 header_words(const Words& f) {
  constexpr Place kOffset = place_of(usual_at::kOffsetAndFlags, kSecond);
  static_assert(!kOffset.upper);
  return both(down_by<4>(f.w[kOffset.word]), all(15));
}
// By that length. What else is there is verified.
SYNPROXY_LANES Lanes lanes_of(const Words& f) {
  return Lanes(look_up(kShapeOfSize, header_words(f)));
}

template <bool kIpv6>
constexpr Patterns patterns(const SynShape& s) {
  return patterns_of(kIpv6 ? tcp_pattern_of(s) : pattern_of(s), kSecond);
}
// What word kWord has that its lane's shape has not. No bit is set in a lane that matches.
template <bool kIpv6, std::size_t kWord>
SYNPROXY_LANES U64x8 difference(const Words& f, const Lanes& lanes) {
  static constexpr Table kMask =
      table_of([](const SynShape& s) { return patterns<kIpv6>(s)[kWord].mask; });
  static constexpr Table kValue =
      table_of([](const SynShape& s) { return patterns<kIpv6>(s)[kWord].value; }, ~0ULL);
  constexpr bool kFree = kMask.of_shape == Table{}.of_shape;
  if constexpr (kFree) return all(0);
  return differing_bits(f.w[kWord], lanes.take(kMask), lanes.take(kValue));
}
template <bool kIpv6, std::size_t... kWord>
SYNPROXY_LANES Mask matches(const Words& f, const Lanes& lanes, std::index_sequence<kWord...>) {
  U64x8 found = all(0);
  ((found = either(found, difference<kIpv6, kWord>(f, lanes))), ...);
  return no_bit(found, found);
}
// IPv6: the length in the first word of the header.
SYNPROXY_LANES Mask first_matches(Mask good, const Ipv6Words& v, const Lanes& lanes) {
  constexpr auto kOf = [](const SynShape& s) {
    return before_tcp(s.tcp_size).word<std::uint64_t>(0);
  };
  static constexpr Table kValue = table_of([=](const SynShape& s) { return kOf(s).value; }, ~0ULL);
  constexpr std::uint64_t kMask = kOf(kSynShapes[0]).mask;
  return equal(good, both(v.first, all(kMask)), lanes.take(kValue));
}

// The sum of the options' words that belong to the segment.
template <std::size_t... kOptionWord>
SYNPROXY_LANES U64x8 sum_of_options(const Words& f, const Lanes& lanes,
                                    std::index_sequence<kOptionWord...>) {
  U64x8 sum = all(0);
  const auto add_word = [&](auto word) SYNPROXY_LANES_LAMBDA {
    constexpr std::size_t kIndex = decltype(word)::value;
    static constexpr Table kInside = table_of([](const SynShape& s) {
      const std::size_t at = 8 * kIndex;
      const std::size_t bytes = std::min<std::size_t>(s.options.bytes(), at + 8) -
                                std::min<std::size_t>(s.options.bytes(), at);
      return bytes == 0 ? 0 : ~0ULL >> 8 * (8 - bytes);
    });
    constexpr Place kPlace = place_of(usual_at::kOptions + 8 * kIndex, kSecond);
    static_assert(!kPlace.upper);
    sum = add(sum, halves(both(f.w[kPlace.word], lanes.take(kInside))));
  };
  (add_word(std::integral_constant<std::size_t, kOptionWord>()), ...);
  return sum;
}
// `addresses`: the sum of both.
SYNPROXY_LANES Mask tcp_sum_is_good(Mask good, const Words& f, const Lanes& lanes,
                                    U64x8 addresses) {
  static constexpr Table kPseudo =
      table_of([](const SynShape& s) { return raw(kProtocolTcp + s.tcp_size); });
  const U64x8 header = sum_of<usual_at::kTcp, usual_at::kOptions, kSecond>(f);
  const U64x8 options = sum_of_options(f, lanes, std::make_index_sequence<kMostOptionBytes / 8>());
  return good & is_good(add(add(addresses, lanes.take(kPseudo)), add(header, options)));
}
SYNPROXY_LANES Mask sums_are_good(Mask good, const Words& f, const Lanes& lanes) {
  const U64x8 ends = sum_of<usual_at::kSource, usual_at::kTcp, kSecond>(f);
  const U64x8 ip = sum_of<usual_at::kIp, usual_at::kSource, kSecond>(f);
  return tcp_sum_is_good(good & is_good(add(ends, ip)), f, lanes, ends);
}

// The value of an option in the lanes whose shape has it, `otherwise` in the others.
template <OptionWord kWord, std::size_t... kIndex>
SYNPROXY_LANES U64x8 value_of(const Words& f, const Lanes& lanes, U64x8 otherwise,
                              std::index_sequence<kIndex...>) {
  const auto look = [&](auto index) SYNPROXY_LANES_LAMBDA {
    constexpr std::size_t kAt = 4 * decltype(index)::value;
    constexpr std::uint64_t kRows = rows_where(
        [](const SynShape& s) { return s.options.has(kWord) && s.options.at(kWord) == kAt; });
    if constexpr (kRows != 0) {
      otherwise = choose(lanes.of(kRows), otherwise,
                         option_value<kWord, usual_at::kOptions + kAt, kSecond>(f));
    }
  };
  (look(std::integral_constant<std::size_t, kIndex>()), ...);
  return otherwise;
}
template <OptionWord kWord>
SYNPROXY_LANES U64x8 value_of(const Words& f, const Lanes& lanes, U64x8 otherwise) {
  return value_of<kWord>(f, lanes, otherwise, std::make_index_sequence<kMostOptionBytes / 4>());
}

constexpr std::uint64_t kStamped = rows_where([](const SynShape& s) { return s.timestamps; });
constexpr std::uint64_t kWithSack = rows_where([](const SynShape& s) { return s.sack; });
constexpr std::uint64_t kWithScale =
    rows_where([](const SynShape& s) { return s.options.has_scale(); });

// As parse_tcp_options() reads them: the first eight bytes of TcpOptions.
template <bool kIpv6>
SYNPROXY_LANES U64x8 said_by(const Words& f, const Lanes& lanes) {
  using enum OptionWord;
  const U64x8 mss = value_of<kMss>(f, lanes, all(0));
  const U64x8 value = value_of<kNopAndScale>(f, lanes, all(kNoScale));
  const U64x8 scale = no_more_in(lanes.of(kWithScale), value, kMaxWindowScale);
  const U64x8 flags =
      either(one_if(lanes.of(kWithSack), kSaidSack), one_if(lanes.of(kStamped), kSaidTimestamps));
  return either(either(mss, up_by<16>(scale)), flags);
}

template <bool kIpv6>
SYNPROXY_KERNEL std::uint32_t verify_mixed(SynGroup& g, std::uint32_t used) {
  Words f;
  load_words<kSecond>(g, shift_of(kIpv6), f);
  const Lanes lanes = lanes_of(f);
  Mask good = matches<kIpv6>(f, lanes, std::make_index_sequence<kWords>());
  if constexpr (kIpv6) {
    const Ipv6Words v = load_ipv6(g, f);
    good = sound_ends(first_matches(good, v, lanes), f, v);
    good = tcp_sum_is_good(good, f, lanes, sum_of_addresses(v));
    put_ends(g, f, v);
    put(g.source, v.first);
  } else {
    good = sums_are_good(sound_ends(good, f), f, lanes);
    put_ends(g, f);
    put(g.source, source_and_look(f));
  }
  put(g.destination, f.w[2]);
  put(g.isn, low(swap_words(f.w[3])));
  put(g.wants_ecn, all(0));
  put(g.options, said_by<kIpv6>(f, lanes));
  put(g.tsval, value_of<OptionWord::kTsval>(f, lanes, all(0)));
  return bits(good) & used;
}

// Does what asks_for_ecn() does.
SYNPROXY_LANES U64x8 asking_for_ecn(const Words& f) {
  constexpr Place kOffset = place_of(usual_at::kOffsetAndFlags, kSecond);
  constexpr std::uint64_t kBoth = be16(kEce | kCwr).raw();
  const U64x8 flags = both(f.w[kOffset.word], all(kBoth));
  return one_if(equal(flags, all(kBoth)), 1);
}
// Of a frame without data the length of its IP packet says that of the TCP header.
constexpr FramePattern any_options(bool ipv6) {
  FramePattern p;
  p.fix(usual_at::kOffsetAndFlags, kSyn, static_cast<std::uint16_t>(kTcpFlagBits & ~kAnyEcn));
  if (!ipv6) p.fix_all(kUsualFrame);
  return p;
}
template <bool kIpv6>
SYNPROXY_KERNEL std::uint32_t verify_odd(SynGroup& g, std::uint32_t used) {
  constexpr Patterns kPatterns = patterns_of(any_options(kIpv6), kSecond);
  Words f;
  load_words<kSecond>(g, shift_of(kIpv6), f);
  const U64x8 length = up_by<2>(header_words(f));
  put(g.tcp_length, length);
  Columns::Column<const std::uint8_t*> tcp;
  for (std::size_t i = 0; i < Columns::kLanes; ++i) {
    tcp[i] = g.frames[i] + usual_at::kTcp + shift_of(kIpv6);
  }
  Mask good = matches(kPatterns, f);
  U64x8 addresses;
  if constexpr (kIpv6) {
    constexpr BytePattern<8> kFirst = before_tcp();
    const Ipv6Words v = load_ipv6(g, f);
    good = sound_ends(first_is(good, v, kFirst), f, v);
    const U64x8 said = down_by<48>(swap_words(v.first));
    good = equal(good, said, length);
    addresses = sum_of_addresses(v);
    put_ends(g, f, v);
    put(g.source, v.first);
  } else {
    good = sound_ends(good, f);
    const U64x8 said = both(swap_words(f.w[0]), all(0xffff));
    good = equal(good, said, add(length, all(kIpv4Header)));
    addresses = sum_of<usual_at::kSource, usual_at::kTcp, kSecond>(f);
    good &= is_good(add(addresses, sum_of<usual_at::kIp, usual_at::kSource, kSecond>(f)));
    put_ends(g, f);
    put(g.source, source_and_look(f));
  }
  const U64x8 pseudo = low(swap_words(add(length, all(kProtocolTcp))));
  good &= is_good(add(add(sums_of_bytes(tcp, g.tcp_length), addresses), pseudo));
  put(g.destination, f.w[2]);
  put(g.wants_ecn, asking_for_ecn(f));
  put(g.isn, low(swap_words(f.w[3])));
  return bits(good) & used;
}

template <bool kIpv6>
SYNPROXY_KERNEL std::uint32_t answer_mixed(SynGroup& g, std::uint32_t which, const EpochKeys& keys,
                                           std::uint64_t left_out) {
  const Mask wants_ecn = any_bit(get(g.wants_ecn), all(1));
  const Agreed a = agree_upon<kIpv6>(get(g.options), get(g.can), wants_ecn, keys.plain.tight);
  swap_mac_addresses_of(g, which);
  const Answers made = answer_lanes<kIpv6>(
      g, which, a,
      {.offer = get(g.offers), .isn = get(g.isn), .tsecr = get(g.tsval), .look = get(g.source)},
      keys);
  put(g.tcp_length, made.tcp);
  const std::uint32_t followed = bits(no_bit(made.mac, all(left_out))) & which;
  if (followed != 0) put(g.macs, made.mac);
  return followed;
}

constexpr MixedSynKernels kMixedTable{SynKernel{&verify_mixed<false>, &answer_mixed<false>},
                                      SynKernel{&verify_mixed<true>, &answer_mixed<true>}};
constexpr MixedSynKernels kOddTable{SynKernel{&verify_odd<false>, &answer_mixed<false>},
                                    SynKernel{&verify_odd<true>, &answer_mixed<true>}};

}  // namespace synproxy::SYNPROXY_ISA
#endif
