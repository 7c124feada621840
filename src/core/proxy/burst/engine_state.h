// SPDX-License-Identifier: BSD-3-Clause
// All that one worker's engine knows, and the parts of the engine that act on it.
//
// Theory of operation. engine.cc takes a burst through the stages of design section 6: parse and
// classify, look up with prefetch, MAC over the burst, act in order. The acts live in files of
// their own:
//
//   syn_burst.cc     the SYNs of a flood, eight at a time, before all others
//   ack_burst.cc     the forged ACKs of a flood, eight at a time
//   stages.cc        classification and lookup
//   cookies.cc       the MACs of a burst: SYNs are answered, ACKs without a flow are judged
//   syn.h, syn.cc    the stateless SYN-ACK; a SYN on a live flow
//   handshake.cc     a valid cookie, our SYN to the server, its answers, the splice
//   client_side.cc   client segments on a flow
//   server_side.cc   server segments on a flow, and the server's own connections
//   icmp_side.cc     ICMP errors
//   lifecycle.cc     states, eviction, expiry, and what the timers send
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "ack/ack_burst.h"
#include "syn/syn_burst.h"
#include "syn/syn_plan.h"
#include "synproxy/base/config.h"
#include "synproxy/base/counters.h"
#include "synproxy/base/packet.h"
#include "synproxy/cookie/cookie.h"
#include "synproxy/cookie/epoch.h"
#include "synproxy/cookie/key_ring.h"
#include "synproxy/flow/index_hash.h"
#include "synproxy/flow/replay_filter.h"
#include "synproxy/flow/table.h"
#include "synproxy/policy/protect.h"
#include "synproxy/proxy/early_store.h"
#include "synproxy/proxy/link_table.h"
#include "synproxy/proxy/offers.h"
#include "synproxy/proxy/reply.h"
#include "synproxy/proxy/retry_queue.h"
#include "synproxy/proxy/services.h"
#include "synproxy/proxy/synack_repeats.h"
#include "synproxy/wire/segment.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {

// Our SYN is repeated after 0.2, 0.4, 0.8 ... s; longer waits repeat at the last step.
inline constexpr std::uint32_t kFirstRetryMs = 200;
inline constexpr std::size_t kRetryLevels = 10;
// What a blind attacker gets against one mark; it fits FlowRecord::tries.
inline constexpr unsigned kMaxMarkTries = 15;

enum class Kind : std::uint8_t {
  kDecided,     // classification was the end of it: the verdict stands
  kTcp,         // protected TCP
  kSynPlanned,  // a SYN of a client without a flow, to be answered once its MAC is there
  kRefuted,     // an ACK of a client that quotes no cookie, and has no flow yet (ack_burst.h)
  kIcmp,        // an ICMP error that may quote protected TCP
};

// What an ACK without a flow quotes, and the MACs that it can have been made with.
struct AckPlan {
  Timestamps timestamps;
  const EpochKeys* keys = nullptr;
  std::array<std::uint64_t, 2> mac{};  // [0] of ISN = seq - 1; [1] of ISN = seq (probe)
  std::uint8_t macs = 0;               // how many of them there are
  ScaleSet scales = 0;                 // that the cookie may have been made with
  bool refuted = false;                // they are there, and none fits
};

// One packet on its way through the stages.
struct Context {
  Packet* packet = nullptr;
  Segment segment;
  FlowIdentity identity;  // protected TCP only, from here on
  ServiceName service = 0;
  std::uint64_t hash = 0;
  FlowIndex flow = kNoFlow;
  Kind kind = Kind::kDecided;
  Role sender = Role::kClient;  // where it came from
  SynPlan syn;                  // SYN of a client only
  AckPlan ack;                  // segment of a client without a flow only

  // Before the packet is rewritten.
  [[nodiscard]] KeyView key() const {
    KeyView v;
    v.identity = identity;
    v.client = sender == Role::kClient ? segment.source() : segment.destination();
    v.server = sender == Role::kClient ? segment.destination() : segment.source();
    return v;
  }
};

// Lanes of the SipHash burst; `owner` is the packet's place in the burst.
struct MacBatch {
  static constexpr std::size_t kLanes = 2 * kMaxBurst;
  std::array<MacInput, kLanes> in;
  std::array<std::uint64_t, kLanes> k0;
  std::array<std::uint64_t, kLanes> k1;
  std::array<std::uint64_t, kLanes> out;
  std::array<std::uint16_t, kLanes> owner;
};

