// SPDX-License-Identifier: BSD-3-Clause
// Translation: rewrites one segment from the numbers of one side to those of the other.
//
// The rules are those of spliced_numbers.h, for options wherever they stand, and window_scale.h.
// Checksums follow by RFC 1624 increments; the payload is never read.
#pragma once

#include "synproxy/base/packet.h"
#include "synproxy/flow/record.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

// Both rewrite the frame of `segment` in place; the fields of `segment` keep the old values. False:
// the option list is malformed; the options stay as they were, and the rest is translated. The TCP
// field of a super-frame stays: it sums addresses and length only, which translation leaves alone.
bool translate_to_server(const Segment& segment, const FlowRecord& flow,
                         ChecksumHint hint = ChecksumHint::kUnknown);
bool translate_to_client(const Segment& segment, const FlowRecord& flow,
                         ChecksumHint hint = ChecksumHint::kUnknown);

// Clears ECT in a packet to a server that did not agree to ECN (RFC 3168 section 6.1.1). False: the
// packet carries CE. Nobody could report that congestion, so the caller drops the packet, as the
// congested hop would have done without ECN.
[[nodiscard]] bool clear_ect(const Segment& segment);

}  // namespace synproxy
