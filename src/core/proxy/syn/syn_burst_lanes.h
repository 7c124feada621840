// SPDX-License-Identifier: BSD-3-Clause
// The kernels of syn_burst.h, for the sources that compile them (../lanes/avx512.h).
#pragma once

#include "burst/columns_ipv6_lanes.h"
#include "burst/columns_lanes.h"
#include "burst/kernels.h"
#include "frames/tcp_writer.h"
#include "syn/answer_columns_lanes.h"
#include "syn/shapes.h"
#include "synproxy/cookie/layout.h"

#if defined(__x86_64__)
namespace synproxy::SYNPROXY_ISA {

// A row of kSynShapes and the constants that follow from it.
template <std::size_t kRow>
struct Shape {
  static constexpr SynShape kRowOfTable = kSynShapes[kRow];
  static constexpr OptionList kIn = kRowOfTable.options;
  static constexpr OptionList kOut = written_options(kRowOfTable.says);
  static constexpr bool kTimestamps = kRowOfTable.timestamps;
  static constexpr std::uint32_t kTcpIn = kRowOfTable.tcp_size;
  static constexpr std::uint32_t kTcpOut = kRowOfTable.tcp_reply;
  static constexpr std::size_t kSecondIn = second_half(kIn.bytes());
  static constexpr std::size_t kSecondOut = second_half(kOut.bytes());
  static_assert(kIn.bytes() <= kMostOptionBytes && kSecondOut + kHalf == Columns::kTouched);
  // Offset of an option word from the start of the frame.
  static constexpr std::size_t at(OptionWord w) { return usual_at::kOptions + kIn.at(w); }
};

SYNPROXY_LANES Mask sum_is_good(Mask good, U64x8 sum) {
  return equal(good, fold(sum), all(0xffff));
}
// `addresses`: the sum of both.
template <typename S>
SYNPROXY_LANES Mask tcp_sum_is_good(Mask good, const Words& f, U64x8 addresses) {
  const U64x8 tcp = sum_of<usual_at::kTcp, usual_at::kTcp + S::kTcpIn, S::kSecondIn>(f);
  constexpr std::uint64_t kPseudo = raw(kProtocolTcp + S::kTcpIn);
  return sum_is_good(good, add(add(addresses, tcp), all(kPseudo)));
}
template <typename S>
SYNPROXY_LANES Mask sums_are_good(Mask good, const Words& f) {
  const U64x8 ends = sum_of<usual_at::kSource, usual_at::kTcp, S::kSecondIn>(f);
  const U64x8 ip = sum_of<usual_at::kIp, usual_at::kSource, S::kSecondIn>(f);
  return tcp_sum_is_good<S>(sum_is_good(good, add(ends, ip)), f, ends);
}

// Does what pack_timestamps() or pack_in_isn() does with the options of the SYN. Drops lanes from
// `good` whose values do not fit: a scale above 14, an MSS of 0, or, without timestamps, a low MSS
// or what fit_for_cookie() changes. If plain cookies are tight, also what
// fit_for_tight_cookie() changes so that the SYN-ACK has other options.
template <typename S, bool kIpv6>
SYNPROXY_LANES Mask pack_options(Mask good, const Words& f, bool tight, U64x8& packed) {
  using namespace layout;
  using enum OptionWord;
  if constexpr (S::kIn.count == 0) {
    constexpr ClientOptions kPoor{.mss = default_mss(kIpv6)};
    packed = all(tight ? pack_tight(kPoor) : pack_in_isn(kPoor));
    return good;
  } else {
    U64x8 mss = all(default_mss(kIpv6));
    if constexpr (S::kIn.has(kMss)) mss = option_value<kMss, S::at(kMss), S::kSecondIn>(f);
    U64x8 scale = all(kNoScale);
    if constexpr (S::kIn.has_scale()) {
      scale = option_value<kNopAndScale, S::at(kNopAndScale), S::kSecondIn>(f);
      good = at_most(good, scale, kMaxWindowScale);
    }
    if constexpr (S::kTimestamps) {
      good = unequal(good, mss, all(0));
    } else {
      good = at_least(good, mss, kLowestMssClass);
      if constexpr (S::kIn.has_scale()) {
        const Mask lowest = below(mss, kMssClasses[1]);
        good = static_cast<Mask>(good & ~above(lowest, scale, kMostScaleBesideSack));
      }
    }
    packed = either(up_by<kScale.shift>(scale), all(kSack.put(S::kRowOfTable.sack ? 1 : 0)));
    for (std::size_t i = 1; i < kMssClasses.size(); ++i) {  // mss_class()
      packed = add_in(at_least(mss, kMssClasses[i]), packed, kMssClass.put(1));
    }
    if constexpr (S::kTimestamps) {
      packed = either(packed, up_by<layout::kMss.shift>(mss));
    } else if (tight) [[unlikely]] {
      static_assert(S::kRowOfTable.sack && S::kIn.has_scale() && S::kIn.has(kMss), "a rich SYN");
      good = at_least(good, scale, kTightScale);
      good = at_least(good, mss, kMssClasses[1]);
      packed = either(both(packed, all(kMssClass.put((1U << kMssClassBits) - 1))),
                      all(kTightRich.put(1)));
    }
    return good;
  }
}

template <bool kIpv6, std::size_t kRow>
SYNPROXY_KERNEL std::uint32_t verify(SynGroup& g, std::uint32_t used) {
  using S = Shape<kRow>;
  Words f;
  load_words<S::kSecondIn>(g, shift_of(kIpv6), f);
  U64x8 packed;
  Mask good;
  if constexpr (kIpv6) {
    constexpr Patterns kPatterns = patterns_of(tcp_pattern_of(S::kRowOfTable), S::kSecondIn);
    const Ipv6Words v = load_ipv6(g, f);
    constexpr BytePattern<8> kFirst = before_tcp(S::kTcpIn);
    good = first_is(matches(kPatterns, f), v, kFirst);
    good = sound_ends(good, f, v);
    good = tcp_sum_is_good<S>(good, f, sum_of_addresses(v));
    put_ends(g, f, v);
    put(g.source, v.first);
  } else {
    constexpr Patterns kPatterns = patterns_of(pattern_of(S::kRowOfTable), S::kSecondIn);
    good = matches(kPatterns, f);
    good = sound_ends(good, f);
    good = sums_are_good<S>(good, f);
    put_ends(g, f);
    put(g.source, source_and_look(f));
  }
  good = pack_options<S, kIpv6>(good, f, g.tight, packed);
  put(g.destination, f.w[2]);
  put(g.isn, low(swap_words(f.w[3])));
  put(g.options, packed);
  if constexpr (S::kTimestamps) {
    put(g.tsval, option_value<OptionWord::kTsval, S::at(OptionWord::kTsval), S::kSecondIn>(f));
  }
  return bits(good) & used;
}

// Does what make_packed_cookie() does.
struct Cookies {
  U64x8 mac;
  U64x8 isn;
  U64x8 tsval;
};
template <bool kIpv6, bool kTimestamps>
SYNPROXY_LANES Cookies cookies_of(const SynGroup& g, const LayoutKey& key, unsigned parity,
                                  U64x8 offered_scale) {
  using namespace layout;
  const U64x8 mac = kIpv6 ? macs_of_ipv6(g, get(g.isn), all(key.k0), all(key.k1))
                          : macs_of(g, get(g.isn), all(key.k0), all(key.k1));
  const U64x8 options = get(g.options);
  const U64x8 masked = exclusive(options, mac);
  const U64x8 in_isn = both(options, all(kIsnOptionMask));
  const U64x8 covered = either(in_isn, up_by<kIsnOptionBits>(offered_scale));
  const U64x8 sum = add(mac, product(covered, all(key.multiplier)));
  const U64x8 rest = !kTimestamps && key.tight ? tag_and_options<kTightOptionBits>(sum, masked)
                                               : tag_and_options<kIsnOptionBits>(sum, masked);
  const U64x8 isn = either(up_by<kParityBits>(rest), all(parity & 1U));
  if constexpr (kTimestamps) {
    const U64x8 in_tsval = down_by<kIsnOptionBits>(options);
    const U64x8 second = add(sum, product(in_tsval, all(key.multiplier << kCoveredByTsval)));
    const U64x8 second_tag = both(down_by<kTsvalTagShift>(second), all(kTsvalTagMask));
    const U64x8 in_clear = down_by<kIsnOptionBits>(masked);
    return {mac, isn,
            either(up_by<kTsvalOptionBits>(second_tag), both(in_clear, all(kTsvalOptionMask)))};
  } else {
    return {mac, isn, all(0)};
  }
}

// The values of the options of a SYN-ACK, in host order.
struct OptionValues {
  U64x8 mss;  // in the lower 16 bits; above them anything
  U64x8 scale;
  U64x8 tsval;
  U64x8 tsecr;
};
// Word kIndex of the options, in host order.
template <OptionList kOut, std::size_t kIndex>
SYNPROXY_LANES U64x8 option_word(const OptionValues& v) {
  constexpr OptionWord kWord = kOut.words[kIndex];
  constexpr std::uint64_t kFixed = form_of(kWord).fixed;
  if constexpr (kWord == OptionWord::kMss) return with_bits(all(kFixed), v.mss, 0xffff);
  if constexpr (kWord == OptionWord::kNopAndScale) return either(all(kFixed), v.scale);
  if constexpr (kWord == OptionWord::kTsval) return v.tsval;
  if constexpr (kWord == OptionWord::kTsecr) return v.tsecr;
  return all(kFixed);
}
// Words kIndex and kIndex + 1, as they lie in the frame.
template <OptionList kOut, std::size_t kIndex>
SYNPROXY_LANES U64x8 two_option_words(const OptionValues& v) {
  if constexpr (kIndex >= kOut.count) {
    return all(0);
  } else if constexpr (kIndex + 1 == kOut.count) {
    return swap_words(option_word<kOut, kIndex>(v));
  } else {
    return swap_words(either(option_word<kOut, kIndex>(v), up(option_word<kOut, kIndex + 1>(v))));
  }
}

// Both below do what write_ip_header() does, with source and destination swapped, and return the
// sum of both addresses. `ports`: for word 2.
template <std::uint32_t kTcp>
SYNPROXY_LANES U64x8 ipv4_header(const SynGroup& g, U64x8 offer, U64x8 ports, Words& r) {
  const U64x8 source_and_look = get(g.source);
  const U64x8 look = look_of_answers(source_and_look, offer);
  const U64x8 source = high(source_and_look);
  const U64x8 destination = low(get(g.destination));
  const U64x8 ends = add(source, destination);
  constexpr std::uint32_t kLength = ipv4_length_word(kIpv4Header + kTcp);
  constexpr std::uint64_t kIpSum = raw(kLength) + raw(kIpv4FragmentWord) + raw(kIpv4ProtocolWord);
  const U64x8 ip_sum = but_not(all(0xffff), fold(add(add(ends, all(kIpSum)), look)));
  r.w[0] = with_bits(all(raw(kLength, kIpv4FragmentWord)), look, kDscpByte);
  r.w[1] =
      with_bits(either(either(all(raw(kIpv4ProtocolWord)), up(destination)), up_by<16>(ip_sum)),
                look, kTtlByte);
  r.w[2] = either(source, ports);
  return ends;
}
// `header`: the first four words of it; the rest is in `r`.
template <std::uint32_t kTcp>
SYNPROXY_LANES U64x8 ipv6_header(const SynGroup& g, U64x8 offer, U64x8 ports, U64x8* header,
                                 Words& r) {
  const Ipv6Words v{
      get(g.source), {get(g.ipv6[2]), get(g.ipv6[3])}, {get(g.ipv6[0]), get(g.ipv6[1])}};
  header[0] = first_word_of_answers(v.first, offer, all(fixed_first_word(kTcp)));
  header[1] = v.client[0];
  header[2] = v.client[1];
  header[3] = v.server[0];
  r.w[0] = either(high(v.client[1]), up(v.server[0]));
  r.w[1] = either(high(v.server[0]), up(v.server[1]));
  r.w[2] = either(high(v.server[1]), ports);
  return sum_of_addresses(v);
}

// Does what write_headers() of tcp_writer.h does.
template <bool kIpv6, std::size_t kRow>
SYNPROXY_KERNEL std::uint32_t answer(SynGroup& g, std::uint32_t lanes, const EpochKeys& keys,
                                     std::uint64_t left_out) {
  using S = Shape<kRow>;
  const LayoutKey& key = key_of_layout(keys, S::kTimestamps);
  static_assert(offsetof(SynAckOffer, mss) == 0 && offsetof(SynAckOffer, window) == 2 &&
                offsetof(SynAckOffer, window_scale) == 4);
  const U64x8 offer = get(g.offers);
  OptionValues v;
  v.mss = offer;
  v.scale = S::kOut.has_scale() ? both(high(offer), all(0xff)) : all(kNoScale);
  const Cookies cookie = cookies_of<kIpv6, S::kTimestamps>(g, key, keys.epoch & 1U, v.scale);
  v.tsval = cookie.tsval;
  v.tsecr = S::kTimestamps ? get(g.tsval) : all(0);

  // Source and destination are swapped.
  const U64x8 ports =
      shuffle_in_pairs(get(g.destination),
                       _mm_setr_epi8(-1, -1, -1, -1, 6, 7, 4, 5, -1, -1, -1, -1, 14, 15, 12, 13));
  const U64x8 ack = low(add(get(g.isn), all(1)));
  Words r;
  U64x8 ipv6[4];
  const U64x8 ends = kIpv6 ? ipv6_header<S::kTcpOut>(g, offer, ports, ipv6, r)
                           : ipv4_header<S::kTcpOut>(g, offer, ports, r);
  r.w[3] = swap_words(either(cookie.isn, up(ack)));
  constexpr std::uint64_t kFlags = tcp_flags_word(S::kTcpOut, kSyn | kAck, 0);
  // The window goes from bits 16-31 of the offer to 32-47.
  r.w[4] = swap_words(
      with_bits(either(ack, all(kFlags << 32)), up_by<16>(offer), std::uint64_t{0xffff} << 32));
  r.w[5] = swap_words(up(option_word<S::kOut, 0>(v)));  // the lower half is the checksum, still 0
  r.w[6] = two_option_words<S::kOut, 1>(v);
  r.w[7] = two_option_words<S::kOut, 3>(v);
  constexpr std::size_t kChecksum = usual_at::kTcp + tcp_at::kChecksum;
  U64x8 sum = add(ends, all(raw(kProtocolTcp + S::kTcpOut)));
  sum = add(sum, sum_of<usual_at::kTcp, kChecksum, S::kSecondOut>(r));
  sum = add(sum, sum_of<usual_at::kOptions, usual_at::kTcp + S::kTcpOut, S::kSecondOut>(r));
  r.w[5] = with_inverse(r.w[5], fold(sum), 0xffff);

  swap_mac_addresses_of(g, lanes);
  store<kIpv6>(g, lanes, r, ipv6);

  const std::uint32_t followed = bits(no_bit(cookie.mac, all(left_out))) & lanes;
  if (followed != 0) put(g.macs, cookie.mac);
  return followed;
}

template <std::size_t... kRow>
constexpr SynKernels kernels_of(std::index_sequence<kRow...>) {
  return {SynKernel{&verify<false, kRow>, &answer<false, kRow>}...,
          SynKernel{&verify<true, kRow>, &answer<true, kRow>}...};
}

constexpr SynKernels kSynTable = kernels_of(std::make_index_sequence<kSynShapes.size()>());

}  // namespace synproxy::SYNPROXY_ISA
#endif
