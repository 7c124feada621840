// SPDX-License-Identifier: BSD-3-Clause
// What an engine is told: its shape before its first packet, its tuning whenever it changes.
#pragma once

#include <cstdint>

namespace synproxy {

enum class Offer : std::uint8_t { kOff, kOn, kAuto };

inline constexpr std::uint8_t kAutoScale = 0xff;

struct OfferConfig {
  Offer sack = Offer::kAuto;
  Offer timestamps = Offer::kAuto;
  Offer ecn = Offer::kAuto;
  std::uint8_t window_scale = kAutoScale;  // 0 to 14
  std::uint16_t mss = 0;                   // bytes; 0 is auto: 1460 for IPv4, 1440 for IPv6

  friend bool operator==(const OfferConfig&, const OfferConfig&) = default;
};

// What an engine is built for: sizes and clocks, fixed for its life. Reasons of the defaults:
// docs/flags.md.
struct EngineShape {
  std::uint32_t max_flows = 1U << 20;             // of this worker
  std::uint64_t early_data_memory = 64ULL << 20;  // bytes, of this worker
  std::uint32_t epoch_ms = 64'000;
  // Flows freed while their cookie lives: at 64 s an epoch, 65,000 short connections a second of
  // one worker. 8 MB an epoch, touched as they come. At least max_flows are expected.
  std::uint32_t replays_per_epoch = 1U << 22;
  std::uint64_t unix_ms_at_start = 0;  // wall time when the monotonic clock read 0

  friend bool operator==(const EngineShape&, const EngineShape&) = default;
};

// What may change while it runs: read anew for each burst.
struct EngineTuning {
  OfferConfig offer;
  std::uint32_t early_window = 14600;  // bytes; 0: the client waits for the server's window
  std::uint32_t synack_repeats = 3;    // of an unanswered SYN-ACK, 0 to 3
  bool hide_rtt = false;  // the server takes no sample of its round trip from the handshake
  bool forward_fragments = false;  // to and from protected addresses; else dropped
  bool forward_tcp_auth = false;   // TCP MD5 and TCP-AO segments past the proxy; else dropped
  std::uint32_t server_timeout_ms = 10'000;
  std::uint32_t idle_timeout_ms = 7'500'000;
  std::uint32_t close_timeout_ms = 60'000;

  friend bool operator==(const EngineTuning&, const EngineTuning&) = default;
};

struct EngineConfig {
  EngineShape shape;
  EngineTuning tuning;

  friend bool operator==(const EngineConfig&, const EngineConfig&) = default;
};

}  // namespace synproxy
