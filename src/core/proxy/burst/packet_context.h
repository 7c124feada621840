// SPDX-License-Identifier: BSD-3-Clause
// One packet on its way through the stages: what was found out about it travels with it.
#pragma once

#include <cstdint>

#include "ack/cookie_match.h"
#include "syn/syn_plan.h"
#include "synproxy/base/packet.h"
#include "synproxy/flow/identity.h"
#include "synproxy/flow/record.h"
#include "synproxy/proxy/offers.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

enum class Kind : std::uint8_t {
  kDecided,     // classification was the end of it: the verdict stands
  kTcp,         // protected TCP
  kSynPlanned,  // a SYN of a client without a flow, to be answered once its MAC is there
  kRefuted,     // an ACK of a client that quotes no cookie, and has no flow yet (ack_burst.h)
  kIcmp,        // an ICMP error that may quote protected TCP
};

struct Context {
  Packet* packet = nullptr;
  Segment segment;
  FlowIdentity identity;  // protected TCP only, from here on
  ServiceName service = 0;
  std::uint64_t hash = 0;
  FlowIndex flow = kNoFlow;
  Kind kind = Kind::kDecided;
  Role sender = Role::kClient;  // where it came from
  bool passes_signed = false;   // TCP MD5 or TCP-AO, and the tuning lets those by
  AckPlan ack;                  // segment of a client without a flow only
  SynPlan syn;                  // SYN of a client only

  // Before the packet is rewritten.
  [[nodiscard]] KeyView key() const {
    KeyView v;
    v.identity = identity;
    v.client = sender == Role::kClient ? segment.source() : segment.destination();
    v.server = sender == Role::kClient ? segment.destination() : segment.source();
    return v;
  }
};

}  // namespace synproxy
