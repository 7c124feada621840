// SPDX-License-Identifier: BSD-3-Clause
// Columns in registers. A frame is read as two halves of 32 bytes (columns.h), which are
// eight 64-bit words. Register k holds word k of eight frames. The table shows the content of each
// word, in byte order, for at most 20 bytes of options; with 24 bytes the second half begins 32
// bits later; with IPv6 the words 0 and 1 and half of 2 hold the end of the IP header
// (columns_ipv6_lanes.h):
//
//   0  version, TOS, length   identification, fragment
//   1  TTL, protocol, sum     source
//   2  destination            ports
//   3  seq                    ack
//   4  ack again              offset and flags, window
//   5  sum, urgent pointer    first option
//   6  next options
//   7  next options
//
// A 16-bit sum of ones' complement is the same modulo 0xffff however the bytes are grouped (RFC
// 1071 section 2), so columns are summed by halves of 32 bits as they lie there.
//
// Behind ../lanes/avx2.h or ../lanes/avx512.h.
#pragma once

#include "../cookie/siphash_lanes.h"
#include "burst/columns.h"
#include "synproxy/policy/junk.h"
#include "synproxy/proxy/offers.h"
#include "synproxy/wire/bytes.h"

#if defined(__x86_64__)
namespace synproxy::SYNPROXY_ISA {

using columns::kFirstHalf;
using columns::kHalf;
using columns::kMostOptionBytes;
using columns::second_half;

constexpr std::size_t kWords = 8;
struct Words {
  U64x8 w[kWords];
};

// Offset in the frame at which register `word` begins.
constexpr std::size_t begin_of(std::size_t word, std::size_t second) {
  constexpr std::size_t kInHalf = kWords / 2;
  return word < kInHalf ? kFirstHalf + 8 * word : second + 8 * (word - kInHalf);
}
// The register that holds the 32 bits at byte `at` of the frame, and which half of it.
struct Place {
  std::size_t word;
  bool upper;
};
constexpr Place place_of(std::size_t at, std::size_t second) {
  for (std::size_t word = 0; word < kWords; ++word) {
    const std::size_t begin = begin_of(word, second);
    if (at == begin || at == begin + 4) return {word, at != begin};
  }
  return {kWords, false};
}

SYNPROXY_LANES U64x8 low(U64x8 v) { return both(v, all(0xffffffffU)); }
SYNPROXY_LANES U64x8 high(U64x8 v) { return down_by<32>(v); }
SYNPROXY_LANES U64x8 up(U64x8 v) { return up_by<32>(v); }
SYNPROXY_LANES U64x8 halves(U64x8 v) { return add(low(v), high(v)); }

// Folds sums of a few dozen 32-bit words to 16 bits. The result is 0 only for a sum of 0.
SYNPROXY_LANES U64x8 fold(U64x8 sum) {
  sum = halves(sum);  // below 2^32 + 64, so that two steps are enough
  for (int i = 0; i < 2; ++i) {
    sum = add(both(sum, all(0xffff)), down_by<16>(sum));
  }
  return sum;
}

// Reverses the four bytes of each half: converts between network and host order.
SYNPROXY_LANES U64x8 swap_words(U64x8 v) {
  return shuffle_in_pairs(v, _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12));
}

// Values as they lie in a frame.
constexpr std::uint64_t raw(std::uint32_t host) { return be32(host).raw(); }
constexpr std::uint64_t raw(std::uint32_t first, std::uint32_t second) {
  return raw(first) | raw(second) << 32;
}

// The 32 bits at byte kAt of the frame, in host order, under `mask`.
template <std::size_t kAt, std::size_t kSecond>
SYNPROXY_LANES U64x8 number_at(const Words& f, std::uint32_t mask) {
  constexpr Place kPlace = place_of(kAt, kSecond);
  static_assert(kPlace.word < kWords);
  const U64x8 words = swap_words(f.w[kPlace.word]);
  if constexpr (kPlace.upper) {
    return mask == ~0U ? high(words) : both(high(words), all(mask));
  } else {
    return both(words, all(mask));
  }
}
// The value of the option word at byte kAt.
template <OptionWord kWord, std::size_t kAt, std::size_t kSecond>
SYNPROXY_LANES U64x8 option_value(const Words& f) {
  return number_at<kAt, kSecond>(f, ~form_of(kWord).mask);
}

