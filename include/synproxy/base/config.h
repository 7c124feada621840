// SPDX-License-Identifier: BSD-3-Clause
// The configuration of an engine: its shape, fixed before the first packet, and its tuning, which
// may change while it runs.
#pragma once

#include <cstdint>

#include "synproxy/base/limits.h"
#include "synproxy/base/vectors.h"

namespace synproxy {

enum class Offer : std::uint8_t { kOff, kOn, kAuto };

// What becomes of IP fragments of TCP to and from protected addresses.
enum class Fragments : std::uint8_t { kDrop, kForward, kReassemble };

// kAuto: from services that were seen to crawl (ServiceTable::note_crawl).
enum class HideRtt : std::uint8_t { kOff, kOn, kAuto };

// What becomes of segments of connections that the proxy does not know. kReset: RST to both ends.
enum class Unknown : std::uint8_t { kDrop, kReset, kForward };

// Which SYNs are answered with cookies. The others pass to the server, and their connections are
// only watched.
enum class Mode : std::uint8_t { kAlways, kAdaptive, kOff };

// When cookies begin and end for a service (policy/activation.h). Reasons: docs/flags.md.
struct AdaptiveTuning {
  std::uint32_t backlog = 511;       // half-open connections that the server of a service holds
  std::uint32_t start_percent = 25;  // of it: above this, cookies begin
  std::uint32_t end_percent = 12;    // of it: below this for `hold_ms`, they end
  std::uint32_t hold_ms = 60'000;
  std::uint32_t syn_rate = 10'000;  // SYNs a second, above which they begin too; 0: any number

  friend bool operator==(const AdaptiveTuning&, const AdaptiveTuning&) = default;
};

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
  std::uint32_t workers = 1;                      // engines that clients are spread over
  std::uint32_t max_flows = 1U << 20;             // of this worker
  std::uint64_t early_data_memory = 64ULL << 20;  // bytes, of this worker
  std::uint32_t epoch_ms = 64'000;
  // How many flows may be freed in an epoch while their cookie lives: in 64 s, 65,000 short
  // connections a second on one worker. The filter takes 8 MB an epoch, touched when used. The
  // number used is never below max_flows.
  std::uint32_t replays_per_epoch = 1U << 22;
  // Of what sources have spent of their limits; all workers together, touched when used.
  std::uint64_t limit_memory = 64ULL << 20;
  std::uint64_t unix_ms_at_start = 0;  // wall time when the monotonic clock read 0
  std::uint32_t adopt_ms = 0;  // how long connections that are older than the proxy may go on
  bool shared_secret = false;  // others may have sent cookies that are good here

  friend bool operator==(const EngineShape&, const EngineShape&) = default;
};

// What may change while the engine runs. It is the same for a whole burst.
struct EngineTuning {
  Mode mode = Mode::kAlways;
  AdaptiveTuning adaptive;
  OfferConfig offer;
  std::uint32_t early_window = 14600;  // bytes; 0: the client waits for the server's window
  std::uint32_t synack_repeats = 3;    // repeats of an unanswered SYN-ACK, 0 to 3
  HideRtt hide_rtt = HideRtt::kAuto;   // the server gets no round-trip sample from the handshake
  Fragments fragments = Fragments::kReassemble;
  bool forward_tcp_auth = false;  // forward TCP MD5 and TCP-AO segments untouched; else drop them
  Unknown unknown = Unknown::kReset;
  std::uint32_t server_timeout_ms = 150'000;
  std::uint32_t idle_timeout_ms = 7'500'000;
  std::uint32_t close_timeout_ms = 60'000;
  bool strict_window = false;  // drop what clients send outside the window of its connection
  std::uint8_t min_ttl = 0;    // TCP to protected ports with less is dropped; 0: none is
  LimitTuning limits;

  friend bool operator==(const EngineTuning&, const EngineTuning&) = default;
};

struct EngineConfig {
  EngineShape shape;
  EngineTuning tuning;
  Vectors most_vectors = Vectors::kAvx512;  // of those that the CPU has: for tests and benches

  friend bool operator==(const EngineConfig&, const EngineConfig&) = default;
};

}  // namespace synproxy
