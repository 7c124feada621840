// SPDX-License-Identifier: BSD-3-Clause
// The shapes of the SYNs that nearly all clients send, one row for each. A SYN of a row is matched
// as a whole and answered without walking its options: one at a time (known_syn.h), or eight at a
// time where the CPU can (syn_burst.h). Both ways are generated from the row; a shape is defined
// nowhere else. A SYN of no row gets the same answer, a little later (answer_syn.h).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "burst/columns.h"
#include "synproxy/proxy/offers.h"
#include "synproxy/wire/headers.h"
#include "synproxy/wire/option_list.h"

namespace synproxy {

// A row gives a name and the options; the other fields follow from them.
struct SynShape {
  std::string_view name;
  OptionList options;
  std::uint32_t tcp_size;   // bytes
  bool timestamps;          // among the options
  bool sack;                // among the options
  std::uint8_t needs;       // what the service must offer, else the SYN-ACK has other options
  OptionSet says;           // options of the SYN-ACK
  std::uint32_t tcp_reply;  // bytes of the SYN-ACK's TCP part

  constexpr SynShape(std::string_view who, const OptionList& list)
      : name(who),
        options(list),
        tcp_size(static_cast<std::uint32_t>(kTcpHeader + list.bytes())),
        timestamps(list.has_timestamps()),
        sack(list.has_sack()),
        needs(static_cast<std::uint8_t>(kOffersCookies | (timestamps ? kOffersTimestamps : 0U) |
                                        (sack ? kOffersSack : 0U))),
        says(option_set(true, timestamps, sack, list.has_scale())),
        tcp_reply(static_cast<std::uint32_t>(kTcpHeader + written_size(says))) {}
};

inline constexpr auto kSynShapes = [] {
  using enum OptionWord;
  return std::to_array<SynShape>({
      {"Linux and Android", kAllFourOptions},
      {"Windows", {kMss, kNopAndScale, kNopsAndSack}},
      {"macOS and iOS", {kMss, kNopAndScale, kNopsAndTimestamps, kTsval, kTsecr, kSackAndEnd}},
      {"no options, as hping3 sends it", {}},
  });
}();

// The size alone tells the shapes apart, before anything else of the SYN is read.
[[nodiscard]] constexpr bool sizes_differ() {
  for (std::size_t i = 0; i < kSynShapes.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      if (kSynShapes[i].options.count == kSynShapes[k].options.count) return false;
    }
  }
  return true;
}
static_assert(sizes_differ(), "sort_by_shape() and plan_known_syn() go by the size");

// The shape whose SYN has a TCP header of that many 32-bit words; kSynShapes.size(): none has.
inline constexpr auto kShapeOfSize = [] {
  std::array<std::uint8_t, 16> shape{};
  shape.fill(kSynShapes.size());
  for (std::size_t i = 0; i < kSynShapes.size(); ++i) {
    shape[kSynShapes[i].tcp_size / 4] = static_cast<std::uint8_t>(i);
  }
  return shape;
}();

// The patterns that columns match: a SYN without data. AE and all flags below it are compared, so a
// SYN that asks for ECN does not match. The first has no IP header, for IPv6.
[[nodiscard]] constexpr FramePattern tcp_pattern_of(const SynShape& shape) {
  return tcp_with(shape.options, kSyn, kTcpFlagBits);
}
[[nodiscard]] constexpr FramePattern pattern_of(const SynShape& shape) {
  FramePattern p = usual_frame_with(shape.options, kSyn, kTcpFlagBits);
  p.fix(usual_at::kTotalLength, static_cast<std::uint16_t>(kIpv4Header + shape.tcp_size));
  return p;
}

}  // namespace synproxy
