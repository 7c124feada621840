// SPDX-License-Identifier: BSD-3-Clause
// The SYN that nearly every client sends and every flood is made of, matched whole: the five
// options of Linux in their usual order, to a service that does timestamps and SACK. Its SYN-ACK
// has the same size and the same shape. plan_syn() and answer_syn() mean the same for it.
#pragma once

#include "burst/verdicts.h"
#include "frames/tcp_writer.h"
#include "syn/answer_syn.h"
#include "syn/answerer.h"
#include "synproxy/wire/checksum.h"

namespace synproxy {

// MSS, SACK-permitted with timestamps, NOP with window scale: what stands before their values.
inline constexpr std::uint32_t kMssOption = 0x02040000U;
inline constexpr std::uint32_t kSackAndTimestamps = 0x0402080aU;
inline constexpr std::uint32_t kNopAndScale = 0x01030300U;
inline constexpr std::uint32_t kCommonSynSize = kTcpHeader + 20;

// Both checksums of a packet without IP options and with a TCP part of kCommonSynSize bytes.
template <bool kIpv6>
[[nodiscard]] inline bool common_checksums_good(const std::uint8_t* l3) {
  constexpr std::size_t kFrom = kIpv6 ? 8 : 12;  // addresses, and TCP right behind them
  constexpr std::size_t kTo = (kIpv6 ? kIpv6Header : kIpv4Header) + kCommonSynSize;
  WordSum tcp(be32(kProtocolTcp + kCommonSynSize).raw());
  for (std::size_t i = kFrom; i < kTo; i += 8) tcp.add(load_raw<std::uint64_t>(l3 + i));
  if (fold_sum(tcp.value()) != 0xffff) return false;
  if constexpr (kIpv6) return true;
  WordSum ip(load_raw<std::uint32_t>(l3 + 16));
  ip.add(load_raw<std::uint64_t>(l3));
  ip.add(load_raw<std::uint64_t>(l3 + 8));
  return fold_sum(ip.value()) == 0xffff;
}

enum class CommonSyn : std::uint8_t {
  kNo,   // it is of another shape, and nothing was done
  kYes,  // c.syn has what answer_common_syn() needs
  kBad,  // damaged, and dropped
};

template <bool kIpv6>
[[nodiscard]] inline CommonSyn plan_common_syn(const Moment& now, Answerer& answerer,
                                               Counters& counters, Context& c) {
  constexpr unsigned kIpHeader = kIpv6 ? kIpv6Header : kIpv4Header;
  const Segment& g = c.segment;
  if (g.l4_length != kCommonSynSize || g.header_length != kCommonSynSize ||
      g.l4_offset != g.l3_offset + kIpHeader) {
    return CommonSyn::kNo;
  }
  const std::uint8_t* l3 = g.l3();
  const std::uint8_t* o = l3 + kIpHeader + kTcpHeader;
  const auto mss = load_be<std::uint32_t>(o) - kMssOption;
  const auto scale = load_be<std::uint32_t>(o + 16) - kNopAndScale;
  if (mss - 1 >= 0xffff || scale > 14 || load_be<std::uint32_t>(o + 4) != kSackAndTimestamps) {
    return CommonSyn::kNo;
  }
  if (now.keys().current() == nullptr) return CommonSyn::kNo;
  const SynAckOffer* offer = answerer.known_offer(now, c.service, l3 + 24);
  if (offer == nullptr || !offer->has(kOffersTimestamps | kOffersSack)) return CommonSyn::kNo;
  const bool good = c.packet->checksum == ChecksumHint::kUnknown ? common_checksums_good<kIpv6>(l3)
                                                                 : checksum_ok(c);
  if (!good) {
    drop(counters, c, Reason::bad_checksum);
    return CommonSyn::kBad;
  }
  const bool ecn = offer->has(kOffersEcn) && asks_for_ecn(g);
  c.syn.packed = mss << 6 | scale << 2 | 2U | (ecn ? 1U : 0U);
  c.syn.offer = *offer;
  return CommonSyn::kYes;
}

template <bool kIpv6>
inline void write_common_syn_ack(const Segment& s, const SynAckOffer& offer, const Cookie& cookie,
                                 std::uint32_t flags) {
  constexpr std::uint32_t kIpHeader = kIpv6 ? kIpv6Header : kIpv4Header;
  constexpr std::size_t kSource = kIpv6 ? 8 : 12;
  constexpr std::size_t kDestination = kIpv6 ? 24 : 16;
  std::uint8_t* l3 = s.l3();
  const RawEnds<kIpv6> ends{RawAddress<kIpv6>(l3 + kDestination), RawAddress<kIpv6>(l3 + kSource),
                            0};
  const auto tsecr = load_raw<std::uint32_t>(l3 + kIpHeader + kTcpHeader + 8);
  const std::uint64_t addresses = ends.source.sum() + ends.destination.sum();
  swap_mac_addresses(s.frame);
  write_ip_header<kIpv6>(l3, ends, addresses, kCommonSynSize);
  std::uint8_t* tcp = l3 + kIpHeader;
  SummedBytes out(tcp, addresses + be32(kProtocolTcp + kCommonSynSize).raw());
  out.put_raw(std::rotl(s.ports.raw(), 16));
  out.put(cookie.isn);
  out.put((s.seq + 1).value());
  out.put((kCommonSynSize / 4 << 12 | flags) << 16 | offer.window);
  out.put(0);  // checksum and urgent pointer
  out.put(kMssOption | offer.mss);
  out.put(kSackAndTimestamps);
  out.put(cookie.tsval);
  out.put_raw(tsecr);
  out.put(kNopAndScale | offer.window_scale);
  const std::uint16_t sum = out.checksum();
  std::memcpy(tcp + 16, &sum, sizeof sum);
}

// The frame becomes its answer; it keeps its size. `remembered`: so that it can be repeated.
inline void answer_common_syn(const Moment& now, Answerer& answerer, Context& c,
                              const EpochKeys& keys, std::uint64_t mac, bool remembered) {
  const Segment& g = c.segment;
  const SynAckOffer offer = c.syn.offer;
  const Cookie cookie = make_timestamps_cookie(mac, keys.timestamps, keys.epoch & 1U, c.syn.packed,
                                               offer.window_scale);
  const bool ecn = (c.syn.packed & 1U) != 0;
  const std::uint32_t flags = kSyn | kAck | (ecn ? std::uint32_t{kEce} : 0U);
  if (remembered) [[unlikely]] {
    SynAckRepeats::Entry* e = answerer.repeats().admit(now.ms32());
    if (e != nullptr) remember_common_syn_ack(c, cookie, flags, *e);
  }
  if (g.ipv6) {
    write_common_syn_ack<true>(g, offer, cookie, flags);
  } else {
    write_common_syn_ack<false>(g, offer, cookie, flags);
  }
  c.packet->length = std::uint32_t{g.l4_offset} + kCommonSynSize;
  c.packet->verdict = Verdict::kReply;
}

}  // namespace synproxy
