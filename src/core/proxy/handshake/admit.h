// SPDX-License-Identifier: BSD-3-Clause
// The gate for proven sources. Whenever a valid cookie is to open a flow, or to open one in place
// of another, admit() decides before anything is changed. A refusal changes nothing: a flow that is
// there stays as it is, and no limit is charged.
#pragma once

#include "burst/packet_context.h"
#include "burst/rooms.h"
#include "synproxy/base/reasons.h"
#include "synproxy/policy/source_limits.h"

namespace synproxy {

enum class Admission : std::uint8_t { kAdmitted, kReplayed, kBadChecksum, kOverRate, kOverConns };

// `match` is valid. If the packet is admitted, its source is charged: keep `charge` with the flow,
// or give it back if none is made. It means something only while the limiter is on.
[[nodiscard]] Admission admit(Rooms& rooms, const Context& c, const CookieMatch& match,
                              SourceLimits::Charge& charge);

// The same for the client of a watched flow, `c.flow`. It is proven by the server's number that it
// quotes.
[[nodiscard]] Admission admit_watched(Rooms& rooms, const Context& c, SourceLimits::Charge& charge);

// Whether --allow-file puts the client above all limits of the service.
[[nodiscard]] bool is_allowed(const Rooms& rooms, const Context& c);

// Not for kAdmitted.
[[nodiscard]] Reason reason_of(Admission refusal);

}  // namespace synproxy
