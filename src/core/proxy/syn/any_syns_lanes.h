// SPDX-License-Identifier: BSD-3-Clause
// The kernels of any_syns.h, for the sources that compile them (../lanes/avx512.h).
#pragma once

#include "burst/kernels.h"
#include "syn/answer_columns_lanes.h"
#include "synproxy/cookie/layout.h"

#if defined(__x86_64__)
namespace synproxy::SYNPROXY_ISA {

template <bool kIpv6>
SYNPROXY_KERNEL std::uint32_t verify_any(AnySynGroup& g) {
  U64x8 addresses;
  Mask good = every_if(true);
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
    U64x8 w[4];
    load_columns(g.frames, kFirstHalf, w);
    const U64x8 tos = both(w[0], all(0xff00));
    put(g.look, with_bits(tos, w[1], kTtlByte));
  }
  const U64x8 length = get(g.tcp_length);
  const U64x8 pseudo = swap_words(add(length, all(kProtocolTcp)));
  return bits(good & is_good(add(add(sums_of_bytes(g.tcp, g.tcp_length), addresses), low(pseudo))));
}

template <bool kIpv6>
SYNPROXY_KERNEL std::uint32_t answer_any(AnySynGroup& g, std::uint32_t lanes, const EpochKeys& keys,
                                         std::uint64_t left_out) {
  const Mask wants_ecn = any_bit(get(g.wants_ecn), all(1));
  const Agreed a = agree_upon<kIpv6>(get(g.said), get(g.can), wants_ecn, keys.plain.tight);
  const Answers made = answer_lanes<kIpv6>(
      g, lanes, a,
      {.offer = get(g.offers), .isn = get(g.isn), .tsecr = low(get(g.stamps)), .look = get(g.look)},
      keys);
  put(g.packet_length, add(made.tcp, all(ip_header_size(kIpv6))));
  const std::uint32_t followed = bits(no_bit(made.mac, all(left_out))) & lanes;
  if (followed != 0) put(g.macs, made.mac);
  return followed;
}

constexpr AnySynKernels kAnySynTable{AnySynKernel{&verify_any<false>, &answer_any<false>},
                                     AnySynKernel{&verify_any<true>, &answer_any<true>}};

}  // namespace synproxy::SYNPROXY_ISA
#endif
