// SPDX-License-Identifier: BSD-3-Clause
// The rooms of one worker's engine, and the acts that go through several of them.
//
// Theory of operation. Engine::process() (engine.cc) takes a burst through these stages:
//
//   syn/syn_burst      the SYNs of a flood, eight at a time, answered before all others
//   ack/ack_burst      the forged ACKs of a flood, eight at a time: refuted, not yet dropped
//   burst/classify     parsed; protected or not, junk or not; the fetch of its bucket begins
//   burst/look_up      the flow of each packet, all fetched before the first is looked at
//   burst/mac_stage    one SipHash burst: SYNs without a flow are answered, ACKs without a flow
//                      learn whether they quote a cookie
//   burst/act          in order of arrival: what one packet changes, the next one finds
//
// and each packet then goes to one act:
//
//   syn/               a SYN is answered (answer_syn), also when it comes on a flow (syn_on_flow)
//   ack/prove_ack      an ACK is proven: the cookie that it quotes, for a new flow or a later one
//   handshake/admit    the gate for what is proven
//   handshake/         open_flow, ask_server, client_waits, server_answers, splice
//   spliced/           a segment is translated (translate), after from_client or from_server has
//                      looked at its numbers (progress); outbound, icmp_error
//   time/              time passes (pass_time): repeats, ageing; eviction makes room
//
// State is in the rooms below, each with its own invariants: what works on one of them is its
// method. What works on few takes those; an act, which may go anywhere from where it is, takes
// `Rooms`.
#pragma once

#include <array>
#include <cstdint>

#include "ack/ack_burst.h"
#include "burst/mac_batch.h"
#include "burst/moment.h"
#include "burst/packet_context.h"
#include "burst/verdicts.h"
#include "flows/flow_book.h"
#include "frames/made_frames.h"
#include "handshake/handshakes.h"
#include "syn/answerer.h"
#include "syn/syn_burst.h"
#include "synproxy/policy/protect.h"

namespace synproxy {

struct Rooms {
  // Throws std::bad_alloc.
  Rooms(const EngineConfig& config, const ProtectSet& protect, const KeyRing& ring,
        const IndexKey& index_key, Counters& counters);

  const ProtectSet& protect;
  Counters& counters;
  Moment now;
  FlowBook flows;
  Answerer answerer;
  Handshakes handshakes;
  MadeFrames frames;

  // Scratch of a burst: nothing in it outlives process(), but for `acks_refuted`.
  MacBatch macs;
  std::array<Context, kMaxBurst> contexts;
  std::uint32_t acks_refuted = 0;  // of the client's last burst

  // What this CPU has; nullptr: nothing.
  const SynKernels* const syn_kernels = synproxy::syn_kernels();
  const AckKernels* const ack_kernels = synproxy::ack_kernels();
};

// The acts that burst/act chooses from; `sink` takes what is sent besides the verdict.
// A SYN of a client that has waited for its turn: on a flow, or one that has just lost it.
void on_client_syn(Rooms& rooms, Context& c);
// Any other segment of a client.
void on_client_segment(Rooms& rooms, Context& c, FrameSink& sink);
void on_server_segment(Rooms& rooms, Context& c, FrameSink& sink);
void on_icmp(Rooms& rooms, Context& c, FrameSink& sink);

}  // namespace synproxy
