// SPDX-License-Identifier: BSD-3-Clause
// Builds the frames that are sent besides the verdicts, and keeps the Ethernet headers that they
// need.
#pragma once

#include <cstdint>
#include <cstring>

#include "flows/flow_book.h"
#include "synproxy/base/counters.h"
#include "synproxy/base/packet.h"
#include "synproxy/flow/key.h"
#include "synproxy/flow/record.h"
#include "synproxy/policy/vlan_pairs.h"
#include "synproxy/proxy/answer_ways.h"
#include "synproxy/proxy/link_table.h"
#include "synproxy/proxy/reply.h"

namespace synproxy {

class MadeFrames {
 public:
  // `index_key`: random. Throws std::bad_alloc.
  MadeFrames(const FlowBook& flows, const VlanPairs& vlan_pairs, const IndexKey& index_key,
             Counters& counters, Arena* arena)
      : links_(index_key, arena),
        ways_(index_key),
        flows_(flows),
        vlan_pairs_(vlan_pairs),
        counters_(counters) {}

  void restore() { links_.restore(); }

  // --- The link of a flow.
  // Returns the index for FlowRecord::set_link(). `header`: of the frame of `sender` that opens the
  // flow. `key`: of the flow.
  [[nodiscard]] std::uint16_t new_link(const FlowKey& key, Role sender, const LinkHeader& header);
  [[nodiscard]] std::uint64_t link_digest(std::size_t index) const {
    return links_.digest_at(index);
  }
  // nullptr: it is forgotten.
  [[nodiscard]] const Link* link_of(const FlowRecord& f) const;
  // Of a flow of another engine. Without it the newest link of its VLAN stands in.
  void adopt_link(FlowRecord& f, const Link& link);
  // The first frame of the other end shows what new_link() could only assume.
  void complete_link(FlowRecord& f, Role sender, const LinkHeader& header);
  // Whether `frame` of `sender` came another way than the flow's last one.
  [[nodiscard]] bool has_moved(const FlowRecord& f, Role sender, const std::uint8_t* frame) const {
    return !links_.at(f.link()).to(other(sender)).is_of(frame);
  }
  // The flow's frames take the way of `header` from here on. Only for a segment of `sender` whose
  // numbers and checksum have been found good: a forged one must not lead the flow away.
  void follow(FlowRecord& f, Role sender, const LinkHeader& header);
  // The server's SYN-ACK shows where answers to this client leave.
  void learn_way(const FlowRecord& f, const FlowKey& key, const LinkHeader& header);

  // --- Frames.
  // Sends a segment that looks like one of the other end. `key`: of the flow `f`.
  void send(const FlowRecord& f, const FlowKey& key, Role to, const TcpReply& reply,
            FrameSink& sink) const;
  void send(const LinkHeader& header, const FlowKey& key, Role to, const TcpReply& reply,
            const IpLook& look, FrameSink& sink) const;
  // Sends a SYN-ACK again. `header`: of its SYN.
  void send_syn_ack(const LinkHeader& header, const FlowKey& key, const TcpReply& reply,
                    const IpLook& look, FrameSink& sink) const {
    send(way_to_client(header, key), key, Role::kClient, reply, look, sink);
  }
  // Sends a RST with the sequence number that the receiver should take for exact.
  void send_rst(const FlowRecord& f, const FlowKey& key, Role to, FrameSink& sink) const;

  // --- Answers in place, which have the header of the frame that they answer, with its addresses
  // swapped.
  // Whether any of them may have to leave another way. If not, none needs a look.
  [[nodiscard]] bool turns_answers() const { return !vlan_pairs_.empty() || ways_.any(); }
  // Writes the header of an answer over that of `frame`, which is as long. `header`: of the frame
  // that is answered. `f`: its flow, nullptr: it has none.
  void turn_answer(std::uint8_t* frame, const LinkHeader& header, const FlowKey& key, Role sender,
                   const FlowRecord* f);
  // Does the same if the client is like the one before, as in a flood. False: it is not.
  [[nodiscard]] bool turn_like_last(std::uint8_t* frame) const {
    if (!last_answer_.is_of(frame)) return false;
    std::memcpy(frame, last_way_.bytes.data(), 2 * kMacAddress);
    return true;
  }

 private:
  // Of both directions, as long as only `header` of `sender` has been seen.
  [[nodiscard]] Link mirrored(Role sender, const LinkHeader& header) const;
  // The header of an answer to a client whose frames have `header`.
  [[nodiscard]] LinkHeader way_to_client(const LinkHeader& header, const FlowKey& key) const;

  LinkTable links_;
  AnswerWays ways_;
  // An untagged answer as it is written in place, and its way, if that is the same for all clients.
  LinkHeader last_answer_;
  LinkHeader last_way_;
  const FlowBook& flows_;
  const VlanPairs& vlan_pairs_;
  Counters& counters_;
};

}  // namespace synproxy
