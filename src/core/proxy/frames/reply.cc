// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/reply.h"

#include "frames/tcp_writer.h"

namespace synproxy {
namespace {

template <bool kIpv6>
std::size_t write_from(std::uint8_t* l3, const IpEnds& e, const TcpReply& reply,
                       const IpLook& look) {
  const RawEnds<kIpv6> ends{RawAddress<kIpv6>(e.source.data()),
                            RawAddress<kIpv6>(e.destination.data()),
                            be32(std::uint32_t{e.source_port} << 16 | e.destination_port)};
  return write_headers<kIpv6>(l3, ends, reply, look, said_in(reply));
}

}  // namespace

IpEnds ends_of(const FlowKey& key, Role to) {
  if (to == Role::kServer) {
    return {key.client, key.server, key.client_port, key.server_port, key.ipv6};
  }
  return {key.server, key.client, key.server_port, key.client_port, key.ipv6};
}

std::size_t tcp_packet_size(bool ipv6, const TcpReply& reply) {
  return ip_header_size(ipv6) + kTcpHeader + written_size(said_in(reply));
}

std::size_t write_tcp_packet(std::uint8_t* l3, const IpEnds& ends, const TcpReply& reply,
                             const IpLook& look) {
  return ends.ipv6 ? write_from<true>(l3, ends, reply, look)
                   : write_from<false>(l3, ends, reply, look);
}

bool reply_in_place(Packet& packet, const Segment& segment, const TcpReply& reply,
                    const IpLook& look) {
  return segment.ipv6 ? answer_in_place<true>(packet, segment, reply, look, said_in(reply))
                      : answer_in_place<false>(packet, segment, reply, look, said_in(reply));
}

}  // namespace synproxy
