// SPDX-License-Identifier: BSD-3-Clause
// Ages a flow on which nothing happens: gives up, probes, expires or frees it.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// A slice of the sweep: looks at as many records as the time since the last slice asks for.
void age_flows(Rooms& rooms, FrameSink& sink);

}  // namespace synproxy
