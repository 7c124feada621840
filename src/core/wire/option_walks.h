// SPDX-License-Identifier: BSD-3-Clause
// Walks over options that anybody may have sent, in packets that belong to nothing. A list made at
// random would mispredict a branch for every option, so neither walk has one that depends on a
// kind. The second walk visits all options of a list at once; it needs AVX-512 with byte shuffles.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "synproxy/wire/bytes.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy::detail {

// Offsets of the values of the last options of a right length. 0: there is none.
struct OptionValues {
  std::size_t mss = 0;
  std::size_t scale = 0;
  std::size_t sack_permitted = 0;
  std::size_t timestamps = 0;
  std::size_t auth = 0;
};

// `size`: at least 2. Each value is read first and chosen then, because offset 0 is readable too.
[[nodiscard, gnu::always_inline]] inline TcpOptions read_options(const std::uint8_t* options,
                                                                 std::size_t size,
                                                                 const OptionValues& at,
                                                                 bool malformed) {
  TcpOptions out;
  const auto mss = load_be<std::uint16_t>(options + at.mss);
  const std::uint8_t scale = std::min(options[at.scale], kMaxWindowScale);
  out.mss = at.mss != 0 ? mss : std::uint16_t{0};
  out.window_scale = at.scale != 0 ? scale : kNoScale;
  out.sack_permitted = at.sack_permitted != 0;
  out.malformed = malformed;
  out.auth = at.auth != 0;
  if (size >= kTimestampsLength) {
    out.timestamps = at.timestamps != 0;
    const std::uint32_t all = 0U - std::uint32_t{out.timestamps};
    out.tsval = load_be<std::uint32_t>(options + at.timestamps) & all;
    out.tsecr = load_be<std::uint32_t>(options + at.timestamps + 4) & all;
  }
  return out;
}

// Step by step. `size`: at least 2.
[[nodiscard]] TcpOptions parse_by_steps(const std::uint8_t* options, std::size_t size);
[[nodiscard]] std::size_t find_timestamps_by_steps(const std::uint8_t* options, std::size_t size);

// All at once: for lists of kTimestampsLength to kMaxOptionBytes bytes, where has_vector_walks().
[[nodiscard]] bool has_vector_walks();
[[nodiscard]] TcpOptions parse_at_once(const std::uint8_t* options, std::size_t size);
// The same of any length up to that. Two bytes of each must be readable.
void parse_four_at_once(const OptionText* lists, TcpOptions* out);
[[nodiscard]] std::size_t find_timestamps_at_once(const std::uint8_t* options, std::size_t size);

}  // namespace synproxy::detail
