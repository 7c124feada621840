// SPDX-License-Identifier: BSD-3-Clause
// The gate for what is proven: every way by which a valid cookie opens a flow, or opens one in
// place of another, goes through it before anything is changed. Who is refused leaves no trace: a
// flow that was there stays as it was.
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
