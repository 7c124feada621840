// SPDX-License-Identifier: BSD-3-Clause
// Builds the frames that are sent besides the verdicts, and keeps the Ethernet headers that they
// need.
#pragma once

#include <cstdint>
#include <span>

#include "synproxy/base/counters.h"
#include "synproxy/base/packet.h"
#include "synproxy/flow/key.h"
#include "synproxy/flow/record.h"
#include "synproxy/proxy/link_table.h"
#include "synproxy/proxy/reply.h"

namespace synproxy {

class MadeFrames {
 public:
  MadeFrames(const IndexKey& index_key, Counters& counters)
      : links_(index_key), counters_(counters) {}

  // Returns the index for FlowRecord::set_link(). `header`: 14, 18 or 22 bytes, as on a frame from
  // the client; `vlan`: its tags.
  [[nodiscard]] std::uint16_t intern(std::span<const std::uint8_t> header, VlanStack vlan) {
    return links_.intern(header, vlan);
  }

  // `key`: of the flow.
  void send(const FlowRecord& f, const FlowKey& key, Role to, const TcpReply& reply,
            FrameSink& sink) const;
  void send(const LinkHeader& link, const FlowKey& key, Role to, const TcpReply& reply,
            FrameSink& sink) const;
  // Sends a RST with the sequence number that the receiver should take for exact.
  void send_rst(const FlowRecord& f, const FlowKey& key, Role to, FrameSink& sink) const;

 private:
  LinkTable links_;
  Counters& counters_;
};

}  // namespace synproxy
