// SPDX-License-Identifier: BSD-3-Clause
// Takes a frame apart field by field, for tests. Shares no code with src/core/.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/packet_builder.h"

namespace synproxy::test {

struct DecodedFrame {
  Bytes raw;
  Mac source_mac{};
  Mac destination_mac{};
  std::vector<VlanTag> tags;
  bool ipv6 = false;
  Bytes source;       // address
  Bytes destination;  // address
  std::uint8_t traffic_class = 0;
  std::uint8_t ttl = 0;
  std::uint16_t ip_id = 0;       // IPv4
  std::uint16_t fragment = 0;    // IPv4
  std::uint32_t flow_label = 0;  // IPv6
  std::size_t ip_header = 0;     // with options or extension headers
  bool checksums_good = false;   // of IP and TCP
  std::size_t trailing = 0;      // bytes after the IP packet
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint32_t seq = 0;
  std::uint32_t ack = 0;
  std::uint16_t flags = 0;
  std::uint16_t window = 0;
  std::uint16_t urgent = 0;
  std::optional<std::uint16_t> mss;
  std::optional<std::uint8_t> window_scale;
  bool sack_permitted = false;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> timestamps;  // TSval, TSecr
  std::vector<std::pair<std::uint32_t, std::uint32_t>> sack;
  Bytes options;
  Bytes payload;

  [[nodiscard]] bool has(std::uint16_t flag) const { return (flags & flag) != 0; }
  [[nodiscard]] std::uint32_t seq_length() const {
    return static_cast<std::uint32_t>(payload.size()) + (has(kSyn) ? 1U : 0U) +
           (has(kFin) ? 1U : 0U);
  }
  [[nodiscard]] std::string text() const { return {payload.begin(), payload.end()}; }
  [[nodiscard]] std::uint32_t tsval() const { return timestamps.at(0).first; }
  [[nodiscard]] std::uint32_t tsecr() const { return timestamps.at(0).second; }
  // One line, for messages.
  [[nodiscard]] std::string to_string() const;
};

// Nothing unless the frame is whole TCP over IPv4 or IPv6.
[[nodiscard]] std::optional<DecodedFrame> decode(std::span<const std::uint8_t> frame);

}  // namespace synproxy::test
