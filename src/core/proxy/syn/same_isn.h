// SPDX-License-Identifier: BSD-3-Clause
// Clients that begin anew with the ISN of their last connection. A device without entropy does so
// after each boot, from the same port.
//
// A cookie is a function of addresses, ports, ISN and epoch. So the plain cookie of the new SYN
// would be the one of the old connection, and a late copy of the old handshake ACK could not be
// told from the new one. On a flow that is over, the cookie of such a SYN therefore covers another
// number in place of the ISN, which follows from the old connection's cookie. Late copies of the
// old SYN and the old ACK together still open nothing: nobody acknowledges the new cookie. Nothing
// has to be remembered, and it works as often as the device boots.
//
// On a live flow such a SYN gets a challenge ACK (RFC 5961 section 4). The device answers it with a
// RST at the exact number, which ends the old connection at both ends, and sends its SYN again.
#pragma once

#include "synproxy/flow/record.h"
#include "synproxy/wire/seq_num.h"

namespace synproxy {

[[nodiscard]] inline bool repeats_isn(const FlowRecord& f, SeqNum isn) {
  return isn.value() == f.client_isn && !f.opened_by_server();
}

// Closed by both, reset, or given up.
[[nodiscard]] inline bool may_begin_anew(const FlowRecord& f) {
  return f.state() == FlowState::kClosing || f.state() == FlowState::kFinished ||
         f.state() == FlowState::kTombstone;
}

// What the MAC covers in place of the ISN. A flow that begins so has another cookie, and so its
// successor another number.
[[nodiscard]] inline std::uint32_t renewed_isn(const FlowRecord& f) {
  return ~(f.client_isn ^ f.cookie);
}

}  // namespace synproxy
