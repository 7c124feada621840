// SPDX-License-Identifier: BSD-3-Clause
// The stages of a burst, in their order.
#pragma once

#include <span>

#include "burst/rooms.h"

namespace synproxy {

// Where VLANs are paired, a packet goes through the stages as if the steering had looked at it:
// that names its VLAN. `found` lives as long as the packet's stages.
void name_vlan_of(const Rooms& rooms, Role sender, Packet& packet, Arrival& found);

// Parses each packet, decides those that are not protected TCP or are junk, and prefetches the
// flow's bucket. ICMP errors become kIcmp. Leaves kRefuted packets as they are.
void classify(Rooms& rooms, std::span<Context> burst);

// Finds the flow of each packet; prefetches all records before it looks at the first.
void look_up(const FlowBook& flows, std::span<Context> burst);

// classify() and look_up(), with the same result. From kManyFlows on no second-level cache holds
// the table, so records are prefetched while the packets behind them are classified. Above
// kMostFlows, and in pages of 4 KB, one stage follows the other: a bucket takes longer to come
// there, because its page has to be found first.
inline constexpr std::uint32_t kManyFlows = 1U << 16;
inline constexpr std::uint32_t kMostFlows = 3U << 19;
void classify_and_look_up(Rooms& rooms, std::span<Context> burst);

// Computes in one SipHash burst the MACs of clients' SYNs and ACKs without a flow. Answers the
// SYNs. Notes for each ACK whether it quotes a valid cookie.
void make_and_check_cookies(Rooms& rooms, std::span<Context> burst);

// Decides each packet, in order of arrival. Each one sees what those before it have changed.
void act(Rooms& rooms, std::span<Context> burst, FrameSink& sink);

// Takes a packet that was put together from fragments through all stages. It leaves by the sink.
void decide_whole(Rooms& rooms, Role sender, Packet& whole, const CameInFragments& came,
                  FrameSink& sink);

}  // namespace synproxy
