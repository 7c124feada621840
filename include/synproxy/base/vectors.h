// SPDX-License-Identifier: BSD-3-Clause
// Which vector instructions the kernels use: of x86-64 AVX2 and nothing more, or AVX-512 with F,
// BW, DQ and VL.
#pragma once

#include <cstdint>

namespace synproxy {

enum class Vectors : std::uint8_t { kNone, kAvx2, kAvx512 };

// The best that this CPU has.
[[nodiscard]] Vectors cpu_vectors();

}  // namespace synproxy
