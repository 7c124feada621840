// SPDX-License-Identifier: BSD-3-Clause
// What columns hold of an IPv6 frame besides. Its TCP header is read as that of an IPv4 frame,
// kIpv6Shift bytes further on. The IPv6 header before it has four words more:
//
//   version, traffic class, flow label   length, next header, hop limit
//   source                               source
//   source                               source
//   destination                          destination
//
// The rest of the destination stands in the words 1 and 2 of the table in columns_lanes.h.
#pragma once

#include "burst/columns_lanes.h"

#if defined(__x86_64__)
namespace synproxy::SYNPROXY_ISA {

struct Ipv6Words {
  U64x8 first;  // of the header
  U64x8 client[2];
  U64x8 server[2];
};

// `f`: the words of the same frames, from load_words().
SYNPROXY_LANES Ipv6Words load_ipv6(const Columns& g, const Words& f) {
  U64x8 w[4];
  load_columns(g.frames, kFirstHalf, w);
  return {w[0], {w[1], w[2]}, {w[3], either(high(f.w[1]), up(f.w[2]))}};
}
// The same for a frame of which only the IPv6 header is known: anything may stand behind it.
SYNPROXY_LANES Ipv6Words load_ipv6_header(const Columns& g) {
  Words f;
  load_columns(g.frames, kFirstHalf + kIpv6Shift, f.w);
  return load_ipv6(g, f);
}
// The first word of an IPv6 header with TCP right behind it.
constexpr BytePattern<8> before_tcp() {
  BytePattern<8> p;
  p.fix(ipv6_at::kVersion, std::uint8_t{0x60}, std::uint8_t{0xf0});
  p.fix(ipv6_at::kNextHeader, kProtocolTcp);
  return p;
}
// The same with a segment of that many bytes.
constexpr BytePattern<8> before_tcp(std::uint32_t bytes) {
  BytePattern<8> p = before_tcp();
  p.fix(ipv6_at::kPayloadLength, static_cast<std::uint16_t>(bytes));
  return p;
}
SYNPROXY_LANES Mask first_is(Mask good, const Ipv6Words& v, const BytePattern<8>& p) {
  const auto word = p.word<std::uint64_t>(0);
  return equal(good, both(v.first, all(word.mask)), all(word.value));
}

// Does what sound_ends() does for IPv4.
SYNPROXY_LANES Mask sound_ends(Mask good, const Words& f, const Ipv6Words& v) {
  for (const Ipv6Prefix& p : kImpossibleIpv6) {
    const U64x8 difference = either(differing_bits(v.client[0], all(p.mask[0]), all(p.value[0])),
                                    differing_bits(v.client[1], all(p.mask[1]), all(p.value[1])));
    good = any_bit(good, difference, difference);
  }
  return sound_ports(good, f);
}

SYNPROXY_LANES U64x8 sum_of_addresses(const Ipv6Words& v) {
  return add(add(halves(v.client[0]), halves(v.client[1])),
             add(halves(v.server[0]), halves(v.server[1])));
}

// Does what address_digest() does. The digest is in the lower half; above it is anything.
SYNPROXY_LANES U64x8 digests_of(const U64x8* address) {
  const U64x8 both = exclusive(address[0], address[1]);
  return exclusive(both, high(both));
}
SYNPROXY_LANES void put_addresses(Columns& c, const Ipv6Words& v) {
  put(c.ipv6[0], v.client[0]);
  put(c.ipv6[1], v.client[1]);
  put(c.ipv6[2], v.server[0]);
  put(c.ipv6[3], v.server[1]);
}
SYNPROXY_LANES void put_ends(Columns& c, const Words& f, const Ipv6Words& v) {
  const U64x8 addresses = either(low(digests_of(v.client)), up(digests_of(v.server)));
  put_ends(c, f, addresses, all(kNameIpv4 | kNameIpv6));
  c.one_service = c.one_service && are_alike(v.server[0]) && are_alike(v.server[1]);
  put_addresses(c, v);
}

// Do what macs_begun() and macs_of() do for IPv4.
SYNPROXY_LANES SipState8 macs_begun_ipv6(const Columns& c, U64x8 k0, U64x8 k1) {
  SipState8 sip = sip_begin(k0, k1);
  for (const auto& word : c.ipv6) sip_compress(sip, get(word));
  return sip;
}
SYNPROXY_LANES U64x8 macs_of_ipv6(const Columns& c, U64x8 client_isn, U64x8 k0, U64x8 k1) {
  return macs_ended(c, macs_begun_ipv6(c, k0, k1), client_isn, length_words(5));
}

}  // namespace synproxy::SYNPROXY_ISA
#endif
