// SPDX-License-Identifier: BSD-3-Clause
// Translation: rewrites one segment from the numbers of one side to those of the other.
//
// Client to server: ack, every SACK edge and TSecr move up (delta, ts_delta). Server to client: seq
// and TSval move down. Windows are rescaled where the scales differ. Checksums follow by RFC 1624
// increments; the payload is never read.
#pragma once

#include <algorithm>
#include <cstdint>

#include "synproxy/base/packet.h"
#include "synproxy/flow/record.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

// The server's window as the client has to see it. RFC 7323 section 2.3: both shifts are 0 to 14; 0
// where scaling was not agreed. Rounding never closes an open window.
[[nodiscard]] constexpr std::uint16_t window_to_client(std::uint16_t window, unsigned server_shift,
                                                       unsigned offered_shift) {
  const std::uint32_t scaled = (std::uint32_t{window} << server_shift) >> offered_shift;
  return static_cast<std::uint16_t>(
      std::min<std::uint32_t>(0xffff, scaled == 0 && window != 0 ? 1 : scaled));
}
// The client's window for a server that does not scale.
[[nodiscard]] constexpr std::uint16_t window_unscaled(std::uint16_t window, unsigned client_shift) {
  return static_cast<std::uint16_t>(
      std::min<std::uint32_t>(0xffff, std::uint32_t{window} << client_shift));
}

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
