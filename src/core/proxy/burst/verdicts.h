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
  c.packet->decide(Verdict::kDrop, why);
}
inline void forward(Counters& counters, Context& c, Reason fate) {
  counters.count(fate);
  c.packet->decide(Verdict::kForward, fate);
}
// True: the packet is a super-frame, whose bytes cannot be held. Its segments come instead, one by
// one; nothing else may be done for it. Ask before anything is changed.
inline bool cut_to_hold(Context& c) {
  if (!is_super(c.packet->checksum)) return false;
  c.packet->verdict = Verdict::kCut;
  return true;
}
// Sends `reply` back in the packet's own buffer; the packet's fate is `fate`. `look`: of the end in
// whose name it is sent.
void answer(Counters& counters, Context& c, const TcpReply& reply, const IpLook& look, Reason fate,
            Reason made);
// Drops the packet for `why` and sends back a RST that its sender accepts (RFC 9293 section
// 3.10.7.1). A damaged packet is dropped without an answer. `look`: as above.
void answer_with_rst(Counters& counters, Context& c, Reason why, const IpLook& look);
// The same in the name of an end of which nothing is known.
inline void answer_with_rst(Counters& counters, Context& c, Reason why) {
  answer_with_rst(counters, c, why, look_of_answer(look_of(c.segment)));
}

// Whether both checksums are good. Asked before a packet changes state. Trusts the device where it
// has checked.
[[nodiscard]] bool checksum_ok(const Context& c);

}  // namespace synproxy
