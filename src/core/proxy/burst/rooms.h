// SPDX-License-Identifier: BSD-3-Clause
// The rooms of one worker's engine, and the acts that go through several of them.
//
// Theory of operation. Engine::process() (engine.cc) takes a burst through these stages:
//
//   burst/screen       drops what a list of sources or a TTL forbids, if there is such a rule
//   syn/syn_burst      answers SYNs of a flood, eight at a time, before all other packets
//   ack/ack_burst      refutes forged ACKs of a flood, eight at a time; does not drop them yet
//   burst/classify     parses; tells protected from not, drops junk; prefetches the bucket
//   burst/look_up      finds the flow of each packet; prefetches all records first
//   burst/mac_stage    computes all MACs at once: answers SYNs without a flow (syn/any_syns), and
//                      notes for each ACK without a flow whether it quotes a valid cookie
//   burst/act          decides in order of arrival: each packet sees what those before it changed
//
// Fragments wait in the reassembler. A packet that is whole goes through the stages by itself, from
// within burst/act (burst/fragments).
//
// Each packet then goes to one act:
//
//   syn/               a SYN is answered (answer_syn), also when it comes on a flow (syn_on_flow)
//   ack/prove_ack      an ACK is proven by the cookie that it quotes
//   handshake/admit    the gate for what is proven
//   handshake/take_turns  who waits before the server is asked (--server-backlog)
//   handshake/         open_flow, ask_server, client_waits, server_answers, splice
//   spliced/           from_client and from_server look at a segment's numbers (progress), then
//                      it is translated (translate) and cut where it is too long (too_long);
//                      outbound, icmp_error, unknown. The kernel does so where it can, for
//                      connections that bring much (offloads)
//   watched/           a client's connection that needs no cookie: pass_syn, half_open; one that is
//                      older than the proxy: adopt
//   felt/              what proven clients wait for, measured (felt_book)
//   time/              time passes (pass_time): repeats, ageing; eviction makes room; what a dead
//                      process has left is taken over (resume)
//
// If services have names, flows/named_services notes around all of this which service each packet
// is for and what became of it.
//
// State lives in the rooms below, each with its own invariants. Code that works on one room is its
// method. Code that works on a few takes those as arguments. An act may need any room, so it takes
// `Rooms`.
#pragma once

#include <array>
#include <cstdint>

#include "burst/kernels.h"
#include "burst/mac_batch.h"
#include "burst/moment.h"
#include "burst/packet_context.h"
#include "burst/quoted_flow.h"
#include "burst/screen.h"
#include "burst/verdicts.h"
#include "felt/felt_book.h"
#include "flows/flow_book.h"
#include "flows/limiter.h"
#include "flows/named_services.h"
#include "flows/turns.h"
#include "frames/made_frames.h"
#include "handshake/handshakes.h"
#include "spliced/offloads.h"
#include "spliced/too_long.h"
#include "syn/answerer.h"
#include "synproxy/policy/known_sources.h"
#include "synproxy/policy/protect.h"
#include "synproxy/policy/reassembler.h"
#include "synproxy/policy/reply_cap.h"
#include "synproxy/policy/stateless_shed.h"
#include "synproxy/proxy/adoption.h"
#include "synproxy/proxy/arrival.h"
#include "synproxy/proxy/strangers.h"
#include "time/crawl_watch.h"
#include "watched/watch.h"

namespace synproxy {

// One for each worker. The members stand in the order in which they are made; gaps cost nothing.
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding)
struct Rooms {
  // Throws std::bad_alloc.
  Rooms(const EngineConfig& config, const ProtectSet& protect, const KeyRing& ring,
        const IndexKey& index_key, Counters& counters, Arena* store, bool store_in_huge_pages);

