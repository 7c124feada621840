// SPDX-License-Identifier: BSD-3-Clause
// Connections that a protected server opens itself. They are passed, and remembered so that the
// answers pass too. Once the peer has answered, the flow is followed like any other, with nothing
// to translate.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

void on_server_syn(Rooms& rooms, Context& c, FrameSink& sink);
// Handles a segment of the peer on a flow in kPassed: a SYN, and any other.
void on_syn_to_outbound(Rooms& rooms, Context& c);
void on_answer_to_outbound(Rooms& rooms, Context& c, FrameSink& sink);
// Handles a SYN-ACK of the peer on a flow that is followed.
void on_syn_ack_to_outbound(Rooms& rooms, Context& c);

}  // namespace synproxy
