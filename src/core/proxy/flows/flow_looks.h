// SPDX-License-Identifier: BSD-3-Clause
// How the IP headers of both ends of each flow look, for the segments that the proxy makes in their
// names. It stands beside the records, because only made segments need it: four bytes for a flow,
// and eight more for IPv6.
#pragma once

#include <array>
#include <cstdint>

#include "synproxy/base/packet.h"
#include "synproxy/flow/arena.h"
#include "synproxy/flow/mapping.h"
#include "synproxy/flow/record.h"
#include "synproxy/wire/ip_look.h"

namespace synproxy {

class FlowLooks {
 public:
  // Takes memory as records are used. Throws std::bad_alloc. What an arena holds may be anything.
  explicit FlowLooks(std::uint32_t max_flows, Arena* arena = nullptr)
      : memory_(
            memory_from(arena, std::size_t{max_flows} * sizeof(Ends), Mapping::Kind::kReserved)),
        ipv6_memory_(memory_from(arena, std::size_t{max_flows} * sizeof(FirstWords),
                                 Mapping::Kind::kSparse)),
        ends_(static_cast<Ends*>(memory_.data())),
        first_words_(static_cast<FirstWords*>(ipv6_memory_.data())) {}

  [[nodiscard]] static std::size_t store_bytes(std::uint32_t max_flows) {
    return Arena::taken_by(std::size_t{max_flows} * sizeof(Ends)) +
           Arena::taken_by(std::size_t{max_flows} * sizeof(FirstWords));
  }
  void prefetch(FlowIndex i) const { __builtin_prefetch(ends_ + i, 1); }
  // `end`: in whose segments it was seen. Both ends must be set before they are read.
  void set(FlowIndex i, Role end, bool ipv6, const IpLook& look) {
    ends_[i][index_of(end)] = {look.ttl, static_cast<std::uint8_t>(look.first.host() >> kTosShift)};
    if (ipv6) first_words_[i][index_of(end)] = look.first;
  }
  [[nodiscard]] IpLook get(FlowIndex i, Role end, bool ipv6) const {
    const End& e = ends_[i][index_of(end)];
    const std::uint32_t first =
        ipv6 ? first_words_[i][index_of(end)].host() : std::uint32_t{e.tos} << kTosShift;
    return {be32(first & look_bits(ipv6)), e.ttl};
  }

 private:
  struct End {
    std::uint8_t ttl;
    std::uint8_t tos;  // IPv4
  };
  using Ends = std::array<End, 2>;
  using FirstWords = std::array<be32, 2>;
  static constexpr unsigned kTosShift = 16;
  static_assert(sizeof(Ends) == 4);
  [[nodiscard]] static std::size_t index_of(Role end) { return static_cast<std::size_t>(end); }

  Mapping memory_;
  Mapping ipv6_memory_;
  Ends* ends_;
  FirstWords* first_words_;
};

}  // namespace synproxy
