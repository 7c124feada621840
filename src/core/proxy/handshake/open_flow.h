// SPDX-License-Identifier: BSD-3-Clause
// A valid cookie becomes a flow.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// An ACK that has no flow and may quote a cookie.
void on_client_ack_without_flow(Rooms& rooms, Context& c, FrameSink& sink);

// `match` is valid. Where the packet has a flow, that one gives way, if the gate lets the new one
// in.
void open_proven(Rooms& rooms, Context& c, const CookieMatch& match, FrameSink& sink);

}  // namespace synproxy
