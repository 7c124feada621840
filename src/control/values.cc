// SPDX-License-Identifier: BSD-3-Clause
#include "control/values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>
#include <utility>

namespace synproxy::control {
namespace {

// Linux counts CPUs in a mask of 1024 bits (CPU_SETSIZE).
constexpr unsigned kMaxCpu = 1023;
constexpr std::size_t kMaxNameLength = 48;

[[noreturn]] void wrong(const std::string& what) { throw std::invalid_argument(what); }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::uint64_t parse_digits(std::string_view text) {
  if (text.empty()) {
    wrong("is empty");
  }
  if (text.front() == '-' && text.size() > 1 && is_digit(text[1])) {
    wrong("is negative");
  }
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::invalid_argument) {
    wrong("is not a number");
  }
  if (end != text.data() + text.size()) {
    wrong("has '" + std::string(end, text.data() + text.size()) + "' after the number");
  }
  if (error == std::errc::result_out_of_range) {
    wrong("is too large");
  }
  return value;
}

void check_range(std::uint64_t value, std::uint64_t min, std::uint64_t max) {
  if (value < min) {
    wrong("is too small");
  }
  if (value > max) {
    wrong("is too large");
  }
}

}  // namespace

std::uint64_t parse_integer(std::string_view text, std::uint64_t min, std::uint64_t max) {
  const std::uint64_t value = parse_digits(text);
  check_range(value, min, max);
  return value;
}

std::uint64_t parse_size(std::string_view text, std::uint64_t max) {
  unsigned shift = 0;
  if (text.size() > 1 && is_digit(text[text.size() - 2])) {
    switch (text.back()) {
      case 'k':
      case 'K':
        shift = 10;
        break;
      case 'm':
      case 'M':
        shift = 20;
        break;
      case 'g':
      case 'G':
        shift = 30;
        break;
      default:
        break;
    }
    text.remove_suffix(shift == 0 ? 0 : 1);
  }
  const std::uint64_t value = parse_digits(text);
  if (value > max >> shift) {
    wrong("is too large");
  }
  return value << shift;
}

std::uint32_t parse_seconds(std::string_view text, std::uint32_t min_ms, std::uint32_t max_ms) {
  const std::size_t point = text.find('.');
  const std::uint64_t whole = parse_digits(text.substr(0, point));
  std::uint64_t ms = 0;
  if (point != std::string_view::npos) {
    std::string decimals(text.substr(point + 1));
    if (decimals.empty() || !std::ranges::all_of(decimals, is_digit)) {
      wrong("is not a number of seconds");
    }
    if (decimals.size() > 3) {
      wrong("is finer than a millisecond");
    }
    decimals.resize(3, '0');
    ms = parse_digits(decimals);
  }
  if (whole > max_ms / 1000) {
    wrong("is too large");
  }
  ms += whole * 1000;
  check_range(ms, min_ms, max_ms);
  return static_cast<std::uint32_t>(ms);
}

std::size_t parse_word(std::string_view text, std::span<const std::string_view> words,
                       std::string_view unknown) {
  const auto it = std::ranges::find(words, text);
  if (it == words.end()) {
    wrong(text.empty() ? "is empty" : std::string(unknown));
  }
  return static_cast<std::size_t>(it - words.begin());
}

std::vector<unsigned> parse_cpus(std::string_view text) {
  std::vector<unsigned> cpus;
  for (bool more = true; more;) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    more = comma != std::string_view::npos;
    text.remove_prefix(more ? comma + 1 : text.size());

    const std::size_t dash = part.find('-', 1);  // a leading one is a sign
    const auto first = parse_integer(part.substr(0, dash), 0, kMaxCpu);
    const auto last =
        dash == std::string_view::npos ? first : parse_integer(part.substr(dash + 1), 0, kMaxCpu);
    if (last < first) {
      wrong("has the range '" + std::string(part) + "' reversed");
    }
    for (auto cpu = static_cast<unsigned>(first); cpu <= last; ++cpu) {
      if (std::ranges::find(cpus, cpu) != cpus.end()) {
        wrong("names CPU " + std::to_string(cpu) + " twice");
      }
      cpus.push_back(cpu);
    }
  }
  return cpus;
}

std::string parse_name(std::string_view text) {
  const auto allowed = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '.' || c == '-';
  };
  if (text.empty()) {
    wrong("is empty");
  }
  if (text.size() > kMaxNameLength) {
    wrong("is too long");
  }
  if (text.front() == '.' || text.front() == '-' || !std::ranges::all_of(text, allowed)) {
    wrong("cannot name a directory safely");
  }
  return std::string(text);
}

std::string size_text(std::uint64_t bytes) {
  constexpr std::array<std::pair<unsigned, const char*>, 3> kUnits{
      {{30, "G"}, {20, "M"}, {10, "K"}}};
  for (const auto& [shift, unit] : kUnits) {
    if (bytes != 0 && bytes % (1ULL << shift) == 0) return std::to_string(bytes >> shift) + unit;
  }
  return std::to_string(bytes);
}

std::string seconds_text(std::uint32_t ms) {
  std::string text = std::to_string(ms / 1000);
  if (ms % 1000 == 0) return text;
  text += "." + std::to_string(1000 + ms % 1000).substr(1);
  return text.substr(0, text.find_last_not_of('0') + 1);
}

std::string cpus_text(const std::vector<unsigned>& cpus) {
  std::string text;
  for (const unsigned cpu : cpus) text += (text.empty() ? "" : ",") + std::to_string(cpu);
  return text;
}

}  // namespace synproxy::control
