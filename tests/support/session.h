// SPDX-License-Identifier: BSD-3-Clause
// One connection played by the test, which sends every segment of client and server itself.
//
// Each end has its own numbers: client_nxt is the client's, server_nxt the server's. The client
// knows the server's stream by `cookie`; the difference is delta().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/proxy_harness.h"

namespace synproxy::test {

// What the frames of one side have in common below TCP, besides addresses.
struct SidePath {
  Mac source{};
  Mac destination{};
  std::uint8_t ttl = 57;
  std::uint8_t traffic_class = 0;
  std::uint32_t flow_label = 0;
};

struct SessionOptions {
  bool ipv6 = false;
  std::string client{};  // empty: the family's default
  std::string server{};
  std::uint16_t client_port = 40000;
  std::uint16_t server_port = 80;
  std::vector<VlanTag> tags{};
  std::optional<std::vector<VlanTag>> server_tags{};  // where the server's frames have other ones
  SidePath client_path{.source = kClientMac, .destination = kServerMac};
  SidePath server_path{.source = kServerMac, .destination = kClientMac};
  std::uint32_t client_isn = 1'000'000;
  std::uint32_t server_isn = 0x90000000;
  bool timestamps = true;
  bool sack = true;
  bool ecn = false;
  std::optional<std::uint8_t> client_scale = 7;
  std::uint16_t mss = 1460;  // 0: no option
  std::uint32_t client_ts = 5'000;
  std::uint32_t server_ts = 700'000;
  std::uint16_t client_window = 64'240;
  // What the server answers with, if asked.
  bool server_timestamps = true;
  bool server_sack = true;
  bool server_ecn = true;
  std::optional<std::uint8_t> server_scale = 7;
  std::uint16_t server_window = 65'160;
  std::uint16_t server_mss = 1460;
};

class Session {
 public:
  explicit Session(ProxyHarness& proxy, SessionOptions options = {});

  // Empty segments with addresses, tags, ports, the present numbers and, if agreed, timestamps.
  [[nodiscard]] PacketBuilder client(std::uint16_t flags = kAck) const;
  [[nodiscard]] PacketBuilder server(std::uint16_t flags = kAck) const;
  [[nodiscard]] Bytes syn_frame(std::string_view data = {}) const;
  [[nodiscard]] Bytes ack_frame() const;
  [[nodiscard]] Bytes syn_ack_frame() const;

  // The three steps of a handshake. A server that is asked first, because its service is in doubt,
  // answers. Each returns what the proxy sent: SYN-ACK to the client, SYN to
  // the server, ACK to the server.
  DecodedFrame syn();
  DecodedFrame ack();
  DecodedFrame syn_ack();
  // All three steps; then the connection is spliced and both queues are empty.
  void open();

  // Sends in order; each returns what arrives at the other end.
  DecodedFrame client_sends(std::string_view text, std::uint16_t flags = kAck | kPsh);
  DecodedFrame server_sends(std::string_view text, std::uint16_t flags = kAck | kPsh);
  // FIN, FIN-ACK, ACK; the client (or the server) begins.
  void close(bool server_first = false);

  // From here on both ends have the same numbers: nothing is translated.
  void untranslated() {
    cookie = o.server_isn;
    our_tsval = server_first_ts;
  }
  [[nodiscard]] std::uint32_t delta() const { return o.server_isn - cookie; }
  [[nodiscard]] std::uint32_t ts_delta() const { return server_first_ts - our_tsval; }
  // The server's sequence number as the client sees it.
  [[nodiscard]] std::uint32_t seen_by_client(std::uint32_t server_seq) const {
    return server_seq - delta();
  }

  // A frame of one side, with its path and addresses.
  [[nodiscard]] PacketBuilder from_client() const;
  [[nodiscard]] PacketBuilder from_server() const;

  ProxyHarness& proxy;
  SessionOptions o;
  std::uint32_t cookie = 0;
  std::uint32_t our_tsval = 0;
  std::uint32_t server_first_ts = 0;  // TSval of the server's SYN-ACK
  std::uint32_t client_nxt = 0;
  std::uint32_t server_nxt = 0;
  std::uint32_t client_ts = 0;
  std::uint32_t server_ts = 0;
};

// The service answers another client, so it is in doubt no longer.
void revive_service(ProxyHarness& proxy, SessionOptions like);

}  // namespace synproxy::test
