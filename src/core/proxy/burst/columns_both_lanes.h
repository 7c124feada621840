// SPDX-License-Identifier: BSD-3-Clause
// Columns whose lanes are of either family. Where a burst mixes both, each would leave a group that
// is not full; so what is left of both shares one. All lanes are read as if they were of IPv4 and
// as if they were of IPv6, and each keeps its own.
#pragma once

#include "burst/columns_ipv6_lanes.h"
#include "burst/columns_lanes.h"

#if defined(__x86_64__)
namespace synproxy::SYNPROXY_ISA {

SYNPROXY_LANES Mask ipv6_of(const ColumnsOfBoth& c) { return mask_of(c.ipv6_lanes); }

// Reads the words of frames whose TCP headers lie kIpv6Shift bytes further on in lanes of
// IPv6.
template <std::size_t kSecond>
SYNPROXY_LANES void load_words_of_both(ColumnsOfBoth& g, Words& f) {
  const U64x8 frames = load(reinterpret_cast<const std::uint64_t*>(g.frames.data()));
  store(reinterpret_cast<std::uint64_t*>(g.shifted.data()),
        add(frames, one_if(ipv6_of(g), kIpv6Shift)));
  load_columns(g.shifted, kFirstHalf, f.w);
  load_columns(g.shifted, kSecond, f.w + kWords / 2);
}
SYNPROXY_LANES Mask sound_ends(Mask good, const Words& f, const Ipv6Words& v, Mask ipv6) {
  return choose_masks(ipv6, sound_ends(good, f), sound_ends(good, f, v));
}
SYNPROXY_LANES void put_ends(Columns& c, const Words& f, const Ipv6Words& v, Mask ipv6) {
  const U64x8 digests = either(low(digests_of(v.client)), up(digests_of(v.server)));
  const U64x8 addresses = choose(ipv6, either(high(f.w[1]), up(f.w[2])), digests);
  put_ends(c, f, addresses, choose(ipv6, kNameIpv4, kNameIpv4 | kNameIpv6));
  c.one_service = c.one_service && are_alike(only_in(ipv6, v.server[0])) &&
                  are_alike(only_in(ipv6, v.server[1]));
  put_addresses(c, v);
}

// Do what macs_begun() and length_words() do, for the family of each lane.
SYNPROXY_LANES SipState8 macs_begun_both(const ColumnsOfBoth& c, U64x8 k0, U64x8 k1) {
  const Mask ipv6 = ipv6_of(c);
  const SipState8 begin = sip_begin(k0, k1);
  SipState8 sip = begin;
  for (std::size_t i = 0; i + 1 < c.ipv6.size(); ++i) sip_compress(sip, get(c.ipv6[i]));
  // A lane of IPv4 has only one word, and begins here.
  sip = {choose(ipv6, begin.v0, sip.v0), choose(ipv6, begin.v1, sip.v1),
         choose(ipv6, begin.v2, sip.v2), choose(ipv6, begin.v3, sip.v3)};
  sip_compress(sip, choose(ipv6, get(c.addresses), get(c.ipv6.back())));
  return sip;
}
SYNPROXY_LANES U64x8 length_words_both(const ColumnsOfBoth& c) {
  return choose(ipv6_of(c), length_words(2), length_words(5));
}

}  // namespace synproxy::SYNPROXY_ISA
#endif
