// SPDX-License-Identifier: BSD-3-Clause
// Turns a valid cookie into a flow.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// Handles an ACK that has no flow and may quote a cookie.
void on_client_ack_without_flow(Rooms& rooms, Context& c, FrameSink& sink);

// Opens a flow for `match`, which is valid, if admit() agrees. A flow that the packet already has
// then gives way.
void open_proven(Rooms& rooms, Context& c, const CookieMatch& match, FrameSink& sink);

}  // namespace synproxy
