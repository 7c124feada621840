// SPDX-License-Identifier: BSD-3-Clause
// One connection in one cache line. No pointers: the array can be mapped again by another process.
//
// A record is a head that means the same in every state, and one of two parts: `handshake` while
// our SYN waits for the server's answer (kSynSent), `spliced` in every state after that. The
// meaning of its bytes depends on the state alone, and a bit that belongs to one part is 0 in the
// other.
//
// Numbers are in host byte order unless a line says otherwise. Sequence numbers are those that the
// client sees: the client's own, and for the server's stream numbers that count from the cookie.
// Adding SplicedPart::delta gives the server's own number. The delta of an untranslated flow is 0:
// the server has opened the flow itself, or the client has opened it with the server and not by a
// cookie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "synproxy/base/checked.h"

namespace synproxy {

enum class FlowState : std::uint8_t {
  kFree = 0,
  kSynSent,      // the cookie was valid; our SYN is on its way to the server, or waits for its turn
  kEstablished,  // spliced
  kClosing,      // a RST at the exact number, or both FINs passed; still translated
  kFinished,     // both FINs acknowledged, or reset: kept to translate late segments
  kTombstone,    // given up: a late SYN-ACK is answered with a RST
  kPassed,       // the server's SYN or SYN-ACK passed untranslated; its peer has not answered
};

// FlowRecord::options
inline constexpr std::uint8_t kFlowTimestamps = 1;      // agreed with the client
inline constexpr std::uint8_t kFlowSack = 2;            // agreed with the client
inline constexpr std::uint8_t kFlowEcn = 4;             // agreed with the client
inline constexpr std::uint8_t kFlowClientScales = 8;    // window scaling agreed with the client
inline constexpr std::uint8_t kFlowServerScales = 16;   // ... and with the server
inline constexpr std::uint8_t kFlowServerNoSack = 32;   // the server refused what was promised
inline constexpr std::uint8_t kFlowServerNoEcn = 64;    // the server refused what was promised;
                                                        // without kFlowEcn: see is_stripped()
inline constexpr std::uint8_t kFlowUntranslated = 128;  // both ends see the same numbers; has both
                                                        // bits of scaling or none once the opener's
                                                        // peer has answered
// Of an untranslated flow: a client has opened it, and is only watched. Else the server has.
inline constexpr std::uint8_t kFlowWatched = kFlowServerNoSack;
inline constexpr std::uint8_t kFlowOpensAnew =
    kFlowSack;  // of a flow that the server has opened: mark_isn is the
                // ISN of a later SYN of the server
inline constexpr std::uint8_t kFlowAdopted =
    kFlowSack;  // of a watched flow: nobody has seen its handshake

// FlowRecord::progress: the state in the low bits, one bit for each of the following.
inline constexpr std::uint16_t kFlowStateMask = 7;
// In every state.
inline constexpr std::uint16_t kFlowClientFin = 1U << 3;       // seen; client_nxt counts it
inline constexpr std::uint16_t kFlowMarked = 1U << 4;          // mark_isn holds a later SYN's ISN
inline constexpr std::uint16_t kFlowMarkTimestamps = 1U << 5;  // that SYN was promised timestamps
// Of a handshake.
inline constexpr std::uint16_t kFlowAskedMore = 1U << 6;      // our last SYN offered more than the
                                                              // client was promised
inline constexpr std::uint16_t kFlowEverAskedMore = 1U << 7;  // one of our SYNs did
inline constexpr std::uint16_t kFlowAskedAgain = 1U << 8;     // our SYN was sent again at once
inline constexpr std::uint16_t kFlowWaits = 1U << 9;          // for its turn to ask the server
                                                              // (flows/turns.h)
inline constexpr std::uint16_t kFlowUnasked = 1U << 10;       // and was never asked for it
inline constexpr std::uint16_t kFlowSoftError = 1U << 12;     // an ICMP error said that the server
                                                              // cannot be reached now
inline constexpr std::uint16_t kFlowServerOpens = 1U << 13;   // the server sent a SYN of its own
inline constexpr std::uint16_t kFlowSynPassed = 1U << 15;  // the client's own SYN may have passed
                                                           // to the server
// Of a spliced flow. Some have bits of a handshake.
inline constexpr std::uint16_t kFlowProbedAgain = 1U << 6;     // the keepalives were repeated
inline constexpr std::uint16_t kFlowRepeated = 1U << 7;        // the last segment was a repeat: the
                                                               // other end has not answered it
inline constexpr std::uint16_t kFlowClientFinAhead = 1U << 8;  // seen behind a gap
inline constexpr std::uint16_t kFlowServerFin = 1U << 9;       // seen; server_nxt counts it
inline constexpr std::uint16_t kFlowClientFinAcked = 1U << 10;
inline constexpr std::uint16_t kFlowServerFinAcked = 1U << 11;
// Without kFlowServerFin it means that the server's first byte is waited for, to measure the time
// (src/core/proxy/felt).
inline constexpr std::uint16_t kFlowFirstByteDue = kFlowServerFinAcked;
inline constexpr std::uint16_t kFlowSpoke = 1U << 12;   // a side spoke after the splice
inline constexpr std::uint16_t kFlowProbed = 1U << 13;  // keepalives were sent, not answered yet
inline constexpr std::uint16_t kFlowServerAcked = 1U << 14;  // the server is through its handshake:
                                                             // decides what SplicedPart::window
                                                             // and opening_tsval are
inline constexpr std::uint16_t kFlowMarkTimed = 1U << 15;    // SplicedPart::mark_second is valid

inline constexpr std::uint16_t kFlowHandshakeBits =
    kFlowAskedMore | kFlowEverAskedMore | kFlowAskedAgain | kFlowWaits | kFlowUnasked |
    kFlowSoftError | kFlowServerOpens | kFlowSynPassed;

// kSynSent.
struct HandshakePart {
  std::uint32_t early = 0;      // EarlyStore::Handle of the first held segment; no pointer, but of
                                // this process only
  std::uint32_t our_tsval = 0;  // of our SYN-ACK, as the client echoes it; 0 without timestamps
  std::uint16_t mss = 0;        // bytes; the client's, for our SYN
  std::uint16_t window = 0;     // the client's latest raw window field, for our SYN and ACK
};

// All later states. The struct is trivial, because it is the second member of a union: initialise
// all its fields or none.
struct SplicedPart {
  std::uint32_t delta;        // server's ISN - cookie
  std::uint32_t ts_delta;     // server's TSval - our TSval; 0 without timestamps. kPassed: what the
                              // server's SYN or SYN-ACK showed
  std::uint16_t window;       // the client's raw first window field, for our ACK of a repeated
                              // SYN-ACK; kFlowServerAcked: see start_acks()
  std::uint16_t mark_second;  // kFlowMarkTimed: when a SYN last set the mark, in seconds of the
                              // worker's clock modulo 2^16
};
static_assert(sizeof(HandshakePart) == 12 && sizeof(SplicedPart) == 12);

struct alignas(64) FlowRecord {
  // Identity (record_identity()); owned by FlowTable. For IPv6 the two words hold the key's hash,
  // low half first, and the addresses stand in a parallel array.
  std::uint32_t client_address = 0;  // network order as in the packet
  std::uint32_t server_address = 0;
  std::uint16_t client_port = 0;
  std::uint16_t server_port = 0;
  std::uint32_t vlan_and_family = 0;  // VlanStack::packed, bit 31 set for IPv6

