// SPDX-License-Identifier: BSD-3-Clause
// Text to value. Every function throws std::invalid_argument with what is wrong, as it completes
// "--flag value: ..."; the caller adds what to do instead.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"

namespace synproxy::control {

// Decimal digits and nothing else.
[[nodiscard]] std::uint64_t parse_integer(std::string_view text, std::uint64_t min,
                                          std::uint64_t max);
// Bytes: digits and at most one of K, M, G in either case, powers of 1024.
[[nodiscard]] std::uint64_t parse_size(std::string_view text, std::uint64_t max);
// Milliseconds from seconds with up to three decimals: "10", "0.25".
[[nodiscard]] std::uint32_t parse_seconds(std::string_view text, std::uint32_t min_ms,
                                          std::uint32_t max_ms);
[[nodiscard]] Offer parse_offer(std::string_view text);
// "on" is true, "off" is false.
[[nodiscard]] bool parse_on(std::string_view text);
// "forward" is true, "drop" is false.
[[nodiscard]] bool parse_forward(std::string_view text);
// "auto" is true, "off" is false.
[[nodiscard]] bool parse_auto(std::string_view text);
[[nodiscard]] LogLevel parse_log_level(std::string_view text);
// "0-1,3": CPUs in the order given, none twice.
[[nodiscard]] std::vector<unsigned> parse_cpus(std::string_view text);
[[nodiscard]] std::string parse_name(std::string_view text);

}  // namespace synproxy::control
