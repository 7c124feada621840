// SPDX-License-Identifier: BSD-3-Clause
// Both ends of one hostile connection. They read what the proxy sends them, so they know what real
// ends would know. They build segments with right checksums, and with numbers near the right ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fuzz/command.h"
#include "support/decoded_frame.h"

namespace synproxy::fuzz {

using test::Bytes;
using test::DecodedFrame;
using test::PacketBuilder;

// What one end has seen of the other's stream, in its own view.
struct Seen {
  std::uint32_t isn = 0;
  std::uint32_t nxt = 0;    // one past the highest byte
  std::uint32_t ack = 0;    // of our stream, the last one
  std::uint32_t tsval = 0;  // the last one
  std::uint16_t window = 0;
  bool timestamps = false;
  bool sack = false;
  Bytes packet;  // the last frame without its Ethernet header, for ICMP errors to quote
};

class Peer {
 public:
  static constexpr unsigned kPeers = 12;
  explicit Peer(unsigned number);

  [[nodiscard]] bool owns(const DecodedFrame& f, bool to_client) const;
  void at_client(const DecodedFrame& f);
  void at_server(const DecodedFrame& f);
  // Chooses new sequence numbers for the same addresses and ports.
  void reuse(const Command& c);

  [[nodiscard]] Bytes syn(const Command& c, std::uint64_t now);
  [[nodiscard]] Bytes handshake_ack(const Command& c, std::uint64_t now);
  [[nodiscard]] Bytes syn_ack(const Command& c, std::uint64_t now);
  [[nodiscard]] Bytes client_segment(const Command& c, std::uint64_t now);
  [[nodiscard]] Bytes server_segment(const Command& c, std::uint64_t now);
  [[nodiscard]] Bytes server_syn(const Command& c, std::uint64_t now);
  [[nodiscard]] Bytes client_syn_ack(const Command& c, std::uint64_t now);
  // The next segment in order, with the given flags.
  [[nodiscard]] Bytes plain(bool client, std::uint16_t flags, std::size_t length,
                            std::uint64_t now);
  [[nodiscard]] Bytes icmp(const Command& c) const;

  struct End {
    std::uint32_t isn = 0;
    std::uint32_t nxt = 0;
    std::uint32_t ts_base = 0;
    Seen seen;  // of the other end
  };
  End client;
  End server;

 private:
  [[nodiscard]] PacketBuilder headers(bool from_client) const;
  [[nodiscard]] Bytes segment(bool from_client, const Command& c, std::uint64_t now);
  void add_options(PacketBuilder& b, const End& end, const Command& c, std::uint64_t now) const;
  void shape(PacketBuilder& b, const Command& c) const;

  std::string client_address_;
  std::string server_address_;
  std::uint16_t port_;
  std::vector<test::VlanTag> tags_;
};

// The answer of an honest server to the SYN that it saw: it grants only what it was asked for.
[[nodiscard]] inline std::uint8_t honest_answer(const Peer& p) {
  return static_cast<std::uint8_t>((p.server.seen.sack ? 0 : 1) |
                                   (p.server.seen.timestamps ? 0 : 2));
}
[[nodiscard]] std::size_t payload_of(const Command& c);
// The input asks for bytes that no honest sender makes.
[[nodiscard]] inline bool breaks_checksum(const Command& c) { return (c.shape & 0xf0) == 0x10; }

}  // namespace synproxy::fuzz
