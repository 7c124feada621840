// SPDX-License-Identifier: BSD-3-Clause
// Checks what comes back. Checksums are checked by DPDK's functions.
#pragma once

#include <cstdint>
#include <span>

#include "faults.h"
#include "segment.h"

namespace synproxy::generator {

// The frame goes `towards` that end of the wire: each address is that of the right end.
[[nodiscard]] Fault check_macs(std::span<const std::uint8_t> frame, Towards towards);

// The checksums of IP and TCP.
[[nodiscard]] Fault check_checksums(const Incoming& segment);

// The answer to a SYN with these numbers and `offer`: the right acknowledgement, no option that was
// not offered, and the echo of its timestamp.
[[nodiscard]] Fault check_syn_ack(const Incoming& segment, const Numbers& client,
                                  const Offer& offer);

// The SYN that reaches the server after a handshake with the proxy: it has the client's own numbers
// and options. The proxy may also ask for ECN, SACK and timestamps, to learn what a server can do.
[[nodiscard]] Fault check_syn(const Incoming& segment, const Numbers& client, const Offer& offer);

}  // namespace synproxy::generator
