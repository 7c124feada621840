// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// Handles a segment of the server on a flow in kSynSent.
void on_server_answer(Rooms& rooms, Context& c, FrameSink& sink);

}  // namespace synproxy