struct CookieMatch {
  bool valid = false;
  ClientOptions options;
  std::uint32_t client_isn = 0;
  std::uint64_t mac = 0;
};

// Keys that were inserted or erased since the burst began, by classes of their hashes: what was
// looked up for another key still holds.
class TableChanges {
 public:
  void clear() { classes_ = {}; }
  void note(std::uint64_t hash) { word(hash) |= bit(hash); }
  [[nodiscard]] bool any() const {
    return (classes_[0] | classes_[1] | classes_[2] | classes_[3]) != 0;
  }
  [[nodiscard]] bool touch(std::uint64_t hash) const {
    return (classes_[hash >> 14 & 3U] & bit(hash)) != 0;
  }

 private:
  // The upper byte of the tag: all that a flood can choose by is a keyed hash.
  [[nodiscard]] static std::uint64_t bit(std::uint64_t hash) { return 1ULL << (hash >> 8 & 63U); }
  [[nodiscard]] std::uint64_t& word(std::uint64_t hash) { return classes_[hash >> 14 & 3U]; }

  std::array<std::uint64_t, 4> classes_{};
};

struct EngineState {
  EngineState(const EngineConfig& config, const ProtectSet& protect, const KeyRing& ring,
              const IndexKey& index_key, Counters& counters);

  const EngineShape shape;
  EngineTuning tuning;
  const ProtectSet& protect;
  const KeyRing& ring;
  IndexKey index_key;
  Counters& counters;
  FlowTable table;
  ReplayFilter replay;
  EarlyStore early;
  LinkTable links;
  ServiceTable services;
  OfferCache offers;
  std::array<RetryQueue, kRetryLevels> syn_retries;
  RetryQueue ack_repeats;
  SynAckRepeats synack_repeats;
  WorkerKeys keys;
  EpochClock epoch;
  std::uint64_t now_ms = 0;
  TableChanges changes;
  std::uint64_t swept_ms = 0;
  FlowIndex sweep_at = 0;
  FlowIndex evict_at = 0;
  std::uint32_t embryonic = 0;
  std::uint32_t established = 0;  // flows that are never evicted: established and passed
  MacBatch macs;
  std::array<Context, kMaxBurst> contexts;
  const SynKernels* syn_kernels = synproxy::syn_kernels();
  const AckKernels* ack_kernels = synproxy::ack_kernels();
  std::uint32_t acks_refuted = 0;     // of the client's last burst
  std::vector<std::uint8_t> scratch;  // one frame put together from the early store

  [[nodiscard]] std::uint32_t now32() const { return static_cast<std::uint32_t>(now_ms); }
  void set_time(std::uint64_t ms);
};

// --- verdicts
// ---------------------------------------------------------------------------------------
inline void drop(EngineState& s, Context& c, Reason why) {
  s.counters.count(why);
  c.packet->verdict = Verdict::kDrop;
}
inline void forward(EngineState& s, Context& c, Reason fate) {
  s.counters.count(fate);
  c.packet->verdict = Verdict::kForward;
}
// Sends `reply` back in the packet's own buffer; the packet's fate is `fate`.
void answer(EngineState& s, Context& c, const TcpReply& reply, Reason fate, Reason made);
// Drops the packet for `why` and lets a RST that its sender accepts go back (RFC 9293
// section 3.10.7.1); a damaged one is dropped without an answer.
void answer_with_rst(EngineState& s, Context& c, Role sender, Reason why);
// Verified at most once per packet, and only where state hangs on it.
[[nodiscard]] bool checksum_ok(const Context& c);

// --- stages.cc -----------------------------------------------------------------------------
// The headers are in two lines, wherever the device has put them.
inline void prefetch_headers(std::span<const Packet> burst) {
  for (const Packet& p : burst) {
    __builtin_prefetch(p.data, 1);
    __builtin_prefetch(p.data + 64, 1);
  }
}
// Parse, what is protected, junk; starts the fetch of the flow's bucket. Decides all that is not
// TCP.
void classify(EngineState& s, std::span<Context> burst);
// The flow of each packet, all fetched before the first is looked at.
void look_up(EngineState& s, std::span<Context> burst);
void find_flow(EngineState& s, Context& c);
// A record for the packet's key; kNoFlow: there is no room.
[[nodiscard]] FlowIndex insert_flow(EngineState& s, const Context& c);
// A segment without a flow whose ends sign what they send, where the flags let those by: nobody
// between them could change a number.
[[nodiscard]] bool goes_past(const EngineState& s, const Context& c);
void publish_gauges(EngineState& s);

