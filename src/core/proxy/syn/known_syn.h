// SPDX-License-Identifier: BSD-3-Clause
// Plans the answer to SYNs of kSynShapes, one at a time, where the service's offer is cached. The
// result is that of plan_syn(), but the shape is known at compile time.
#pragma once

#include <utility>

#include "syn/answer_syn.h"
#include "syn/shapes.h"
#include "synproxy/wire/checksum.h"

namespace synproxy {

template <std::size_t kBytes>
[[nodiscard]] inline std::uint64_t sum_of_words(std::uint64_t start, const std::uint8_t* from) {
  static_assert(kBytes % 4 == 0);
  WordSum sum(start);
  std::size_t at = 0;
  for (; at + 8 <= kBytes; at += 8) sum.add(load_raw<std::uint64_t>(from + at));
  if constexpr (kBytes % 8 != 0) sum.add(load_raw<std::uint32_t>(from + at));
  return sum.value();
}

// Whether both checksums are good, of a packet without IP options whose TCP part has kTcp bytes.
template <bool kIpv6, std::uint32_t kTcp>
[[nodiscard]] inline bool known_checksums_good(const std::uint8_t* l3) {
  constexpr std::size_t kFrom = ip_source_at(kIpv6);  // addresses, and TCP right behind them
  constexpr std::size_t kTo = ip_header_size(kIpv6) + kTcp;
  const std::uint64_t pseudo = be32(kProtocolTcp + kTcp).raw();
  if (fold_sum(sum_of_words<kTo - kFrom>(pseudo, l3 + kFrom)) != 0xffff) return false;
  return kIpv6 || fold_sum(sum_of_words<kIpv4Header>(0, l3)) == 0xffff;
}

enum class KnownSyn : std::uint8_t {
  kNo,   // left to plan_syn(): nothing was done
  kYes,  // c.syn has what answer_syn() needs
  kBad,  // damaged, and dropped
};

// For one row. The segment has the row's size.
template <bool kIpv6, std::size_t kRow>
[[nodiscard]] inline KnownSyn plan_syn_of(const Moment& now, Answerer& answerer, Counters& counters,
                                          Context& c) {
  constexpr SynShape kShape = kSynShapes[kRow];
  constexpr OptionList kIn = kShape.options;
  const Segment& g = c.segment;
  const std::uint8_t* l3 = g.l3();
  const std::uint8_t* options = l3 + ip_header_size(kIpv6) + tcp_at::kOptions;
  if (!is_list<kIn>(options)) return KnownSyn::kNo;
  ClientOptions agreed;
  agreed.timestamps = kShape.timestamps;
  agreed.sack = kShape.sack;
  agreed.mss = default_mss(kIpv6);
  if constexpr (kIn.has(OptionWord::kMss)) {
    agreed.mss = value_of<kIn, OptionWord::kMss, std::uint16_t>(options);
    if (agreed.mss == 0) return KnownSyn::kNo;
  }
  if constexpr (kIn.has_scale()) {
    agreed.wscale = value_of<kIn, OptionWord::kNopAndScale, std::uint8_t>(options);
    if (agreed.wscale > kMaxWindowScale) return KnownSyn::kNo;
  }
  if (fit_for_cookie(agreed) != agreed) return KnownSyn::kNo;
  const EpochKeys* keys = now.keys().current();
  if (keys == nullptr) return KnownSyn::kNo;
  if (!kShape.timestamps && keys->plain.tight) [[unlikely]] {
    const ClientOptions fit = fit_for_tight_cookie(agreed);
    const bool says_less = fit.sack != agreed.sack || (fit.wscale == kNoScale) == kIn.has_scale();
    if (says_less) return KnownSyn::kNo;
    agreed = fit;
  }
  const SynAckOffer* offer =
      answerer.known_offer(now, c.service, l3 + ip_destination_at(kIpv6), g.vlan);
  if (offer == nullptr || !offer->has(kShape.needs)) return KnownSyn::kNo;
  const bool good = c.packet->checksum == ChecksumHint::kUnknown
                        ? known_checksums_good<kIpv6, kShape.tcp_size>(l3)
                        : checksum_ok(c);
  if (!good) {
    drop(counters, c, Reason::bad_checksum);
    return KnownSyn::kBad;
  }
  if constexpr (kShape.timestamps) {
    agreed.ecn = offer->has(kOffersEcn) && asks_for_ecn(g);
    c.syn.packed = static_cast<std::uint32_t>(pack_timestamps(agreed));
    c.syn.tsval = be32::from_raw(load_raw<std::uint32_t>(options + kIn.at(OptionWord::kTsval)));
  } else {
    c.syn.packed =
        static_cast<std::uint32_t>(keys->plain.tight ? pack_tight(agreed) : pack_in_isn(agreed));
  }
  c.syn.offer = *offer;
  c.syn.flags = syn_ack_flags(agreed.ecn);
  c.syn.says = kShape.says;
  return KnownSyn::kYes;
}

template <bool kIpv6, std::size_t... kRow>
[[nodiscard]] inline KnownSyn plan_syn_of_any(const Moment& now, Answerer& answerer,
                                              Counters& counters, Context& c,
                                              std::index_sequence<kRow...>) {
  const std::size_t size = c.segment.header_length;
  KnownSyn known = KnownSyn::kNo;
  // At most one row has the size.
  (void)((size == kSynShapes[kRow].tcp_size &&
          (known = plan_syn_of<kIpv6, kRow>(now, answerer, counters, c), true)) ||
         ...);
  return known;
}

template <bool kIpv6>
[[nodiscard]] inline KnownSyn plan_known_syn(const Moment& now, Answerer& answerer,
                                             Counters& counters, Context& c) {
  const Segment& g = c.segment;
  if (g.payload_length != 0 || g.l4_offset != g.l3_offset + ip_header_size(kIpv6)) {
    return KnownSyn::kNo;
  }
  return plan_syn_of_any<kIpv6>(now, answerer, counters, c,
                                std::make_index_sequence<kSynShapes.size()>());
}

}  // namespace synproxy
