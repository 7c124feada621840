// SPDX-License-Identifier: BSD-3-Clause
// What both processes of a hand-over have to agree on. The successor asks three times, on one
// connection to the control socket (docs/control.md):
//
//   hand-over       nothing happens yet: refused if it cannot work, else what the successor needs
//                   to make its workers
//   hand-over-stop  the workers stop at the end of a burst; what they know follows as bytes
//   hand-over-done  the successor's workers run: the predecessor leaves, and restores nothing
#pragma once

#include <cstdint>

#include "synproxy/flow/arena.h"
#include "synproxy/proxy/carried.h"

namespace synproxy::control {

// Raise it with whatever changes here; the layout of what is carried has kStoreVersion.
inline constexpr std::uint32_t kHandOverFormat = 1U << 16 | kStoreVersion;

inline constexpr const char* kAskHandOver = "hand-over";
inline constexpr const char* kStopForHandOver = "hand-over-stop";
inline constexpr const char* kEndHandOver = "hand-over-done";

// Each piece behind the first line of the answer to hand-over-stop: a line
// {"what": "services"|"replays"|"flows"|"end", "bytes": N}, then N bytes, as they lie in memory.
inline constexpr const char* kServices = "services";
inline constexpr const char* kReplays = "replays";
inline constexpr const char* kFlows = "flows";
inline constexpr const char* kEnd = "end";

}  // namespace synproxy::control
