// SPDX-License-Identifier: BSD-3-Clause
#include "frames/made_frames.h"

#include <array>

#include "synproxy/flow/identity.h"

namespace synproxy {
namespace {

std::uint32_t digest_of_client(const FlowKey& key) { return address_digest(key.client.data()); }
VlanStack vlan_of(const FlowRecord& f) { return synproxy::vlan_of(record_identity(f)); }

}  // namespace

const Link* MadeFrames::link_of(const FlowRecord& f) const {
  return links_.find(f.link(), vlan_of(f));
}

LinkHeader MadeFrames::way_to_client(const LinkHeader& header, const FlowKey& key) const {
  if (const LinkHeader* known = ways_.find(header, digest_of_client(key))) return *known;
  return answer_to(header, Role::kClient, vlan_pairs_);
}

std::uint16_t MadeFrames::new_link(const FlowKey& key, Role sender, const LinkHeader& header) {
  if (sender == Role::kClient) return links_.intern({header, way_to_client(header, key)}, key.vlan);
  return links_.intern({answer_to(header, Role::kServer, vlan_pairs_), header}, key.vlan);
}

void MadeFrames::adopt_link(FlowRecord& f, const Link& link) {
  f.set_link(links_.adopt(link, vlan_of(f)).value_or(0), f.offered_scale());
}

void MadeFrames::follow(FlowRecord& f, Role sender, const LinkHeader& header) {
  const Link* const link = link_of(f);
  if (link == nullptr) {
    return f.set_link(links_.intern(mirrored(sender, header), vlan_of(f)), f.offered_scale());
  }
  f.set_link(links_.intern(moved(*link, sender, header), vlan_of(f)), f.offered_scale());
}

void MadeFrames::complete_link(FlowRecord& f, Role sender, const LinkHeader& header) {
  const Link* const known = link_of(f);
  Link link = known != nullptr ? *known : mirrored(sender, header);
  (sender == Role::kClient ? link.to_server : link.to_client) = header;
  f.set_link(links_.intern(link, vlan_of(f)), f.offered_scale());
}

Link MadeFrames::mirrored(Role sender, const LinkHeader& header) const {
  const LinkHeader back = answer_to(header, sender, vlan_pairs_);
  return sender == Role::kClient ? Link{header, back} : Link{back, header};
}

void MadeFrames::learn_way(const FlowRecord& f, const FlowKey& key, const LinkHeader& header) {
  const Link* const link = link_of(f);
  if (link == nullptr) return;
  const LinkHeader usual = answer_to(link->to_server, Role::kClient, vlan_pairs_);
  if (header.length != usual.length || (header == usual && !ways_.any())) return;
  ways_.learn(link->to_server, header, usual, digest_of_client(key));
  last_answer_ = LinkHeader();
}

void MadeFrames::turn_answer(std::uint8_t* frame, const LinkHeader& header, const FlowKey& key,
                             Role sender, const FlowRecord* f) {
  if (sender == Role::kClient) {
    const LinkHeader way = way_to_client(header, key);
    if (header.length == kEthernetHeader && !ways_.depends_on_client(header)) {
      last_answer_.set({frame, header.length});
      last_way_ = way;
    }
    return way.write(frame);
  }
  const LinkHeader usual = answer_to(header, Role::kServer, vlan_pairs_);
  const Link* const link = f != nullptr ? link_of(*f) : nullptr;
  const bool known = link != nullptr && link->to_server.length == usual.length;
  (known ? link->to_server : usual).write(frame);
}

void MadeFrames::send(const FlowRecord& f, const FlowKey& key, Role to, const TcpReply& reply,
                      FrameSink& sink) const {
  const Link* const link = link_of(f);
  if (link == nullptr) return counters_.count(Reason::link_forgotten);
  send(link->to(to), key, to, reply, flows_.look(f, other(to)), sink);
}

void MadeFrames::send(const LinkHeader& header, const FlowKey& key, Role to, const TcpReply& reply,
                      const IpLook& look, FrameSink& sink) const {
  std::array<std::uint8_t, kMaxReplyFrame> frame;
  if (header.length == 0) return;
  header.write(frame.data());
  const std::size_t size =
      write_tcp_packet(frame.data() + header.length, ends_of(key, to), reply, look);
  sink.emit(to, {frame.data(), header.length + size});
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
