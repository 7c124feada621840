// SPDX-License-Identifier: BSD-3-Clause
// Segments without a flow while rooms.adopts: of connections that are older than the proxy
// (synproxy/proxy/adoption.h).
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// An adopted flow is watched like one whose handshake was seen (watched.h). What the SYNs said is
// unknown. So the windows are presumed: 16 MB at least, and up to 64 MB if their raw values are
// large. What is under way has to fit, or the flow would fall behind its ends. More would be no
// gain: the wider a window, the fewer forged ACKs it takes to hit it. A RST needs the exact number
// in any case (spliced/progress.h).

// A client's segment that quotes no valid cookie.
void on_older_client(Rooms& rooms, Context& c, FrameSink& sink);
void on_older_client_reset(Rooms& rooms, Context& c);
// A server's segment that is neither SYN nor SYN-ACK.
void on_older_server(Rooms& rooms, Context& c, FrameSink& sink);

}  // namespace synproxy
