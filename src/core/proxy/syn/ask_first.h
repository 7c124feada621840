// SPDX-License-Identifier: BSD-3-Clause
// SYNs of services that are in doubt (synproxy/proxy/doubts.h), and the server's answers to them.
#pragma once

#include "burst/rooms.h"

namespace synproxy {

// For a planned SYN that has no flow, or only a tombstone. True: its service is in doubt and the
// packet is decided. False: it is to be answered. `covered_isn`: what the cookie's MAC covers.
[[nodiscard]] bool ask_first(Rooms& rooms, Context& c, std::uint32_t covered_isn);

// For a segment of a server without a flow, or with a tombstone only. True: it answers a SYN that
// asked, and it is decided.
[[nodiscard]] bool answers_asked(Rooms& rooms, Context& c, FrameSink& sink);

// For an ICMP error about the SYN `isn` of `key`, which has no flow, or a tombstone only. Whether
// that SYN asked.
[[nodiscard]] bool error_answers_asked(Rooms& rooms, const KeyView& key, std::uint64_t hash,
                                       SeqNum isn, bool refusal);

// What our own SYN to the key's server has brought.
void note_dead(Rooms& rooms, const KeyView& key);  // a refusal, or nothing
void note_answer(Rooms& rooms, const KeyView& key);

}  // namespace synproxy