  std::uint32_t client_isn = 0;  // opened by the server: 0 until the peer has answered
  std::uint32_t cookie = 0;      // ISN of the server's stream as the client sees it: our cookie, or
                                 // of an untranslated flow the server's own ISN
  std::uint32_t client_nxt = 0;  // one past the highest byte seen from the client
  std::uint32_t server_nxt = 0;  // one past the highest byte seen from the server
  std::uint32_t mark_isn = 0;    // kFlowMarked: ISN of the SYN that came last on this live flow
  std::uint32_t opening_tsval = 0;  // TSval of the client's packet that opened the flow;
                                    // kFlowServerAcked: see start_acks()
  std::uint32_t last_seen = 0;      // milliseconds of the worker's clock modulo 2^32

  std::uint16_t link_and_offer = 0;  // low 12 bits: index into the link table; high 4 bits: the
                                     // window scale offered to the client
  std::uint8_t options = 0;
  std::uint8_t scales = 0;   // window scales: low 4 bits the client's, high 4 bits the server's
  std::uint8_t windows = 0;  // log2 of the largest window seen, less 15: low 4 bits the client's,
                             // high 4 bits the server's; 0 until spliced
  std::uint8_t tries_and_epoch = 0;  // low 4 bits: cookies tried in vain against the mark; high 4
                                     // bits: of the number of the cookie's epoch, bits 1 to 4 (bit
                                     // 0 is the cookie's own)
  std::uint16_t progress = 0;

  // Use them through handshake() and spliced() only.
  union {
    HandshakePart handshake_part{};
    SplicedPart spliced_part;
  };

