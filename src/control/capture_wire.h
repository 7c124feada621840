// SPDX-License-Identifier: BSD-3-Clause
// What both ends of the request "capture" have to agree on.
//
// The request may have "client" and "server" (rules as --protect takes them), "either_way" (true),
// "reasons" (names of drops) and "snaplen". The first line of the answer is {"format", "size",
// "version", "ports": [the client's, the server's]}. Then parts follow without an end: {"bytes",
// "lost", "until"}, and so many bytes of records, each a CaptureRecord and its frame. Their times
// are Unix nanoseconds. What came before `until`, microseconds of CLOCK_MONOTONIC, is in this part
// or in an earlier one. A part without records comes a few times a second, so that either end knows
// that the other one is there.
#pragma once

#include "dataplane/capture_ring.h"

namespace synproxy::control {

// Of all that. A command of another version has another one.
inline constexpr unsigned kCaptureFormat = 2;

}  // namespace synproxy::control