// The 32 bits at byte kAt, as they lie in the frame.
template <std::size_t kAt, std::size_t kSecond>
SYNPROXY_LANES U64x8 raw_at(const Words& f) {
  constexpr Place kPlace = place_of(kAt, kSecond);
  static_assert(kPlace.word < kWords);
  return kPlace.upper ? high(f.w[kPlace.word]) : low(f.w[kPlace.word]);
}
// The sum of the 32-bit words from byte kFrom to byte kTo.
template <std::size_t kFrom, std::size_t kTo, std::size_t kSecond>
SYNPROXY_LANES U64x8 sum_of(const Words& f) {
  // Recursive instead of a loop, because each step compiles to different code.
  if constexpr (kFrom + 4 == kTo) {
    return raw_at<kFrom, kSecond>(f);
  } else {
    return add(raw_at<kFrom, kSecond>(f), sum_of<kFrom + 4, kTo, kSecond>(f));
  }
}

using Patterns = std::array<Pattern<std::uint64_t>, kWords>;
constexpr Patterns patterns_of(const FramePattern& frame, std::size_t second) {
  Patterns p{};
  for (std::size_t i = 0; i < kWords; ++i) p[i] = frame.word<std::uint64_t>(begin_of(i, second));
  return p;
}

// Collects the differences and compares once. A compare under the mask of the one before it would
// wait for that one.
SYNPROXY_LANES Mask matches(const Patterns& patterns, const Words& f) {
  U64x8 difference = all(0);
  for (std::size_t i = 0; i < kWords; ++i) {
    if (patterns[i].mask == 0) continue;
    difference =
        either(difference, differing_bits(f.w[i], all(patterns[i].mask), all(patterns[i].value)));
  }
  return no_bit(difference, difference);
}

// Reads the words of frames whose TCP header lies `shift` bytes further on.
template <std::size_t kSecond>
SYNPROXY_LANES void load_words(const Columns& g, std::size_t shift, Words& f) {
  load_columns(g.frames, kFirstHalf + shift, f.w);
  load_columns(g.frames, kSecond + shift, f.w + kWords / 2);
}

// Keeps the lanes whose ports junk() accepts for certain. Equal ports are left to junk() itself.
SYNPROXY_LANES Mask sound_ports(Mask good, const Words& f) {
  const U64x8 ports = high(f.w[2]);
  return unequal(good, down_by<16>(ports), both(ports, all(0xffff)));
}
// The same of source and ports.
SYNPROXY_LANES Mask sound_ends(Mask good, const Words& f) {
  const U64x8 source = high(f.w[1]);
  Mask impossible = every_if(false);
  for (const Ipv4Prefix& p : kImpossibleIpv4) {
    const U64x8 prefix = p.mask == ~0U ? source : both(source, all(p.mask));
    impossible |= equal(prefix, all(p.value));
  }
  return sound_ports(good & static_cast<Mask>(~impossible), f);
}

SYNPROXY_LANES U64x8 one_if(Mask lanes, std::uint64_t value) { return only_in(lanes, all(value)); }

template <typename T>
SYNPROXY_LANES void put(Columns::Column<T>& column, U64x8 v) {
  static_assert(sizeof column == 64);
  store(column.data(), v);
}
template <typename T>
SYNPROXY_LANES U64x8 get(const Columns::Column<T>& column) {
  return load(column.data());
}

