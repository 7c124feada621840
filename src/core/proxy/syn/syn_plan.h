// SPDX-License-Identifier: BSD-3-Clause
// What a SYN-ACK will say. It is decided before the MAC is computed, because the cookie layout
// chooses the key.
#pragma once

#include <cstdint>

#include "synproxy/proxy/offers.h"
#include "synproxy/wire/bytes.h"
#include "synproxy/wire/option_list.h"

namespace synproxy {

struct SynPlan {
  SynAckOffer offer;         // of the service
  std::uint32_t packed = 0;  // the agreed options, as the cookie packs them
  be32 tsval;                // the client's, with timestamps only
  std::uint16_t flags = 0;   // of the SYN-ACK
  OptionSet says = 0;        // options of the SYN-ACK

  [[nodiscard]] bool timestamps() const { return (says & kSaysTimestamps) != 0; }
};

}  // namespace synproxy