  const ProtectSet& protect;
  Counters& counters;
  NamedServices services;
  Moment now;
  Screen screen;
  Limiter limiter;
  Turns turns;
  Watch watch;
  FlowBook flows;
  Answerer answerer;
  ReplyCap reply_cap;
  Handshakes handshakes;
  MadeFrames frames;
  TooLong too_long;
  Offloads offloads;
  CrawlWatch crawl_watch;
  FeltBook felt;
  Strangers strangers;

  // Scratch memory of a burst, except for `acks_refuted` and what follows it.
  MacBatch macs;
  std::array<Context, kMaxBurst + 1> contexts;  // the last one: see context_of_whole()
  // Of clients' SYNs whose shape is not known (known_syn.h), in the place of their context.
  std::array<TcpOptions, kMaxBurst + 1> asked;
  std::array<QuotedFlow, kMaxBurst + 1> quoted;  // of ICMP errors, in the same places
  std::array<Arrival, kMaxBurst> arrivals;       // only where VLANs are paired
  std::uint32_t acks_refuted = 0;                // in the last burst from the client side
  bool many_refuted = false;                     // in the burst before that
  GroupWatch syn_groups;
  GroupWatch ack_groups;
  Kinds ack_kinds;  // of the ACKs in the last burst that was looked at
  Kinds syn_kinds;  // ... SYNs
  bool poor_offers =
      false;  // it had usual SYNs for a service that may offer less than they ask for

  // All are asked for every burst, so they stand beside the number above.
  const bool vlans_paired;   // by the operator
  bool turns_answers;        // MadeFrames::turns_answers()
  bool adopts;               // connections that are older than the proxy
  const bool in_huge_pages;  // the table of flows, as far as the kernel has some

  const StatelessShedder* shedder = nullptr;
  std::uint64_t stateless = 0;  // clients' ACKs without a flow, and ICMP, that ever came

  [[nodiscard]] TcpOptions& asked_by(const Context& c) {
    return asked[static_cast<std::size_t>(&c - contexts.data())];
  }

  // Where VLANs are paired, the tags are not those of the flow.
  [[nodiscard]] bool tags_matter(const Segment& g) const {
    return g.l3_offset != kEthernetHeader && !vlans_paired;
  }

  [[nodiscard]] QuotedFlow& quoted_by(const Context& c) {
    return quoted[static_cast<std::size_t>(&c - contexts.data())];
  }

  // For a packet that is put together from fragments while a burst is decided: one at a time.
  [[nodiscard]] Context& context_of_whole() { return contexts[kMaxBurst]; }

  // Counts such a packet. True: it is shed.
  [[nodiscard]] bool sheds(const Segment& g) {
    ++stateless;
    return shedder != nullptr && shedder->shedding() && !shedder->lets_through(g.source(), g.ipv6);
  }

  // For this CPU.
  const Kernels kernels;
  const SipHashKernel& mac_kernel;

  // Behind what every packet needs.
  Reassembler reassembler;
  Adoption adoption;
  KnownSources own_sources;
  KnownSources* sources = &own_sources;          // those that all workers share, if there are more
  std::array<std::uint8_t, kMaxFrame> fragment;  // that is being cut
};

// The acts that burst/act chooses from; `sink` takes what is sent besides the verdict.
// A SYN of a client that has waited for its turn: on a flow, or one that has just lost it.
void on_client_syn(Rooms& rooms, Context& c);
// Whether a client's RST answers a SYN-ACK that no ACK has answered. Then that one is forgotten.
[[nodiscard]] bool refuses_syn_ack(Rooms& rooms, const Context& c);
// Any other segment of a client.
void on_client_segment(Rooms& rooms, Context& c, FrameSink& sink);
void on_server_segment(Rooms& rooms, Context& c, FrameSink& sink);
void on_icmp(Rooms& rooms, Context& c, FrameSink& sink);
// A fragment that is to be put together with others. The packet that it makes whole is decided
// here, and leaves by the sink.
void on_fragment(Rooms& rooms, Context& c, FrameSink& sink);

}  // namespace synproxy
