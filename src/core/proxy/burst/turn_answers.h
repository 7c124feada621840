// SPDX-License-Identifier: BSD-3-Clause
// Answers in place go back where their packet came from. Where the Ethernet headers of the two
// directions do not mirror each other, the right ones are set here, after the packets of a burst
// are decided.
#pragma once

#include <span>

#include "burst/rooms.h"

namespace synproxy {

// `packets`: all of the burst. `contexts`: those of them that went through the stages.
void turn_answers(Rooms& rooms, Role sender, std::span<Packet> packets,
                  std::span<const Context> contexts);

}  // namespace synproxy