  [[nodiscard]] constexpr FlowState state() const { return state_in(progress); }
  [[nodiscard]] constexpr bool has(std::uint16_t bits) const { return (progress & bits) != 0; }
  constexpr void set(std::uint16_t bits) { progress = static_cast<std::uint16_t>(progress | bits); }
  constexpr void clear(std::uint16_t bits) {
    progress = static_cast<std::uint16_t>(progress & ~unsigned{bits});
  }

  // The bits of these two mean something else in other states.
  [[nodiscard]] constexpr bool waits_for_turn() const {
    return state() == FlowState::kSynSent && has(kFlowWaits);
  }
  [[nodiscard]] constexpr bool unasked() const {
    return state() == FlowState::kSynSent && has(kFlowUnasked);
  }

  [[nodiscard]] constexpr HandshakePart& handshake() {
    check(state() == FlowState::kSynSent);
    return handshake_part;
  }
  [[nodiscard]] constexpr const HandshakePart& handshake() const {
    check(state() == FlowState::kSynSent);
    return handshake_part;
  }
  [[nodiscard]] constexpr SplicedPart& spliced() {
    check(has_spliced_part(state()));
    return spliced_part;
  }
  [[nodiscard]] constexpr const SplicedPart& spliced() const {
    check(has_spliced_part(state()));
    return spliced_part;
  }

  [[nodiscard]] static constexpr bool has_spliced_part(FlowState state) {
    return state > FlowState::kSynSent;
  }

  // The two ways into a part; the part that was there before is gone, with its bits. Whoever counts
  // flows by state calls these (set_state of the engine), nobody else.
  constexpr void become_handshake(const HandshakePart& part) {
    check(state() == FlowState::kFree);
    handshake_part = part;
    put_state(FlowState::kSynSent);
  }
  constexpr void become_spliced(FlowState to, const SplicedPart& part) {
    check(has_spliced_part(to) && !has_spliced_part(state()));
    spliced_part = part;
    clear(kFlowHandshakeBits);
    put_state(to);
  }
  // From one state of a spliced flow to another, or from any state to kFree.
  constexpr void put_spliced_state(FlowState to) {
    check(to == FlowState::kFree || (has_spliced_part(to) && has_spliced_part(state())));
    put_state(to);
  }

  // Who opened the flow, and whether its numbers are translated: a client by a cookie, a client
  // with the server itself, or the server.
  [[nodiscard]] constexpr bool translated() const { return (options & kFlowUntranslated) == 0; }
  [[nodiscard]] constexpr bool watched() const {
    return (options & (kFlowUntranslated | kFlowWatched)) == (kFlowUntranslated | kFlowWatched);
  }
  [[nodiscard]] constexpr bool adopted() const {
    constexpr std::uint8_t kAll = kFlowUntranslated | kFlowWatched | kFlowAdopted;
    return (options & kAll) == kAll;
  }
  [[nodiscard]] constexpr bool opened_by_server() const {
    return (options & (kFlowUntranslated | kFlowWatched)) == kFlowUntranslated;
  }

  // The cookie was given with timestamps, and the client's ACK came without them. Then nobody knows
  // whether ECN was agreed, and the server is never asked for it.
  [[nodiscard]] constexpr bool is_stripped() const {
    return (options & (kFlowEcn | kFlowServerNoEcn)) == kFlowServerNoEcn;
  }
  // Chooses the layout of the cookie that opened the flow.
  [[nodiscard]] constexpr bool cookie_has_timestamps() const {
    return (options & kFlowTimestamps) != 0 || is_stripped();
  }

  [[nodiscard]] constexpr unsigned client_scale() const { return scales & 15U; }
  [[nodiscard]] constexpr unsigned server_scale() const { return scales >> 4; }
  [[nodiscard]] constexpr unsigned offered_scale() const { return link_and_offer >> 12; }
  // The server does not scale its window, so it is shown the client's unscaled too.
  [[nodiscard]] constexpr bool only_client_scales() const {
    return (options & (kFlowClientScales | kFlowServerScales)) == kFlowClientScales;
  }
  [[nodiscard]] constexpr std::uint16_t link() const { return link_in(link_and_offer); }
  [[nodiscard]] constexpr unsigned mark_tries() const { return tries_and_epoch & 15U; }
  [[nodiscard]] constexpr unsigned epoch_bits() const { return tries_and_epoch >> 4; }

