// SPDX-License-Identifier: BSD-3-Clause
// What both processes of a hand-over have to agree on. The successor asks these, on one
// connection to the control socket (docs/control.md):
//
//   hand-over       nothing happens yet: refused if it cannot work, else what the successor needs
//                   to make its workers
//   hand-over-copy  what the workers know follows as bytes, while they work; may be asked again:
//                   then what has changed
//   hand-over-stop  the same, after the workers have stopped at the end of a burst
//   hand-over-done  the successor's workers run: the predecessor leaves, and restores nothing
#pragma once

#include <cstdint>

#include "synproxy/flow/arena.h"
#include "synproxy/proxy/carried.h"

namespace synproxy::control {

// Raise it with whatever changes here; the layout of what is carried has kStoreVersion.
inline constexpr std::uint32_t kHandOverFormat = 1U << 16 | kStoreVersion;

inline constexpr const char* kAskHandOver = "hand-over";
inline constexpr const char* kCopyForHandOver = "hand-over-copy";
inline constexpr const char* kStopForHandOver = "hand-over-stop";
inline constexpr const char* kEndHandOver = "hand-over-done";

// Each piece behind the first line of an answer to hand-over-copy and hand-over-stop: a line
// {"what": "services"|"replays"|"gone"|"flows"|"end", "worker": N, "bytes": N}, then so many bytes,
// as they lie in memory.
inline constexpr const char* kServices = "services";
inline constexpr const char* kReplays = "replays";
inline constexpr const char* kGone = "gone";
inline constexpr const char* kFlows = "flows";
inline constexpr const char* kEnd = "end";

}  // namespace synproxy::control
