// SPDX-License-Identifier: BSD-3-Clause
#include "frames/made_frames.h"

#include <array>

namespace synproxy {

void MadeFrames::send(const FlowRecord& f, const FlowKey& key, Role to, const TcpReply& reply,
                      FrameSink& sink) const {
  const LinkHeader* link = links_.find(f.link(), key.vlan);
  if (link == nullptr) return counters_.count(Reason::link_forgotten);
  send(*link, key, to, reply, sink);
}

void MadeFrames::send(const LinkHeader& link, const FlowKey& key, Role to, const TcpReply& reply,
                      FrameSink& sink) const {
  std::array<std::uint8_t, kMaxReplyFrame> frame;
  if (link.length == 0) return;
  link.write(frame.data(), to);
  const std::size_t size = write_tcp_packet(frame.data() + link.length, ends_of(key, to), reply);
  sink.emit(to, {frame.data(), link.length + size});
}

void MadeFrames::send_rst(const FlowRecord& f, const FlowKey& key, Role to, FrameSink& sink) const {
  TcpReply r;
  if (to == Role::kClient) {
    r.seq = SeqNum(f.server_nxt);
    r.ack = SeqNum(f.client_nxt);
    r.flags = kRst | kAck;
    counters_.count(Reason::rst_to_client);
  } else if (f.state() == FlowState::kSynSent) {
    r.seq = SeqNum(f.client_isn + 1);
    r.flags = kRst;
    counters_.count(Reason::rst_to_server);
  } else {
    r.seq = SeqNum(f.client_nxt);
    r.ack = SeqNum(f.server_nxt + f.spliced().delta);
    r.flags = kRst | kAck;
    counters_.count(Reason::rst_to_server);
  }
  send(f, key, to, r, sink);
}

}  // namespace synproxy