// Does what VlanStack::pushed() does, from `stack` on, with the tag in the lower half, in host
// order and with TPID first. In the lanes of `there`.
SYNPROXY_LANES U64x8 pushed(U64x8 stack, Mask there, U64x8 tag) {
  const U64x8 vid = both(tag, all(0xfff));
  const Mask names = any_bit(there, vid, vid);
  const Mask service = equal(both(down_by<16>(tag), all(0xffff)), all(kEtherTypeQinQ));
  const U64x8 outer =
      either(up_by<12>(both(stack, all(0xfff))), up_by<1>(both(stack, all(1U << 26))));
  const U64x8 tags = add(both(stack, all(3U << 24)), all(1U << 24));
  const U64x8 inner = either(either(vid, one_if(service, 1U << 26)), tags);
  return choose(names, stack, either(outer, inner));
}
SYNPROXY_LANES Mask is_tag(Mask of, U64x8 tag) {
  const U64x8 type = both(down_by<16>(tag), all(0xffff));
  return of & (equal(type, all(kEtherTypeVlan)) | equal(type, all(kEtherTypeQinQ)));
}
// Fills `vlan`. Returns what the tags add to the name of the service, as name_of_tags() does.
SYNPROXY_LANES U64x8 put_tags(Columns& c) {
  const U64x8 tags = swap_words(load_each(c.starts, ether_at::kType));  // the first one lower
  const Mask first = is_tag(every_if(true), tags);
  const Mask second = is_tag(first, high(tags));
  const U64x8 stack = pushed(pushed(all(0), first, tags), second, high(tags));
  put(c.vlan, stack);
  constexpr unsigned kBits = 64 - kNameTagDigest;
  const U64x8 mixed = both(product(stack, all(kMixOfTags)), all(0xffffffffU & ~0U << (32 - kBits)));
  const U64x8 digest = up_by<32>(mixed);
  return only_in(any_bit(stack, stack), either(digest, all(kNameTagged)));
}

constexpr std::uint64_t kNameIpv4 = 1ULL << 48;  // service_name()
SYNPROXY_LANES bool are_alike(U64x8 v) { return bits(equal(v, first_of(v))) == 0xff; }

// Fills the columns by which the engine looks a frame up. `addresses`: as FlowIdentity has them.
SYNPROXY_LANES void put_ends(Columns& c, const Words& f, U64x8 addresses, U64x8 name_bits) {
  // In host order, the client's port in the lower half.
  const U64x8 ports = shuffle_in_pairs(
      f.w[2], _mm_setr_epi8(5, 4, 7, 6, -1, -1, -1, -1, 13, 12, 15, 14, -1, -1, -1, -1));
  put(c.addresses, addresses);
  put(c.ports, ports);
  // Does what service_name() does.
  U64x8 name = either(either(high(addresses), up_by<32>(down_by<16>(ports))), name_bits);
  if (c.tagged) [[unlikely]]
    name = either(name, put_tags(c));
  put(c.service, name);
  c.one_service = are_alike(name) && (!c.tagged || are_alike(get(c.vlan)));
}
SYNPROXY_LANES void put_ends(Columns& c, const Words& f) {
  put_ends(c, f, either(high(f.w[1]), up(f.w[2])), all(kNameIpv4));
}

// The last block of cookie_mac_input().
SYNPROXY_LANES U64x8 length_words(std::size_t words) { return all(detail::length_word(words)); }
SYNPROXY_LANES U64x8 last_of(const Columns& c, U64x8 length) {
  if (!c.tagged) [[likely]] {
    return length;
  }
  return last_words(length, get(c.vlan));
}
// What siphash24() does with cookie_mac_input(): first what all MACs of a lane under one key have
// in common, then the rest.
SYNPROXY_LANES SipState8 macs_begun(const Columns& c, U64x8 k0, U64x8 k1) {
  SipState8 sip = sip_begin(k0, k1);
  sip_compress(sip, get(c.addresses));
  return sip;
}
// `length`: length_words() of the whole message.
SYNPROXY_LANES U64x8 macs_ended(const Columns& c, SipState8 begun, U64x8 client_isn, U64x8 length) {
  sip_compress(begun, either(get(c.ports), up(client_isn)));
  sip_compress(begun, last_of(c, length));
  return sip_finish(begun);
}
SYNPROXY_LANES U64x8 macs_of(const Columns& c, U64x8 client_isn, U64x8 k0, U64x8 k1) {
  return macs_ended(c, macs_begun(c, k0, k1), client_isn, length_words(2));
}

}  // namespace synproxy::SYNPROXY_ISA
#endif