  constexpr void set_scales(unsigned client, unsigned server) {
    scales = static_cast<std::uint8_t>((client & 15U) | (server & 15U) << 4);
  }
  constexpr void set_link(std::uint16_t link, unsigned offered_scale) {
    check(link <= kLinkMask);
    link_and_offer = static_cast<std::uint16_t>(link | (offered_scale & 15U) << 12);
  }
  constexpr void set_mark_tries(unsigned tries) {
    tries_and_epoch = static_cast<std::uint8_t>((tries_and_epoch & 0xf0U) | (tries & 15U));
  }
  constexpr void set_epoch(std::uint64_t epoch) {
    tries_and_epoch =
        static_cast<std::uint8_t>((tries_and_epoch & 15U) | bits_of_epoch(epoch) << 4);
  }
  [[nodiscard]] static constexpr unsigned bits_of_epoch(std::uint64_t epoch) {
    return static_cast<unsigned>(epoch >> 1 & 15U);
  }

  // --- What each end acknowledged last. From the first segment that shows the server to be through
  // its handshake, opening_tsval and SplicedPart::window have done their service and hold this:
  // opening_tsval the low 24 bits of the client's number, two flags and the highest 6 bits of the
  // TSval; the window the low 16 bits of the server's number. The rest follows from `next`, as long
  // as no more than 16 MB to the client and 64 KB to the server are under way.
  constexpr void start_acks() {
    set(kFlowServerAcked);
    opening_tsval =
        (opening_tsval & ~(kAckMask | kServerFinAhead | kDoubted)) | ((cookie + 1) & kAckMask);
    spliced().window = static_cast<std::uint16_t>(client_isn + 1);
  }
  constexpr void client_acks(std::uint32_t ack) {
    if (has(kFlowServerAcked)) opening_tsval = (opening_tsval & ~kAckMask) | (ack & kAckMask);
  }
  constexpr void server_acks(std::uint32_t ack) {
    if (has(kFlowServerAcked)) spliced().window = static_cast<std::uint16_t>(ack);
  }
  [[nodiscard]] constexpr std::uint32_t acked_by_client() const {
    if (!has(kFlowServerAcked)) return cookie + 1;
    return server_nxt - ((server_nxt - opening_tsval) & kAckMask);
  }
  [[nodiscard]] constexpr std::uint32_t acked_by_server() const {
    if (!has(kFlowServerAcked)) return client_isn + 1;
    return client_nxt - ((client_nxt - spliced().window) & 0xffffU);
  }
  // As old as the opening one, or at most 2^26 ticks older.
  [[nodiscard]] constexpr std::uint32_t old_tsval() const {
    return has(kFlowServerAcked) ? opening_tsval & ~(kAckMask | kServerFinAhead | kDoubted)
                                 : opening_tsval;
  }
  // Of kFlowServerAcked only; bits of opening_tsval.
  [[nodiscard]] constexpr bool server_fin_ahead() const { return acks_flag(kServerFinAhead); }
  constexpr void set_server_fin_ahead() { opening_tsval |= kServerFinAhead; }
  // A RST came whose number nobody could confirm: the ends have to be asked.
  [[nodiscard]] constexpr bool doubted() const { return acks_flag(kDoubted); }
  constexpr void set_doubted() { opening_tsval |= has(kFlowServerAcked) ? kDoubted : 0; }
  constexpr void clear_doubted() { opening_tsval &= ~kDoubted; }

  // What is in a copy of the field.
  [[nodiscard]] static constexpr FlowState state_in(std::uint16_t progress) {
    return static_cast<FlowState>(progress & kFlowStateMask);
  }
  [[nodiscard]] static constexpr std::uint16_t link_in(std::uint16_t link_and_offer) {
    return link_and_offer & kLinkMask;
  }

  static constexpr std::uint16_t kLinkMask = 0x0fff;

 private:
  static constexpr std::uint32_t kAckMask = 0x00ffffff;
  static constexpr std::uint32_t kServerFinAhead = 1U << 24;
  static constexpr std::uint32_t kDoubted = 1U << 25;

  [[nodiscard]] constexpr bool acks_flag(std::uint32_t flag) const {
    return has(kFlowServerAcked) && (opening_tsval & flag) != 0;
  }
  constexpr void put_state(FlowState to) {
    progress = static_cast<std::uint16_t>((progress & ~unsigned{kFlowStateMask}) |
                                          static_cast<unsigned>(to));
  }
};
static_assert(sizeof(FlowRecord) == 64);
static_assert(alignof(FlowRecord) == 64);
static_assert(std::is_trivially_copyable_v<FlowRecord> && std::is_standard_layout_v<FlowRecord>);
static_assert(offsetof(FlowRecord, client_isn) == 16 && offsetof(FlowRecord, progress) == 50 &&
                  offsetof(FlowRecord, handshake_part) == 52,
              "the next process reads it");

using FlowIndex = std::uint32_t;
inline constexpr FlowIndex kNoFlow = 0xffffffffU;

}  // namespace synproxy
