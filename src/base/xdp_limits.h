// SPDX-License-Identifier: BSD-3-Clause
// What an interface may be for `xdp:` before its name.
#pragma once

#include <cstdint>

namespace synproxy {

// Drivers keep a frame with two tags, a headroom of 256 bytes and some 320 of their own in one
// page.
inline constexpr std::uint32_t kXdpMtu = 3498;
// Each has 12 to 24 MB of memory that is never paged out.
inline constexpr std::uint32_t kXdpQueues = 32;

}  // namespace synproxy
