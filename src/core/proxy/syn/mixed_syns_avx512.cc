// SPDX-License-Identifier: BSD-3-Clause
// SYNs of several shapes in one group, whatever their services offer, and SYNs of no shape. What a
// kernel for one shape has as a constant (syn_burst_avx512.cc), a lane takes here from a table of
// all rows of kSynShapes.
#include "syn/answer_columns_avx512.h"
#include "syn/shapes.h"
#include "syn/syn_burst.h"

#if defined(__x86_64__)
namespace synproxy {
namespace {

using namespace columns;

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
  __m512i shape;
  __m512i bit;  // 1 << shape

  SYNPROXY_COLUMNS explicit Lanes(__m512i of_lane)
      : shape(of_lane), bit(_mm512_sllv_epi64(all(1), of_lane)) {}
  SYNPROXY_COLUMNS __m512i take(const Table& t) const {
    return _mm512_permutexvar_epi64(shape, _mm512_load_si512(&t));
  }
  // The lanes whose shape is one of `rows`.
  SYNPROXY_COLUMNS __mmask8 of(std::uint64_t rows) const {
    return _mm512_test_epi64_mask(bit, all(rows));
  }
};

// The length of the TCP header in words of 32 bits.
SYNPROXY_COLUMNS __m512i header_words(const Words& f) {
  constexpr Place kOffset = place_of(usual_at::kOffsetAndFlags, kSecond);
  static_assert(!kOffset.upper);
  return _mm512_and_si512(_mm512_srli_epi64(f.w[kOffset.word], 4), all(15));
}
// By that length. What else is there is verified.
SYNPROXY_COLUMNS Lanes lanes_of(const Words& f) {
  alignas(64) static constexpr auto kOfSize = [] {
    std::array<std::uint64_t, 16> shapes{};
    for (std::size_t i = 0; i < shapes.size(); ++i) shapes[i] = kShapeOfSize[i];
    return shapes;
  }();
  return Lanes(_mm512_permutex2var_epi64(_mm512_load_si512(&kOfSize[0]), header_words(f),
                                         _mm512_load_si512(&kOfSize[8])));
}

template <bool kIpv6>
constexpr Patterns patterns(const SynShape& s) {
  return patterns_of(kIpv6 ? tcp_pattern_of(s) : pattern_of(s), kSecond);
}
// What word kWord has that its lane's shape has not. No bit is set in a lane that matches.
template <bool kIpv6, std::size_t kWord>
SYNPROXY_COLUMNS __m512i difference(const Words& f, const Lanes& lanes) {
  constexpr int kAndThenXor = (0xf0 & 0xcc) ^ 0xaa;  // (word & mask) ^ value
  static constexpr Table kMask =
      table_of([](const SynShape& s) { return patterns<kIpv6>(s)[kWord].mask; });
  static constexpr Table kValue =
      table_of([](const SynShape& s) { return patterns<kIpv6>(s)[kWord].value; }, ~0ULL);
  constexpr bool kFree = kMask.of_shape == Table{}.of_shape;
  if constexpr (kFree) return all(0);
  return _mm512_ternarylogic_epi64(f.w[kWord], lanes.take(kMask), lanes.take(kValue), kAndThenXor);
}
template <bool kIpv6, std::size_t... kWord>
SYNPROXY_COLUMNS __mmask8 matches(const Words& f, const Lanes& lanes,
                                  std::index_sequence<kWord...>) {
  __m512i found = all(0);
  ((found = either(found, difference<kIpv6, kWord>(f, lanes))), ...);
  return _mm512_testn_epi64_mask(found, found);
}
// IPv6: the length in the first word of the header.
SYNPROXY_COLUMNS __mmask8 first_matches(__mmask8 good, const Ipv6Words& v, const Lanes& lanes) {
  constexpr auto kOf = [](const SynShape& s) {
    return before_tcp(s.tcp_size).word<std::uint64_t>(0);
  };
  static constexpr Table kValue = table_of([=](const SynShape& s) { return kOf(s).value; }, ~0ULL);
  constexpr std::uint64_t kMask = kOf(kSynShapes[0]).mask;
  return _mm512_mask_cmpeq_epi64_mask(good, _mm512_and_si512(v.first, all(kMask)),
                                      lanes.take(kValue));
}

// The sum of the options' words that belong to the segment.
template <std::size_t... kOptionWord>
SYNPROXY_COLUMNS __m512i sum_of_options(const Words& f, const Lanes& lanes,
                                        std::index_sequence<kOptionWord...>) {
  __m512i sum = all(0);
  const auto add_word = [&](auto word) SYNPROXY_COLUMNS_LAMBDA {
    constexpr std::size_t kIndex = decltype(word)::value;
    static constexpr Table kInside = table_of([](const SynShape& s) {
      const std::size_t at = 8 * kIndex;
      const std::size_t bytes = std::min<std::size_t>(s.options.bytes(), at + 8) -
                                std::min<std::size_t>(s.options.bytes(), at);
      return bytes == 0 ? 0 : ~0ULL >> 8 * (8 - bytes);
    });
    constexpr Place kPlace = place_of(usual_at::kOptions + 8 * kIndex, kSecond);
    static_assert(!kPlace.upper);
    sum = add(sum, halves(_mm512_and_si512(f.w[kPlace.word], lanes.take(kInside))));
  };
  (add_word(std::integral_constant<std::size_t, kOptionWord>()), ...);
  return sum;
}
// `addresses`: the sum of both.
SYNPROXY_COLUMNS __mmask8 tcp_sum_is_good(__mmask8 good, const Words& f, const Lanes& lanes,
                                          __m512i addresses) {
  static constexpr Table kPseudo =
      table_of([](const SynShape& s) { return raw(kProtocolTcp + s.tcp_size); });
  const __m512i header = sum_of<usual_at::kTcp, usual_at::kOptions, kSecond>(f);
  const __m512i options =
      sum_of_options(f, lanes, std::make_index_sequence<kMostOptionBytes / 8>());
  return good & is_good(add(add(addresses, lanes.take(kPseudo)), add(header, options)));
}
SYNPROXY_COLUMNS __mmask8 sums_are_good(__mmask8 good, const Words& f, const Lanes& lanes) {
  const __m512i ends = sum_of<usual_at::kSource, usual_at::kTcp, kSecond>(f);
  const __m512i ip = sum_of<usual_at::kIp, usual_at::kSource, kSecond>(f);
  return tcp_sum_is_good(good & is_good(add(ends, ip)), f, lanes, ends);
}

// The value of an option in the lanes whose shape has it, `otherwise` in the others.
template <OptionWord kWord, std::size_t... kIndex>
SYNPROXY_COLUMNS __m512i value_of(const Words& f, const Lanes& lanes, __m512i otherwise,
                                  std::index_sequence<kIndex...>) {
  const auto look = [&](auto index) SYNPROXY_COLUMNS_LAMBDA {
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
SYNPROXY_COLUMNS __m512i value_of(const Words& f, const Lanes& lanes, __m512i otherwise) {
  return value_of<kWord>(f, lanes, otherwise, std::make_index_sequence<kMostOptionBytes / 4>());
}

constexpr std::uint64_t kStamped = rows_where([](const SynShape& s) { return s.timestamps; });
constexpr std::uint64_t kWithSack = rows_where([](const SynShape& s) { return s.sack; });
constexpr std::uint64_t kWithScale =
    rows_where([](const SynShape& s) { return s.options.has_scale(); });

// As parse_tcp_options() reads them: the first eight bytes of TcpOptions.
template <bool kIpv6>
SYNPROXY_COLUMNS __m512i said_by(const Words& f, const Lanes& lanes) {
  using enum OptionWord;
  const __m512i mss = value_of<kMss>(f, lanes, all(0));
  const __m512i value = value_of<kNopAndScale>(f, lanes, all(kNoScale));
  const __m512i scale =
      _mm512_mask_min_epu64(value, lanes.of(kWithScale), value, all(kMaxWindowScale));
  const __m512i flags =
      either(one_if(lanes.of(kWithSack), kSaidSack), one_if(lanes.of(kStamped), kSaidTimestamps));
  return either(either(mss, _mm512_slli_epi64(scale, 16)), flags);
}

template <bool kIpv6>
SYNPROXY_KERNEL std::uint32_t verify(SynGroup& g, std::uint32_t used) {
  Words f;
  load_words<kSecond>(g, shift_of(kIpv6), f);
  const Lanes lanes = lanes_of(f);
  __mmask8 good = matches<kIpv6>(f, lanes, std::make_index_sequence<kWords>());
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
  return good & used;
}

// Does what asks_for_ecn() does.
SYNPROXY_COLUMNS __m512i asking_for_ecn(const Words& f) {
  constexpr Place kOffset = place_of(usual_at::kOffsetAndFlags, kSecond);
  constexpr std::uint64_t kBoth = be16(kEce | kCwr).raw();
  const __m512i flags = _mm512_and_si512(f.w[kOffset.word], all(kBoth));
  return one_if(_mm512_cmpeq_epi64_mask(flags, all(kBoth)), 1);
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
  const __m512i length = _mm512_slli_epi64(header_words(f), 2);
  put(g.tcp_length, length);
  Columns::Column<const std::uint8_t*> tcp;
  for (std::size_t i = 0; i < Columns::kLanes; ++i) {
    tcp[i] = g.frames[i] + usual_at::kTcp + shift_of(kIpv6);
  }
  __mmask8 good = columns::matches(kPatterns, f);
  __m512i addresses;
  if constexpr (kIpv6) {
    constexpr BytePattern<8> kFirst = before_tcp();
    const Ipv6Words v = load_ipv6(g, f);
    good = sound_ends(first_is(good, v, kFirst), f, v);
    const __m512i said = _mm512_srli_epi64(swap_words(v.first), 48);
    good = _mm512_mask_cmpeq_epi64_mask(good, said, length);
    addresses = sum_of_addresses(v);
    put_ends(g, f, v);
    put(g.source, v.first);
  } else {
    good = sound_ends(good, f);
    const __m512i said = _mm512_and_si512(swap_words(f.w[0]), all(0xffff));
    good = _mm512_mask_cmpeq_epi64_mask(good, said, add(length, all(kIpv4Header)));
    addresses = sum_of<usual_at::kSource, usual_at::kTcp, kSecond>(f);
    good &= is_good(add(addresses, sum_of<usual_at::kIp, usual_at::kSource, kSecond>(f)));
    put_ends(g, f);
    put(g.source, source_and_look(f));
  }
  const __m512i pseudo = low(swap_words(add(length, all(kProtocolTcp))));
  good &= is_good(add(add(sums_of_bytes(tcp, g.tcp_length), addresses), pseudo));
  put(g.destination, f.w[2]);
  put(g.wants_ecn, asking_for_ecn(f));
  put(g.isn, low(swap_words(f.w[3])));
  return good & used;
}

template <bool kIpv6>
SYNPROXY_KERNEL std::uint32_t answer(SynGroup& g, std::uint32_t which, const EpochKeys& keys,
                                     std::uint64_t left_out) {
  const __mmask8 wants_ecn = _mm512_test_epi64_mask(get(g.wants_ecn), all(1));
  const Agreed a = agree_upon<kIpv6>(get(g.options), get(g.can), wants_ecn, keys.plain.tight);
  if (!g.tagged) [[likely]]
    swap_mac_addresses_of(g, which);
  const Answers made = answer_lanes<kIpv6>(
      g, which, a,
      {.offer = get(g.offers), .isn = get(g.isn), .tsecr = get(g.tsval), .look = get(g.source)},
      keys);
  put(g.tcp_length, made.tcp);
  const std::uint32_t followed = _mm512_testn_epi64_mask(made.mac, all(left_out)) & which;
  if (followed != 0) put(g.macs, made.mac);
  return followed;
}

constexpr MixedSynKernels kMixed{SynKernel{&verify<false>, &answer<false>},
                                 SynKernel{&verify<true>, &answer<true>}};
constexpr MixedSynKernels kOdd{SynKernel{&verify_odd<false>, &answer<false>},
                               SynKernel{&verify_odd<true>, &answer<true>}};

}  // namespace

const MixedSynKernels& mixed_syn_kernels() { return kMixed; }
const MixedSynKernels& odd_syn_kernels() { return kOdd; }

}  // namespace synproxy
#else
namespace synproxy {
namespace {
constexpr MixedSynKernels kNone{};
}
const MixedSynKernels& mixed_syn_kernels() { return kNone; }
const MixedSynKernels& odd_syn_kernels() { return kNone; }
}  // namespace synproxy
#endif
