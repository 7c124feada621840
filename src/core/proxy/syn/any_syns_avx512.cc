// SPDX-License-Identifier: BSD-3-Clause
#include "syn/answer_columns_avx512.h"
#include "syn/any_syns.h"
#include "synproxy/cookie/layout.h"

#if defined(__x86_64__)
namespace synproxy {
namespace {

using namespace columns;

template <bool kIpv6>
SYNPROXY_KERNEL std::uint32_t verify(AnySynGroup& g) {
  __m512i addresses;
  __mmask8 good = 0xff;
  if constexpr (kIpv6) {
    const Ipv6Words v = load_ipv6_header(g);
    addresses = sum_of_addresses(v);
    put(g.look, v.first);
    put_addresses(g, v);
  } else {
    Columns::Column<const std::uint8_t*> ip;
    for (std::size_t i = 0; i < Columns::kLanes; ++i) ip[i] = g.frames[i] + kEthernetHeader;
    good = is_good(sums_of_bytes(ip, g.ip_length));
    addresses = halves(get(g.addresses));
    __m512i w[4];
    load_columns(g, kFirstHalf, w);
    const __m512i tos = _mm512_and_si512(w[0], all(0xff00));
    put(g.look, with_bits(tos, w[1], kTtlByte));
  }
  const __m512i length = get(g.tcp_length);
  const __m512i pseudo = swap_words(add(length, all(kProtocolTcp)));
  return good & is_good(add(add(sums_of_bytes(g.tcp, g.tcp_length), addresses), low(pseudo)));
}

template <bool kIpv6>
SYNPROXY_KERNEL std::uint32_t answer(AnySynGroup& g, std::uint32_t lanes, const EpochKeys& keys,
                                     std::uint64_t left_out) {
  const __mmask8 wants_ecn = _mm512_test_epi64_mask(get(g.wants_ecn), all(1));
  const Agreed a = agree_upon<kIpv6>(get(g.said), get(g.can), wants_ecn, keys.plain.tight);
  const Answers made = answer_lanes<kIpv6>(
      g, lanes, a,
      {.offer = get(g.offers), .isn = get(g.isn), .tsecr = low(get(g.stamps)), .look = get(g.look)},
      keys);
  put(g.packet_length, add(made.tcp, all(ip_header_size(kIpv6))));
  const std::uint32_t followed = _mm512_testn_epi64_mask(made.mac, all(left_out)) & lanes;
  if (followed != 0) put(g.macs, made.mac);
  return followed;
}

constexpr AnySynKernels kAvx512{AnySynKernel{&verify<false>, &answer<false>},
                                AnySynKernel{&verify<true>, &answer<true>}};

}  // namespace

const AnySynKernels* any_syn_kernels() { return supported() ? &kAvx512 : nullptr; }

}  // namespace synproxy
#else
namespace synproxy {
const AnySynKernels* any_syn_kernels() { return nullptr; }
}  // namespace synproxy
#endif
