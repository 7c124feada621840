// SPDX-License-Identifier: BSD-3-Clause
// The protected connection that an ICMP error is about.
#pragma once

#include "burst/flow_key.h"
#include "synproxy/policy/protect.h"
#include "synproxy/wire/icmp.h"

namespace synproxy {

struct QuotedFlow {
  QuotedSegment segment;
  FlowKey key;
};

// False: it quotes no TCP, or none of a protected address and port.
[[nodiscard]] inline bool quoted_flow(const Segment& icmp, Role sender, const ProtectSet& protect,
                                      QuotedFlow& out) {
  out.segment = parse_quoted(icmp);
  if (!out.segment.valid) return false;
  key_of(icmp, out.segment, sender, out.key);
  return protect.matches(out.key.server.data(), out.key.ipv6, out.key.server_port);
}

}  // namespace synproxy
