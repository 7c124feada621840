// SPDX-License-Identifier: BSD-3-Clause
// What clients have felt, for readers: sums over the workers, by service, and their quantiles.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "synproxy/base/counters.h"
#include "synproxy/base/felt.h"

namespace synproxy::control {

struct TimesSum {
  std::array<std::uint64_t, kFeltRanges> ranges{};
  std::uint64_t sum_ms = 0;

  [[nodiscard]] std::uint64_t count() const;
  // Within so many milliseconds that share of them was over, 0 < share < 1. It lies in the range
  // where the histogram has it, as if all of the range were spread evenly. nullopt: there are none.
  // What is above the last bound is told as that.
  [[nodiscard]] std::optional<double> within_ms(double share) const;
};

struct FeltSum {
  TimesSum handshake;
  TimesSum first_byte;
  std::uint64_t syn_repeats = 0;

  void add(const Felt& felt);
  void add(const FeltSum& other);
  void subtract(const FeltSum& before);  // where that is larger, 0 is left
  [[nodiscard]] bool empty() const { return handshake.count() == 0 && first_byte.count() == 0; }
};

// `names`: of the services that have one, in the order of their numbers. Of another one:
// "192.0.2.10:80", "[2001:db8::10]:443 in VLAN 7".
[[nodiscard]] std::string service_label(const FeltService::Name& name,
                                        std::span<const std::string> names);

struct ServiceFelt {
  std::string service;
  FeltSum felt;
};
inline constexpr std::string_view kOtherServices = "other";
inline constexpr std::string_view kAllServices = "all";

// What is read. The names stay where they are.
struct FeltSource {
  std::vector<const Counters*> workers;
  std::span<const std::string> names;
};
[[nodiscard]] FeltSum felt_by_all(const FeltSource& source);
// Since the start, in the order of the names; at the end "other", of services without a place of
// their own.
[[nodiscard]] std::vector<ServiceFelt> felt_by_service(const FeltSource& source);

// The same of the last minute or a little more: one thread notes what has been, others read.
class FeltLately {
 public:
  static constexpr std::uint64_t kEveryMs = 10'000;
  static constexpr std::size_t kNotes = 7;

  // About once a second.
  void note(const FeltSource& source, std::uint64_t now_ms);
  // First "all", then those that had any.
  [[nodiscard]] std::vector<ServiceFelt> now(const FeltSource& source) const;

 private:
  struct Note {
    FeltSum all;
    std::vector<ServiceFelt> services;
  };
  mutable std::mutex mutex_;
  std::array<Note, kNotes> notes_;
  std::size_t noted_ = 0;  // ever
  std::uint64_t last_ms_ = 0;
};

// The shares that are shown everywhere, and how they are called.
struct FeltShare {
  double share;
  const char* name;
};
inline constexpr auto kFeltShares =
    std::to_array<FeltShare>({{0.5, "p50"}, {0.9, "p90"}, {0.99, "p99"}});

// {"count", "p50", "p90", "p99"}: milliseconds; null where nothing was measured.
[[nodiscard]] nlohmann::ordered_json times_json(const TimesSum& times);
// {"handshake_ms": {...}, "first_byte_ms": {...}, "syn_repeats"}
[[nodiscard]] nlohmann::ordered_json felt_json(const FeltSum& felt);
// Of such a number: "0.5 ms", "12 ms", "1.5 s"; "-" of null.
[[nodiscard]] std::string ms_text(const nlohmann::ordered_json& ms);
// [{"service", "handshake_ms": {...}, "first_byte_ms": {...}, "syn_repeats"}]
[[nodiscard]] nlohmann::ordered_json felt_json(const std::vector<ServiceFelt>& services);

}  // namespace synproxy::control
