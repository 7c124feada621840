// SPDX-License-Identifier: BSD-3-Clause
// How a packet is decided: each way sets the verdict and counts the fate.
#pragma once

#include "burst/packet_context.h"
#include "synproxy/base/counters.h"
#include "synproxy/base/reasons.h"
#include "synproxy/proxy/reply.h"

namespace synproxy {

inline void drop(Counters& counters, Context& c, Reason why) {
  counters.count(why);
  c.packet->verdict = Verdict::kDrop;
}
inline void forward(Counters& counters, Context& c, Reason fate) {
  counters.count(fate);
  c.packet->verdict = Verdict::kForward;
}
// Sends `reply` back in the packet's own buffer; the packet's fate is `fate`. `look`: of the end in
// whose name it is sent.
void answer(Counters& counters, Context& c, const TcpReply& reply, const IpLook& look, Reason fate,
            Reason made);
// Drops the packet for `why` and sends back a RST that its sender accepts (RFC 9293 section
// 3.10.7.1). A damaged packet is dropped without an answer. `look`: as above.
void answer_with_rst(Counters& counters, Context& c, Reason why, const IpLook& look);

// Whether both checksums are good. Asked before a packet changes state. Trusts the device where it
// has checked.
[[nodiscard]] bool checksum_ok(const Context& c);

}  // namespace synproxy
