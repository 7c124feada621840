// SPDX-License-Identifier: BSD-3-Clause
// Time passes: what is sent because nothing came, and what is over. No timer object per flow:
// handshakes wait in FIFOs, everything else is found by a sweep that passes the table about once a
// second.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// A slice of the work; to be called about every millisecond.
void pass_time(Rooms& rooms, FrameSink& sink);

}  // namespace synproxy
