// SPDX-License-Identifier: BSD-3-Clause
#include "burst/columns_avx512.h"
#include "frames/tcp_writer.h"
#include "syn/syn_burst.h"
#include "synproxy/cookie/layout.h"

#if defined(__x86_64__)
namespace synproxy {
namespace {

using namespace columns;

constexpr std::uint32_t kMss = 0x02040000U;
constexpr std::uint32_t kSackAndTimestamps = 0x0402080aU;
constexpr std::uint32_t kScale = 0x01030300U;
constexpr std::uint32_t kSack = 0x01010402U;

template <SynShape kShape>
constexpr Patterns patterns() {
  const std::uint32_t total = kIpv4Header + kTcpHeader + options_in(kShape);
  const std::uint32_t offset = (kTcpHeader + options_in(kShape)) / 4 << 28;
  Patterns p{};
  // Version and header length, total length; no fragment, whatever DF says.
  p[0] = {raw(0xff00ffffU, 0x00003fffU), raw(0x45000000U | total, 0)};
  p[1] = {raw(0x00ff0000U, 0), raw(kProtocolTcp << 16, 0)};
  // Offset; of the flags AE and all below it. Whoever asks for ECN is a case of its own.
  p[4] = {raw(0, 0xf1ff0000U), raw(0, offset | kSyn << 16)};
  if (kShape != SynShape::kBare) p[5] = {raw(0, 0xffff0000U), raw(0, kMss)};
  if (kShape == SynShape::kLinux) {
    p[6] = {raw(0xffffffffU, 0), raw(kSackAndTimestamps, 0)};
    p[7] = {raw(0, 0xffffff00U), raw(0, kScale)};
  }
  if (kShape == SynShape::kWindows) {
    p[6] = {raw(0xffffff00U, 0xffffffffU), raw(kScale, kSack)};
  }
  return p;
}

template <SynShape kShape>
SYNPROXY_COLUMNS __mmask8 sums_are_good(__mmask8 good, const Words& f) {
  const __m512i ends = add(high(f.w[1]), low(f.w[2]));
  const __m512i ip = add(add(halves(f.w[0]), low(f.w[1])), ends);
  __m512i tcp = add(add(ends, high(f.w[2])), add(low(f.w[3]), halves(f.w[4])));
  tcp = add(tcp, all(raw(kProtocolTcp + kTcpHeader + options_in(kShape))));
  if constexpr (kShape == SynShape::kBare) {
    tcp = add(tcp, low(f.w[5]));
  } else {
    tcp = add(tcp, add(halves(f.w[5]), halves(f.w[6])));
  }
  if constexpr (kShape == SynShape::kLinux) tcp = add(tcp, halves(f.w[7]));
  good = _mm512_mask_cmpeq_epi64_mask(good, fold(ip), all(0xffff));
  return _mm512_mask_cmpeq_epi64_mask(good, fold(tcp), all(0xffff));
}

// pack_timestamps() or pack_plain() of what the SYN offers. Lanes that it does not fit are left
// out: scales above 14, MSS that are 0, or too small for a cookie without timestamps.
template <SynShape kShape>
SYNPROXY_COLUMNS __mmask8 pack_options(__mmask8 good, const Words& f, __m512i& packed) {
  if constexpr (kShape == SynShape::kBare) {
    packed = all(pack_plain({.mss = default_mss(false)}));
    return good;
  }
  const __m512i mss = _mm512_and_si512(high(swap_words(f.w[5])), all(0xffff));
  const std::size_t last = kShape == SynShape::kLinux ? 7 : 6;
  const __m512i words = swap_words(f.w[last]);
  const __m512i scale =
      _mm512_and_si512(kShape == SynShape::kLinux ? high(words) : words, all(0xff));
  good = _mm512_mask_cmple_epu64_mask(good, scale, all(14));
  if constexpr (kShape == SynShape::kLinux) {
    good = _mm512_mask_cmpneq_epi64_mask(good, mss, all(0));
    packed = either(either(_mm512_slli_epi64(mss, 6), _mm512_slli_epi64(scale, 2)), all(2));
  } else {
    good = _mm512_mask_cmpge_epu64_mask(good, mss, all(kLowestMssClass));
    packed = either(_mm512_slli_epi64(scale, 3), all(4));
    for (std::size_t i = 1; i < kMssClasses.size(); ++i) {
      packed = _mm512_mask_add_epi64(packed, _mm512_cmpge_epu64_mask(mss, all(kMssClasses[i])),
                                     packed, all(1));
    }
  }
  return good;
}

template <SynShape kShape>
SYNPROXY_KERNEL std::uint32_t verify(SynGroup& g, std::uint32_t used) {
  Words f;
  load_columns(g, kFirstHalf, f.w);
  load_columns(g, kSecondHalf, f.w + 4);
  __m512i packed;
  constexpr Patterns kPatterns = patterns<kShape>();
  __mmask8 good = matches(kPatterns, f);
  good = sound_ends(good, f);
  good = sums_are_good<kShape>(good, f);
  good = pack_options<kShape>(good, f, packed);
  put_ends(g, f);
  put(g.source, f.w[1]);
  put(g.destination, f.w[2]);
  put(g.isn, low(swap_words(f.w[3])));
  put(g.options, packed);
  if constexpr (kShape == SynShape::kLinux) put(g.tsval, f.w[6]);
  return good & used;
}

// make_cookie()
struct Cookies {
  __m512i isn;
  __m512i tsval;
};
template <SynShape kShape>
SYNPROXY_COLUMNS Cookies cookies_of(const SynGroup& g, const LayoutKey& key, unsigned parity,
                                    __m512i offered_scale) {
  using namespace layout;
  constexpr bool kTimestamps = kShape == SynShape::kLinux;
  constexpr unsigned kOptionBits = kTimestamps ? kTsOptionBits : kPlainOptionBits;
  constexpr unsigned kTagBits = kTimestamps ? kTsTagBits : kPlainTagBits;
  const __m512i mac = macs_of(g, get(g.isn), all(key.k0), all(key.k1));
  const __m512i options = get(g.options);
  const __m512i covered = either(options, _mm512_slli_epi64(offered_scale, kOptionBits));
  const __m512i sum = add(mac, _mm512_mullo_epi64(covered, all(key.multiplier)));
  const __m512i tag = _mm512_srli_epi64(sum, 64 - kTagBits);
  const __m512i masked =
      _mm512_xor_si512(options, _mm512_and_si512(mac, all((1ULL << kOptionBits) - 1)));
  const __m512i parities = all(parity & 1U);
  if constexpr (kTimestamps) {
    return {either(_mm512_slli_epi64(_mm512_srli_epi64(tag, kTsTagInTsval), 1), parities),
            low(either(_mm512_slli_epi64(tag, kOptionBits), masked))};
  } else {
    return {either(either(_mm512_slli_epi64(tag, 1 + kOptionBits), _mm512_slli_epi64(masked, 1)),
                   parities),
            all(0)};
  }
}

SYNPROXY_COLUMNS void swap_mac_addresses_of(std::uint8_t* frame) {
  auto* at = reinterpret_cast<__m128i*>(frame);
  const __m128i swap = _mm_setr_epi8(6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 12, 13, 14, 15);
  _mm_storeu_si128(at, _mm_shuffle_epi8(_mm_loadu_si128(at), swap));
}

template <bool kAll>
SYNPROXY_COLUMNS void store(const SynGroup& g, std::uint32_t lanes, const Words& reply) {
  for (std::size_t i = 0; i < SynGroup::kLanes; ++i) {
    if (kAll || (lanes >> i & 1U) != 0) swap_mac_addresses_of(g.frames[i]);
  }
  store_columns<kAll>(g, lanes, kFirstHalf, reply.w);
  store_columns<kAll>(g, lanes, kSecondHalf, reply.w + 4);
}

template <SynShape kShape>
SYNPROXY_KERNEL void answer(const SynGroup& g, std::uint32_t lanes, const LayoutKey& key,
                            unsigned parity) {
  constexpr std::uint32_t kTcp = kTcpHeader + options_out(kShape);
  constexpr bool kScales = kShape != SynShape::kBare;
  static_assert(offsetof(SynAckOffer, mss) == 0 && offsetof(SynAckOffer, window) == 2 &&
                offsetof(SynAckOffer, window_scale) == 4);
  const __m512i offer = get(g.offers);
  const __m512i mss = _mm512_and_si512(offer, all(0xffff));
  const __m512i window = _mm512_and_si512(_mm512_srli_epi64(offer, 16), all(0xffff));
  const __m512i scale = kScales ? _mm512_and_si512(high(offer), all(0xff)) : all(kNoScale);
  const Cookies cookie = cookies_of<kShape>(g, key, parity, scale);

  // The ends change places.
  const __m512i source = high(get(g.source));
  const __m512i destination = low(get(g.destination));
  const __m512i ends = add(source, destination);
  const __m512i ports = _mm512_shuffle_epi8(
      get(g.destination),
      each_16_bytes(_mm_setr_epi8(-1, -1, -1, -1, 6, 7, 4, 5, -1, -1, -1, -1, 14, 15, 12, 13)));
  const __m512i ack = low(add(get(g.isn), all(1)));
  Words r;
  r.w[0] = all(raw(0x45000000U | (kIpv4Header + kTcp), kDontFragment));
  constexpr std::uint64_t kTtl = raw(kReplyTtl << 24 | std::uint32_t{kProtocolTcp} << 16);
  constexpr std::uint64_t kIpSum =
      raw(0x45000000U | (kIpv4Header + kTcp)) + raw(kDontFragment) + kTtl;
  const __m512i ip_sum = _mm512_andnot_si512(fold(add(ends, all(kIpSum))), all(0xffff));
  r.w[1] = either(either(all(kTtl), _mm512_slli_epi64(ip_sum, 16)), up(destination));
  r.w[2] = either(source, ports);
  r.w[3] = swap_words(either(cookie.isn, up(ack)));
  r.w[4] = swap_words(
      either(ack, up(either(all(std::uint64_t{kTcp} / 4 << 28 | (kSyn | kAck) << 16), window))));
  r.w[5] = swap_words(up(either(all(kMss), mss)));
  r.w[6] = r.w[7] = all(0);
  if constexpr (kShape == SynShape::kLinux) {
    r.w[6] = swap_words(either(all(kSackAndTimestamps), up(cookie.tsval)));
    const __m512i echo = high(get(g.tsval));  // raw
    r.w[7] = either(echo, swap_words(up(either(all(kScale), scale))));
  } else if constexpr (kShape == SynShape::kWindows) {
    r.w[6] = swap_words(either(all(kSack), up(either(all(kScale), scale))));
  }
  __m512i sum = add(add(ends, high(r.w[2])), add(low(r.w[3]), halves(r.w[4])));
  sum = add(sum, add(high(r.w[5]), all(raw(kProtocolTcp + kTcp))));
  if constexpr (kShape != SynShape::kBare) sum = add(sum, halves(r.w[6]));
  if constexpr (kShape == SynShape::kLinux) sum = add(sum, halves(r.w[7]));
  r.w[5] = either(r.w[5], _mm512_andnot_si512(fold(sum), all(0xffff)));

  lanes == 0xff ? store<true>(g, lanes, r) : store<false>(g, lanes, r);
}

template <SynShape kShape>
constexpr SynKernel kernel() {
  return {&verify<kShape>, &answer<kShape>};
}

constexpr SynKernels kAvx512{kernel<SynShape::kLinux>(), kernel<SynShape::kWindows>(),
                             kernel<SynShape::kBare>()};

}  // namespace

const SynKernels* syn_kernels() { return supported() ? &kAvx512 : nullptr; }

}  // namespace synproxy
#else
namespace synproxy {
const SynKernels* syn_kernels() { return nullptr; }
}  // namespace synproxy
#endif
