// SPDX-License-Identifier: BSD-3-Clause
// What a SYN-ACK will say, decided before its MAC is known: the layout chooses the key.
#pragma once

#include <cstdint>

#include "synproxy/proxy/offers.h"
#include "synproxy/wire/bytes.h"
#include "synproxy/wire/option_list.h"

namespace synproxy {

struct SynPlan {
  SynAckOffer offer;         // of the service
  std::uint32_t packed = 0;  // what the SYN offers, as the cookie has it
  be32 tsval;                // of the client, with timestamps only
  std::uint16_t flags = 0;   // of the SYN-ACK
  OptionSet says = 0;        // as well

  [[nodiscard]] bool timestamps() const { return (says & kSaysTimestamps) != 0; }
};

}  // namespace synproxy
