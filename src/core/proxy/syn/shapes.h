// SPDX-License-Identifier: BSD-3-Clause
// The shapes of the SYNs that nearly all clients send, a row each. A SYN of a row is matched whole
// and answered without its options being walked: one at a time (known_syn.h), and where the CPU can
// eight at a time (syn_burst.h). Both are made from the row; nothing else says what a shape is. A
// SYN of no row is answered alike, only later (answer_syn.h).
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

// A name and the options; the rest follows from them.
struct SynShape {
  std::string_view name;
  OptionList options;
  std::uint32_t tcp_size;  // bytes
  bool timestamps;         // of the options, as the next
  bool sack;
  std::uint8_t needs;       // what the service has to do for it: with less, its answer is another
  OptionSet says;           // the options of its SYN-ACK
  std::uint32_t tcp_reply;  // the bytes of that

  constexpr SynShape(std::string_view who, const OptionList& list)
      : name(who),
        options(list),
        tcp_size(static_cast<std::uint32_t>(kTcpHeader + list.bytes())),
        timestamps(list.has_timestamps()),
        sack(list.has_sack()),
        needs(static_cast<std::uint8_t>((timestamps ? kOffersTimestamps : 0U) |
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

// Each is told from the others by its size alone, before anything else of it is read.
[[nodiscard]] constexpr bool sizes_differ() {
  for (std::size_t i = 0; i < kSynShapes.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      if (kSynShapes[i].options.count == kSynShapes[k].options.count) return false;
    }
  }
  return true;
}
static_assert(sizes_differ(), "sort_by_shape() and plan_known_syn() go by the size");

// In columns: a SYN without data. Of the flags AE and all below it count: who asks for ECN is a
// case of its own.
[[nodiscard]] constexpr FramePattern pattern_of(const SynShape& shape) {
  FramePattern p = usual_frame_with(shape.options, kSyn, kTcpFlagBits);
  p.fix(usual_at::kTotalLength, static_cast<std::uint16_t>(kIpv4Header + shape.tcp_size));
  return p;
}

}  // namespace synproxy
