// SPDX-License-Identifier: BSD-3-Clause
// What both processes of a hand-over have to agree on. The successor asks these, on one
// connection to the control socket (docs/control.md):
//
//   hand-over       nothing happens yet: refused if it cannot work, else what the successor needs
//                   to make its workers. Open files come along, "files" says how many of each kind:
//                   with --server-port host that of host_state.h, which is locked as long as either
//                   process has it; those by which the successor has a port (Port::files())
//   hand-over-copy  what the workers know follows as bytes, while they work; may be asked again:
//                   then what has changed
//   hand-over-stop  the same, after the workers have stopped at the end of a burst and the ports
//                   that only one process can have are closed
//   hand-over-done  the successor's workers run: the predecessor leaves, and restores nothing
#pragma once

#include <cstdint>
#include <string>

#include "base/config.h"
#include "base/port_id.h"
#include "synproxy/flow/arena.h"
#include "synproxy/proxy/carried.h"

namespace synproxy::control {

// Raise it with whatever changes here; the layout of what is carried has kStoreVersion.
inline constexpr std::uint32_t kHandOverFormat = 4U << 16 | kStoreVersion;

inline constexpr const char* kAskHandOver = "hand-over";
inline constexpr const char* kCopyForHandOver = "hand-over-copy";
inline constexpr const char* kStopForHandOver = "hand-over-stop";
inline constexpr const char* kEndHandOver = "hand-over-done";

// The names in "files", in the order in which they come.
inline constexpr const char* kHostFiles = "host";
inline constexpr PerPort<const char*> kPortFiles{{"client", "server"}};

// Each piece behind the first line of an answer to hand-over-copy and hand-over-stop: a line
// {"what": "services"|"replays"|"gone"|"flows"|"end", "worker": N, "bytes": N}, then so many bytes,
// as they lie in memory.
inline constexpr const char* kServices = "services";
inline constexpr const char* kReplays = "replays";
inline constexpr const char* kGone = "gone";
inline constexpr const char* kFlows = "flows";
inline constexpr const char* kEnd = "end";

// A port by the name that both have to give.
[[nodiscard]] inline std::string port_said(const PortName& port) {
  if (port.kind == PortName::Kind::kHost) return "host";
  return (port.kind == PortName::Kind::kXdp ? "xdp:" : "") + port.device;
}

}  // namespace synproxy::control
