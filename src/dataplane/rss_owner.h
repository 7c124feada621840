// SPDX-License-Identifier: BSD-3-Clause
// Names the owner of a connection if RSS decides it: worker w polls queue w of both ports, and both
// ports put a connection on the same queue.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dataplane/rss_hash.h"

namespace synproxy::dataplane {

class RssOwner {
 public:
  static constexpr std::uint16_t kPlaces = 128;

  // Place i of the devices' redirection tables holds queue i % workers, up to `period`, a power of
  // two not above kPlaces.
  RssOwner(RssWord word, std::uint16_t period, std::uint16_t workers);

  [[nodiscard]] std::uint32_t hash_of(RssFold fold) const { return hash_.of(fold); }
  [[nodiscard]] std::uint32_t of_hash(std::uint32_t hash) const { return owners_[hash & mask_]; }
  [[nodiscard]] std::uint32_t of(RssFold fold) const { return of_hash(hash_of(fold)); }

 private:
  RssHash hash_;
  std::uint32_t mask_;
  std::array<std::uint16_t, kPlaces> owners_{};
};

// Nothing if the ports do not both spread TCP in the same way over one queue per worker, or if
// DPDK's software Toeplitz disagrees with ours on sample tuples.
[[nodiscard]] std::optional<RssOwner> agree_on_owner(const RssSpread& client,
                                                     const RssSpread& server, unsigned workers,
                                                     RssWord word);

}  // namespace synproxy::dataplane
