// SPDX-License-Identifier: BSD-3-Clause
// What becomes of a flow on which nothing happens: given up, probed, expired, freed.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// To be called for each record in turn, in use or not.
void age(Rooms& rooms, FlowIndex i, FrameSink& sink);

}  // namespace synproxy
