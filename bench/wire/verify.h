// SPDX-License-Identifier: BSD-3-Clause
// Whether what comes back is right. Checksums are judged by DPDK's functions.
#pragma once

#include <cstdint>
#include <span>

#include "faults.h"
#include "segment.h"

namespace synproxy::generator {

// That the frame goes `towards` that end of the wire, addresses of the right end in the right
// place.
[[nodiscard]] Fault check_macs(std::span<const std::uint8_t> frame, Towards towards);

// Of IP and TCP.
[[nodiscard]] Fault check_checksums(const Incoming& segment);

// The answer to a SYN with these numbers and `offer`: right acknowledgement, no option that was not
// offered, the echo of its timestamp.
[[nodiscard]] Fault check_syn_ack(const Incoming& segment, const Numbers& client,
                                  const Offer& offer);

// The SYN that reaches the server after a handshake with the proxy: the client's own numbers and
// options. The proxy may ask for ECN, SACK and timestamps on its own account: that is how it learns
// what a server can do.
[[nodiscard]] Fault check_syn(const Incoming& segment, const Numbers& client, const Offer& offer);

}  // namespace synproxy::generator
