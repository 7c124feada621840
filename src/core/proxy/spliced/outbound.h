// SPDX-License-Identifier: BSD-3-Clause
// Connections that a protected server opens itself. They are passed, and remembered so that the
// answers pass too. Once the peer has answered, the flow is followed like any other, with nothing
// to translate.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

void on_server_syn(Rooms& rooms, Context& c, FrameSink& sink);
// Handles a segment of the peer on a flow in kPassed.
void on_answer_to_outbound(Rooms& rooms, Context& c);

}  // namespace synproxy
