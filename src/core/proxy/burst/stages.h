// SPDX-License-Identifier: BSD-3-Clause
// The stages of a burst, in their order.
#pragma once

#include <span>

#include "burst/rooms.h"

namespace synproxy {

// Parse, what is protected, junk; starts the fetch of the flow's bucket. Decides all that is not
// TCP. `kRefuted` packets are left as they are.
void classify(Rooms& rooms, std::span<Context> burst);
// The same for one packet.
void classify_one(Rooms& rooms, Context& c);

// The flow of each packet, all fetched before the first is looked at.
void look_up(const FlowBook& flows, std::span<Context> burst);

// One SipHash burst for the SYNs and for the ACKs of clients without a flow. The SYNs are answered
// here and now; the ACKs learn whether they quote a cookie.
void make_and_check_cookies(Rooms& rooms, std::span<Context> burst);

// Decides each packet, in order of arrival: what one changes, the next one finds.
void act(Rooms& rooms, std::span<Context> burst, FrameSink& sink);

}  // namespace synproxy
