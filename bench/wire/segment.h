// SPDX-License-Identifier: BSD-3-Clause
// TCP between the played clients and the played server, as frames. It writes them, and reads them
// back and checks every field that does not depend on the connection. It shares only the loads and
// stores of bytes.h with the proxy.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "faults.h"
#include "tuple.h"

namespace synproxy::generator {

using Mac = std::array<std::uint8_t, 6>;
inline constexpr Mac kClientMac{0x02, 0, 0, 0, 0, 0x01};
inline constexpr Mac kServerMac{0x02, 0, 0, 0, 0, 0x02};
inline constexpr std::array<std::uint8_t, 4> kServer4{203, 0, 113, 10};
inline constexpr std::array<std::uint8_t, 16> kServer6{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0,
                                                       0,    0,    0,    0,    0, 0, 0, 0x10};
// High half of every client's IPv6 address.
inline constexpr std::array<std::uint8_t, 8> kClientNet6{0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0};
inline constexpr std::uint16_t kServerPort = 80;
inline constexpr std::uint8_t kTtl = 64;

inline constexpr std::size_t kEthernet = 14;
[[nodiscard]] constexpr std::size_t ip_header(bool ipv6) { return ipv6 ? 40 : 20; }
inline constexpr std::size_t kTcpHeader = 20;

inline constexpr std::uint8_t kFin = 1;
inline constexpr std::uint8_t kSyn = 2;
inline constexpr std::uint8_t kRst = 4;
inline constexpr std::uint8_t kPsh = 8;
inline constexpr std::uint8_t kAck = 16;
inline constexpr std::uint8_t kEce = 64;
inline constexpr std::uint8_t kCwr = 128;

enum class Towards : std::uint8_t { kServer, kClient };

// The options of our SYN or SYN-ACK, in the order of Linux.
struct Offer {
  bool timestamps = true;
  bool sack = true;
  bool window_scaling = true;
  std::uint8_t window_scale = 7;
};
[[nodiscard]] constexpr std::uint16_t mss_of(bool ipv6) { return ipv6 ? 1440 : 1460; }

// The same bytes for every connection, with their sum.
struct Payload {
  explicit Payload(std::size_t length);
  std::vector<std::uint8_t> bytes;
  std::uint16_t sum;  // as rte_raw_cksum gives it
};

struct Outgoing {
  bool ipv6 = false;
  Towards towards = Towards::kServer;
  Tuple client;
  std::uint32_t seq = 0;
  std::uint32_t ack = 0;
  std::uint8_t flags = 0;
  bool timestamps = false;       // as an option of its own, if there is no offer
  const Offer* offer = nullptr;  // a SYN or SYN-ACK with these options
  std::uint32_t tsval = 0;
  std::uint32_t tsecr = 0;
  const Payload* payload = nullptr;
};

inline constexpr std::size_t kMaxHeaders = kEthernet + 40 + kTcpHeader + 20;

// `at` has room for kMaxHeaders bytes and the payload. Returns the frame's length.
std::uint16_t write_segment(std::uint8_t* at, const Outgoing& segment);

struct Incoming {
  bool ipv6 = false;
  Tuple client;
  std::uint32_t seq = 0;
  std::uint32_t ack = 0;
  std::uint8_t flags = 0;
  std::span<const std::uint8_t> ip;  // the whole packet
  std::span<const std::uint8_t> options;
  std::span<const std::uint8_t> payload;
};

// Reads a segment of one of our connections on its way `towards` an end, and checks addresses and
// lengths. `out` is complete only if there is no fault. MAC addresses and checksums are not
// checked.
[[nodiscard]] Fault read_segment(std::span<const std::uint8_t> frame, Towards towards,
                                 Incoming& out);

struct Options {
  bool malformed = false;
  bool unknown = false;  // one that our SYNs never have
  bool sack_permitted = false;
  bool timestamps = false;
  bool has_mss = false;
  bool has_window_scale = false;
  std::uint16_t mss = 0;
  std::uint8_t window_scale = 0;
  std::uint32_t tsval = 0;
  std::uint32_t tsecr = 0;
};
[[nodiscard]] Options read_options(std::span<const std::uint8_t> options);

}  // namespace synproxy::generator
