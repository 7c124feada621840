// SPDX-License-Identifier: BSD-3-Clause
// Segments that belong to nothing (synproxy/proxy/strangers.h).
#pragma once

#include "burst/rooms.h"
#include "synproxy/policy/service_tuning.h"

namespace synproxy {

// For a segment that belongs to nothing, if its service forwards such segments. `tuning`: that of
// the service.
void pass_unknown(Rooms& rooms, Context& c, const ServiceTuning& tuning);
// The same for one of a client that quotes no valid cookie. What acknowledges our SYN-ACK does not
// pass (quotes_our_syn_ack()).
void pass_unknown_client(Rooms& rooms, Context& c, const ServiceTuning& tuning);

// To the other end, the way that the segment itself would have gone: a RST, and an ACK like the
// segment, without data, from its sender. That end does not accept this ACK, and answers with its
// own numbers.
void send_rst_on(Rooms& rooms, const Context& c, SeqNum seq, FrameSink& sink);
void send_probe_on(Rooms& rooms, const Context& c, SeqNum seq, FrameSink& sink);

// A client's segment without a flow that quotes no valid cookie.
void on_unknown_client(Rooms& rooms, Context& c, FrameSink& sink);
// A client's SYN-ACK without a flow, and its RST.
void on_unknown_syn_ack(Rooms& rooms, Context& c);
void on_unknown_reset(Rooms& rooms, Context& c);
// A server's segment without a flow that is neither SYN nor SYN-ACK.
void on_unknown_server(Rooms& rooms, Context& c, FrameSink& sink);

}  // namespace synproxy
