// SPDX-License-Identifier: BSD-3-Clause
// TCP options (RFC 9293 section 3.1): a walk that cannot leave the header, and the options that a
// handshake needs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "synproxy/wire/bytes.h"
#include "synproxy/wire/option_list.h"

namespace synproxy {

// RFC 9293 section 3.7.1: the MSS in bytes that a missing MSS option means.
[[nodiscard]] constexpr std::uint16_t default_mss(bool ipv6) { return ipv6 ? 1220 : 536; }

// Calls visit(kind, offset, length) for each option but NOP, `offset` and `length` covering kind
// and length byte. Returns false when the list is malformed: a length below 2, or past the end;
// what came before has been visited. Ends at END, at the last byte, or when `visit` returns false.
template <typename Visitor>
inline bool walk_options(const std::uint8_t* options, std::size_t size, Visitor&& visit) {
  std::size_t at = 0;
  while (at < size) {
    const std::uint8_t kind = options[at];
    if (kind == kOptionEnd) return true;
    if (kind == kOptionNop) {
      ++at;
      continue;
    }
    if (size - at < 2) return false;
    const std::size_t length = options[at + 1];
    if (length < 2 || length > size - at) return false;
    if (!visit(kind, at, length)) return true;
    at += length;
  }
  return true;
}

// What the options of a SYN or of any segment say. As in Linux, options of a wrong length are
// ignored, the last one of a kind counts, and so does all that stands before a malformed one.
struct TcpOptions {
  std::uint16_t mss = 0;                 // bytes; 0: not given, or given as 0
  std::uint8_t window_scale = kNoScale;  // larger values count as kMaxWindowScale (RFC 7323)
  bool sack_permitted = false;
  bool timestamps = false;
  bool malformed = false;
  bool auth = false;  // TCP MD5 or TCP-AO, of whatever length
  std::uint32_t tsval = 0;
  std::uint32_t tsecr = 0;
};

// A list of options where it lies.
struct OptionText {
  const std::uint8_t* at = nullptr;
  std::size_t size = 0;
};

namespace detail {
void parse_four_tcp_options(const OptionText* lists, TcpOptions* out);
[[nodiscard]] TcpOptions parse_any_tcp_options(const std::uint8_t* options, std::size_t size);
// Offset of the last timestamps option, or `size`.
[[nodiscard]] std::size_t find_any_timestamps(const std::uint8_t* options, std::size_t size);
}  // namespace detail

[[nodiscard]] inline TcpOptions parse_tcp_options(const std::uint8_t* options, std::size_t size) {
  // SYNs and SYN-ACKs of Linux, and our own, are matched as a whole.
  constexpr OptionList kUsual = kAllFourOptions;
  if (size == kUsual.bytes() && is_list<kUsual>(options)) {
    const auto scale = value_of<kUsual, OptionWord::kNopAndScale, std::uint8_t>(options);
    TcpOptions out;
    out.mss = value_of<kUsual, OptionWord::kMss, std::uint16_t>(options);
    out.window_scale = scale < kMaxWindowScale ? scale : kMaxWindowScale;
    out.sack_permitted = true;
    out.timestamps = true;
    out.tsval = value_of<kUsual, OptionWord::kTsval, std::uint32_t>(options);
    out.tsecr = value_of<kUsual, OptionWord::kTsecr, std::uint32_t>(options);
    return out;
  }
  return detail::parse_any_tcp_options(options, size);
}

// The same for four lists that anybody may have sent, with the walks side by side. Two bytes of
// each must be readable, even if it has fewer.
inline void parse_tcp_options(const std::array<OptionText, 4>& lists,
                              std::array<TcpOptions, 4>& out) {
  detail::parse_four_tcp_options(lists.data(), out.data());
}

// Whether there is the timestamps option alone, in its common layout (NOP NOP TS).
[[nodiscard]] inline bool are_timestamps_alone(const std::uint8_t* options, std::size_t size) {
  return size == kTimestampsAlone.bytes() && is_list<kTimestampsAlone>(options);
}
struct Timestamps {
  bool present = false;
  std::uint32_t tsval = 0;
  std::uint32_t tsecr = 0;
};
[[nodiscard]] inline Timestamps find_timestamps(const std::uint8_t* options, std::size_t size) {
  if (are_timestamps_alone(options, size)) {
    constexpr OptionList kUsual = kTimestampsAlone;
    return {true, value_of<kUsual, OptionWord::kTsval, std::uint32_t>(options),
            value_of<kUsual, OptionWord::kTsecr, std::uint32_t>(options)};
  }
  const std::size_t at = detail::find_any_timestamps(options, size);
  if (at == size) return {};
  return {true, load_be<std::uint32_t>(options + at + 2), load_be<std::uint32_t>(options + at + 6)};
}

}  // namespace synproxy
