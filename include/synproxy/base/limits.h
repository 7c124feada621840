// SPDX-License-Identifier: BSD-3-Clause
// Limits as the user gives them: per proven source (--limit-rate, --limit-conns), per claimed one
// (--reply-rate), and per service (--server-backlog).
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace synproxy {

inline constexpr std::size_t kMaxLimits = 4;  // of each kind
// A burst costs that much of the table's time, in its units, at most (policy/limit_rules.h).
inline constexpr std::uint64_t kMaxBurstUnits = std::uint64_t{1} << 38;

// Sources are told apart by so many leading bits of their address.
struct SourceMask {
  std::uint8_t ipv4 = 32;
  std::uint8_t ipv6 = 64;
  friend bool operator==(const SourceMask&, const SourceMask&) = default;
};

// `connections` in `period_ms`, evenly, and `burst` of them at once.
struct RateLimit {
  std::uint32_t connections = 0;
  std::uint32_t period_ms = 1000;
  std::uint32_t burst = 5;
  SourceMask mask;
  friend bool operator==(const RateLimit&, const RateLimit&) = default;
};

// `connections` that are open at once.
struct ConnsLimit {
  std::uint32_t connections = 0;
  SourceMask mask;
  friend bool operator==(const ConnsLimit&, const ConnsLimit&) = default;
};

template <typename Limit>
struct LimitList {
  std::array<Limit, kMaxLimits> limits{};
  std::uint8_t count = 0;

  [[nodiscard]] std::span<const Limit> in_use() const { return {limits.data(), count}; }
  friend bool operator==(const LimitList&, const LimitList&) = default;
};

enum class LimitAction : std::uint8_t { kDrop, kReset };

// SYN-ACKs for each claimed source prefix and second, all workers together.
struct ReplyRate {
  std::uint32_t per_second = 20'000;  // 0: any number
  SourceMask mask;
  friend bool operator==(const ReplyRate&, const ReplyRate&) = default;
};

// Connections of a service that may wait for the server's SYN-ACK, all workers together. The mask
// tells apart the sources that take turns.
struct ServerBacklog {
  std::uint32_t connections = 0;  // 0: any number, unless it is learned
  bool learned = false;           // `auto`
  SourceMask mask;

  [[nodiscard]] bool bounds() const { return learned || connections != 0; }
  friend bool operator==(const ServerBacklog&, const ServerBacklog&) = default;
};

// The rules that --monitor may name, one bit each.
enum MonitoredRule : std::uint16_t {
  kMonitorLimitRate = 1,
  kMonitorLimitConns = 2,
  kMonitorReplyRate = 4,
  kMonitorDeny = 8,
  kMonitorBogons = 16,
  kMonitorMinTtl = 32,
  kMonitorStrictWindow = 64,
  kMonitorServerBacklog = 128,
  kMonitorTightCookies = 256,
  kMonitorUnknown = 512,
  kMonitorFragments = 1024,
  kMonitorMode = 2048,
};
// Rules that no single service can have: they are about claimed sources, packets without a port,
// and the secret.
inline constexpr std::uint16_t kMonitorOfAllAlone =
    kMonitorReplyRate | kMonitorTightCookies | kMonitorFragments;

struct LimitTuning {
  LimitList<RateLimit> rate;
  LimitList<ConnsLimit> conns;
  LimitAction action = LimitAction::kDrop;
  ReplyRate reply;
  ServerBacklog backlog;
  std::uint16_t monitored = 0;  // MonitoredRule

  friend bool operator==(const LimitTuning&, const LimitTuning&) = default;
};

}  // namespace synproxy
