// SPDX-License-Identifier: BSD-3-Clause
// One connection in one cache line. No pointers: the array can be mapped again by another process.
//
// Sequence numbers are kept in the numbers that the client sees: the client's own, and for the
// server's stream the cookie's. Adding `delta` gives the server's own.
#pragma once

#include <cstdint>

namespace synproxy {

enum class FlowState : std::uint8_t {
  kFree = 0,
  kSynSent,      // the cookie was valid, our SYN is on its way to the server
  kEstablished,  // spliced
  kClosing,      // a RST at the exact number or the FINs of both sides passed; still translated
  kFinished,     // both FINs acknowledged, or reset: kept to translate late segments
  kTombstone,    // given up in syn_sent: a late SYN-ACK is answered with a RST
  kPassed,       // the server's own SYN passed, its peer has not answered
};

// FlowRecord::options
inline constexpr std::uint8_t kFlowTimestamps = 1;     // agreed with the client
inline constexpr std::uint8_t kFlowSack = 2;           // agreed with the client
inline constexpr std::uint8_t kFlowEcn = 4;            // agreed with the client
inline constexpr std::uint8_t kFlowClientScales = 8;   // window scaling agreed with the client
inline constexpr std::uint8_t kFlowServerScales = 16;  // ... and with the server
inline constexpr std::uint8_t kFlowServerNoSack =
    32;  // promised to the client, refused by the server
inline constexpr std::uint8_t kFlowServerNoEcn =
    64;                                             // promised to the client, refused by the server
inline constexpr std::uint8_t kFlowOutbound = 128;  // opened by the server: all deltas and scales 0

// FlowRecord::progress
inline constexpr std::uint8_t kFlowClientFin = 1;  // seen; client_nxt counts it
inline constexpr std::uint8_t kFlowServerFin = 2;  // seen; server_nxt counts it
inline constexpr std::uint8_t kFlowClientFinAcked = 4;
inline constexpr std::uint8_t kFlowServerFinAcked = 8;
inline constexpr std::uint8_t kFlowMarked = 16;  // a later SYN came on this flow, see mark_isn
inline constexpr std::uint8_t kFlowSpoke = 32;  // a side has spoken after the splice: no ACK repeat
inline constexpr std::uint8_t kFlowProbed = 64;  // keepalives were sent and not answered; in
                                                 // syn_sent: our SYN was sent again at once
inline constexpr std::uint8_t kFlowAskedMore = kFlowSpoke;      // in syn_sent: our SYN offered more
                                                                // than the client was promised
inline constexpr std::uint8_t kFlowHasProbed = kFlowServerFin;  // in syn_sent: one of our SYNs did
inline constexpr std::uint8_t kFlowAgeKnown = 128;  // mark_isn holds the time of opening

struct alignas(64) FlowRecord {
  // Identity; owned by FlowTable. For IPv6 the two words hold a digest and the addresses stand in a
  // parallel array.
  std::uint32_t client_address = 0;  // network order as in the packet
  std::uint32_t server_address = 0;
  std::uint16_t client_port = 0;
  std::uint16_t server_port = 0;
  std::uint32_t vlan_and_family = 0;  // VlanStack::packed, bit 31 set for IPv6

  // Translation.
  std::uint32_t delta = 0;     // server ISN - cookie; in syn_sent: head of the held early data
  std::uint32_t ts_delta = 0;  // server TSval - our TSval; in syn_sent: our TSval
  std::uint32_t client_isn = 0;
  std::uint32_t cookie = 0;  // our ISN towards the client

  // Progress.
  std::uint32_t client_nxt = 0;  // one past the highest byte seen from the client
  std::uint32_t server_nxt = 0;  // one past the highest byte seen from the server, client's numbers
  std::uint32_t mark_isn = 0;  // ISN of the SYN that came last on this live flow; before any came,
                               // the time of opening in the unit of last_seen
  std::uint32_t opening_tsval = 0;  // TSval of the packet that opened the flow
  std::uint32_t last_seen = 0;      // milliseconds of the worker's clock, modulo 2^32

  std::uint16_t link = 0;    // index into the link table: MAC addresses and tags
  std::uint16_t mss = 0;     // the client's, for our SYN; once spliced: second of the mark
                             // modulo 2^15, and in bit 0 whether its SYN got timestamps
  std::uint16_t window = 0;  // the client's raw window field, for our SYN and ACK; once the server
                             // has spoken: the low half of what it acknowledged last
  FlowState state = FlowState::kFree;
  std::uint8_t options = 0;
  std::uint8_t progress = 0;
  std::uint8_t scales = 0;  // low 4 bits the client's, high 4 bits the server's
  std::uint8_t tries = 0;   // low 4 bits: cookies tried against the mark; high 4 bits: the
                            // scale offered to the client
  // log2 of the largest window seen: client low, server high 4 bits, less 15; in syn_sent: whether
  // the mark's SYN got timestamps
  std::uint8_t windows = 0;
};
static_assert(sizeof(FlowRecord) == 64);

using FlowIndex = std::uint32_t;
inline constexpr FlowIndex kNoFlow = 0xffffffffU;

}  // namespace synproxy
