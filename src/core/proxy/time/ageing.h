// SPDX-License-Identifier: BSD-3-Clause
// Ages a flow on which nothing happens: gives up, probes, expires or frees it.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// Call for each record in turn, in use or not.
void age(Rooms& rooms, FlowIndex i, FrameSink& sink);

}  // namespace synproxy
