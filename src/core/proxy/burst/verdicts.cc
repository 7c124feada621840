// SPDX-License-Identifier: BSD-3-Clause
#include "burst/verdicts.h"

namespace synproxy {

void answer(Counters& counters, Context& c, const TcpReply& reply, const IpLook& look, Reason fate,
            Reason made) {
  if (!reply_in_place(*c.packet, c.segment, reply, look)) {
    return drop(counters, c, Reason::no_buffer_room);
  }
  c.packet->decide(Verdict::kReply, fate);
  counters.count(fate);
  counters.count(made);
}

void answer_with_rst(Counters& counters, Context& c, Reason why, const IpLook& look) {
  const Segment& g = c.segment;
  if (!checksum_ok(c)) return drop(counters, c, Reason::bad_checksum);
  TcpReply rst;
  rst.seq = g.ack;
  rst.flags = kRst;
  if (!g.has(kAck)) {
    rst.seq = SeqNum(0);
    rst.ack = g.seq_end();
    rst.flags = kRst | kAck;
  }
  answer(counters, c, rst, look, why,
         c.sender == Role::kClient ? Reason::rst_to_client : Reason::rst_to_server);
}

bool checksum_ok(const Context& c) {
  switch (c.packet->checksum) {
    case ChecksumHint::kGood:
      return true;
    case ChecksumHint::kTcpGood:
    case ChecksumHint::kPartial:
      return ip_checksum_good(c.segment);
    case ChecksumHint::kBad:
      return false;
    case ChecksumHint::kUnknown:
      break;
  }
  return checksums_good(c.segment);
}

}  // namespace synproxy
