// SPDX-License-Identifier: BSD-3-Clause
// Turns text into values and back. Every parse_ function throws std::invalid_argument; its text
// says what is wrong and completes "--flag value: ...". The caller adds what to do instead.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace synproxy::control {

// Decimal digits and nothing else.
[[nodiscard]] std::uint64_t parse_integer(std::string_view text, std::uint64_t min,
                                          std::uint64_t max);
// Bytes: digits and at most one of K, M, G in either case, powers of 1024.
[[nodiscard]] std::uint64_t parse_size(std::string_view text, std::uint64_t max);
// Milliseconds from seconds with up to three decimals: "10", "0.25".
[[nodiscard]] std::uint32_t parse_seconds(std::string_view text, std::uint32_t min_ms,
                                          std::uint32_t max_ms);
// The place of `text` among `words`; `unknown` is what is wrong with any other.
[[nodiscard]] std::size_t parse_word(std::string_view text, std::span<const std::string_view> words,
                                     std::string_view unknown);
// CPUs as in "0-1,3", in the order given, none twice.
[[nodiscard]] std::vector<unsigned> parse_cpus(std::string_view text);
[[nodiscard]] std::string parse_name(std::string_view text);

// From value to text, as a user would type it.
[[nodiscard]] std::string size_text(std::uint64_t bytes);
[[nodiscard]] std::string seconds_text(std::uint32_t ms);
[[nodiscard]] std::string cpus_text(const std::vector<unsigned>& cpus);

}  // namespace synproxy::control
