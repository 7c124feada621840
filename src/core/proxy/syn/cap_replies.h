// SPDX-License-Identifier: BSD-3-Clause
// Asks the cap on SYN-ACKs (synproxy/policy/reply_cap.h) for the SYNs that are answered one at a
// time. Those that are answered in columns are asked about in syn_burst.cc.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// For a planned SYN. True: its claimed source is given no more, and the packet was dropped.
[[nodiscard, gnu::noinline]] bool ask_reply_cap(Rooms& rooms, Context& c);
[[nodiscard]] inline bool reply_capped(Rooms& rooms, Context& c) {
  return rooms.reply_cap.on() && ask_reply_cap(rooms, c);
}

// Whether a SYN-ACK to `key` may be sent once more.
[[nodiscard]] bool may_repeat_reply(Rooms& rooms, const FlowKey& key);

}  // namespace synproxy