// --- cookies.cc ----------------------------------------------------------------------------
// One SipHash burst for the SYNs and for the ACKs of clients without a flow. The SYNs are answered
// here and now; the ACKs learn whether they quote a cookie.
void make_and_check_cookies(EngineState& s, std::span<Context> burst);

// --- syn.cc --------------------------------------------------------------------------------
// A SYN on a flow.
void on_client_syn(EngineState& s, Context& c);

// --- handshake.cc
// ----------------------------------------------------------------------------------- The cookie
// that an ACK quotes, for ISN seq - 1 or, on a probe, seq. Uses the burst's MACs when there.
[[nodiscard]] CookieMatch match_cookie(EngineState& s, Context& c);
// The same for one given client ISN.
[[nodiscard]] CookieMatch match_cookie_of(EngineState& s, const Context& c,
                                          std::uint32_t client_isn);
void on_client_ack_without_flow(EngineState& s, Context& c, FrameSink& sink);
// `match` is valid; a flow of that key must not exist any more.
void open_flow(EngineState& s, Context& c, const CookieMatch& match, FrameSink& sink);
// A valid cookie on the key of a flow: the flow goes, a new one comes.
void reopen_flow(EngineState& s, Context& c, const CookieMatch& match, FrameSink& sink);
void on_server_segment_in_syn_sent(EngineState& s, Context& c, FrameSink& sink);
// `ask_more`: also offers what `auto` leaves to be learned.
void send_syn(EngineState& s, FlowIndex i, bool ask_more, FrameSink& sink);
// Our ACK of the server's SYN-ACK, the first time and every time after; `tsecr`: that SYN-ACK's
// TSval. For a spliced flow on which the server has said no more than that.
[[nodiscard]] TcpReply handshake_ack(const EngineState& s, const FlowRecord& f,
                                     std::uint32_t tsecr);
void send_ack(EngineState& s, FlowIndex i, std::uint32_t tsecr, FrameSink& sink);
// Client data of a flow in syn_sent. Returns false when it cannot be kept.
[[nodiscard]] bool hold(EngineState& s, Context& c, FlowRecord& f);

// --- client_side.cc, server_side.cc, icmp_side.cc
// ------------------------------------------------------
void on_client_segment(EngineState& s, Context& c, FrameSink& sink);
void on_server_segment(EngineState& s, Context& c, FrameSink& sink);
void on_icmp(EngineState& s, Context& c, Role sender, FrameSink& sink);

// --- lifecycle.cc
// -----------------------------------------------------------------------------------
void set_state(EngineState& s, FlowRecord& f, FlowState state);
// Room for one more record: evicts a finished or an embryonic flow when the table is full. False:
// none.
[[nodiscard]] bool make_room(EngineState& s, FrameSink& sink);
// Gives the record back; while its cookie could still be replayed, the filter remembers it.
void free_flow(EngineState& s, FlowIndex i);
// Held data freed, RST to both ends, tombstone.
void give_up(EngineState& s, FlowIndex i, bool tell_client, bool tell_server, FrameSink& sink);
void send_rst(EngineState& s, FlowIndex i, Role to, FrameSink& sink);
void send_to(EngineState& s, const FlowRecord& f, const FlowKey& key, Role to,
             const TcpReply& reply, FrameSink& sink);
void run_timers(EngineState& s, FrameSink& sink);
void sweep(EngineState& s, FrameSink& sink);

// --- numbers
// ---------------------------------------------------------------------------------------- Largest
// window that a side has shown, as a power of two: 2^15 to 2^30.
[[nodiscard]] inline std::uint32_t client_window_bound(const FlowRecord& f) {
  return 1U << (15 + (f.windows & 15U));
}
[[nodiscard]] inline std::uint32_t server_window_bound(const FlowRecord& f) {
  return 1U << (15 + (f.windows >> 4));
}
// FlowRecord::mss of a spliced flow.
[[nodiscard]] constexpr std::uint16_t mark_second(std::uint64_t now_ms, bool timestamps) {
  return static_cast<std::uint16_t>(now_ms / 1000 << 1 | (timestamps ? 1U : 0U));
}
void widen_windows(FlowRecord& f, std::uint32_t client_window, std::uint32_t server_window);

}  // namespace synproxy
