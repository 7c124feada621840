// SPDX-License-Identifier: BSD-3-Clause
// The gate for proven sources. Whenever a valid cookie is to open a flow, or to open one in place
// of another, admit() decides before anything is changed. A refusal changes nothing: a flow that is
// there stays as it is.
#pragma once

#include "burst/packet_context.h"
#include "flows/flow_book.h"
#include "synproxy/base/reasons.h"

namespace synproxy {

enum class Admission : std::uint8_t { kAdmitted, kReplayed, kBadChecksum };

// `match` is valid.
[[nodiscard]] Admission admit(const FlowBook& flows, const Context& c, const CookieMatch& match);

// Not for kAdmitted.
[[nodiscard]] Reason reason_of(Admission refusal);

}  // namespace synproxy
