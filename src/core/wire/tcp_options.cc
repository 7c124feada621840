// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/tcp_options.h"

#include "option_walks.h"

namespace synproxy::detail {
namespace {

// Shorter lists have few options, and no room for timestamps.
bool at_once(std::size_t size) {
  return size >= kTimestampsLength && size <= kMaxOptionBytes && has_vector_walks();
}

}  // namespace

TcpOptions parse_any_tcp_options(const std::uint8_t* options, std::size_t size) {
  if (size < 2) {
    TcpOptions out;
    out.malformed = size != 0 && *options != kOptionNop && *options != kOptionEnd;
    return out;
  }
  return at_once(size) ? parse_at_once(options, size) : parse_by_steps(options, size);
}

void parse_four_tcp_options(const OptionText* lists, TcpOptions* out) {
  bool fit = has_vector_walks();
  for (std::size_t i = 0; i < 4; ++i) fit &= lists[i].size <= kMaxOptionBytes;
  if (fit) return parse_four_at_once(lists, out);
  for (std::size_t i = 0; i < 4; ++i) out[i] = parse_tcp_options(lists[i].at, lists[i].size);
}

std::size_t find_any_timestamps(const std::uint8_t* options, std::size_t size) {
  return at_once(size) ? find_timestamps_at_once(options, size)
                       : find_timestamps_by_steps(options, size);
}

}  // namespace synproxy::detail
