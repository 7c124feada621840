// SPDX-License-Identifier: BSD-3-Clause
// Does what the passing of time asks for: repeats what was not answered, and ages flows. There is
// no timer object per flow. Handshakes wait in FIFOs; a sweep over the table finds everything else,
// once a second or, in a large table, every four seconds (FlowBook::sweep).
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// Does a slice of the work. Call about every millisecond.
void pass_time(Rooms& rooms, FrameSink& sink);

}  // namespace synproxy
