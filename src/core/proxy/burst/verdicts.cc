// SPDX-License-Identifier: BSD-3-Clause
#include "burst/engine_state.h"

namespace synproxy {

void answer(EngineState& s, Context& c, const TcpReply& reply, Reason fate, Reason made) {
  if (!reply_in_place(*c.packet, c.segment, reply)) {
    return drop(s, c, Reason::no_buffer_room);
  }
  c.packet->verdict = Verdict::kReply;
  s.counters.count(fate);
  s.counters.count(made);
}

void answer_with_rst(EngineState& s, Context& c, Role sender, Reason why) {
  const Segment& g = c.segment;
  if (!checksum_ok(c)) return drop(s, c, Reason::bad_checksum);
  TcpReply rst;
  rst.seq = g.ack;
  rst.flags = kRst;
  if (!g.has(kAck)) {
    rst.seq = SeqNum(0);
    rst.ack = g.seq_end();
    rst.flags = kRst | kAck;
  }
  answer(s, c, rst, why, sender == Role::kClient ? Reason::rst_to_client : Reason::rst_to_server);
}

bool checksum_ok(const Context& c) {
  switch (c.packet->checksum) {
    case ChecksumHint::kGood:
      return true;
    case ChecksumHint::kTcpGood:
      return ip_checksum_good(c.segment);
    case ChecksumHint::kBad:
      return false;
    case ChecksumHint::kUnknown:
      break;
  }
  return checksums_good(c.segment);
}

}  // namespace synproxy
