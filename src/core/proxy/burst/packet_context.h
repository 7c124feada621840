// SPDX-License-Identifier: BSD-3-Clause
// One packet on its way through the stages, with what was found out about it.
#pragma once

#include <cstdint>

#include "ack/cookie_match.h"
#include "syn/syn_plan.h"
#include "synproxy/base/packet.h"
#include "synproxy/flow/identity.h"
#include "synproxy/flow/record.h"
#include "synproxy/proxy/link_header.h"
#include "synproxy/proxy/offers.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

enum class Kind : std::uint8_t {
  kDecided,     // the verdict stands
  kTcp,         // protected TCP
  kSynPlanned,  // a client's SYN without a flow, answered when its MAC is known
  kRefuted,     // a client's ACK that quotes no valid cookie and has no flow yet (ack_burst.h)
  kFragment,    // of TCP to or from a protected address, to be put together
  kIcmp,        // an ICMP error that may quote protected TCP
};

struct Context {
  Packet* packet = nullptr;
  Segment segment;
  FlowIdentity identity;  // from here on: for protected TCP only
  ServiceName service = 0;
  std::uint64_t hash = 0;
  FlowIndex flow = kNoFlow;
  Kind kind = Kind::kDecided;
  Role sender = Role::kClient;  // where it came from
  bool passes_signed = false;   // has TCP MD5 or TCP-AO, and the tuning forwards those
  bool maybe_stripped = false;  // see plan_ack(); valid where `ack` has MACs
  AckPlan ack;                  // only for a client's ACK without a flow
  SynPlan syn;                  // only for a client's SYN

  // Valid until the packet is rewritten.
  [[nodiscard]] KeyView key() const {
    KeyView v;
    v.identity = identity;
    v.client = sender == Role::kClient ? segment.source() : segment.destination();
    v.server = sender == Role::kClient ? segment.destination() : segment.source();
    return v;
  }
};

// The Ethernet header of the packet's frame, tags included.
[[nodiscard]] inline LinkHeader link_header(const Segment& s) {
  return LinkHeader({s.frame, s.l3_offset});
}

}  // namespace synproxy
