// SPDX-License-Identifier: BSD-3-Clause
// What passes between the core and its caller, who moves the frames: bytes in, verdicts and bytes
// out.
#pragma once

#include <cstdint>
#include <span>

#include "synproxy/base/reasons.h"

namespace synproxy {

// Who sent a frame, or whom it goes to: the clients' side or the protected servers' side. Only the
// dataplane knows which port that is.
enum class Role : std::uint8_t { kClient = 0, kServer = 1 };
[[nodiscard]] constexpr Role other(Role r) {
  return r == Role::kClient ? Role::kServer : Role::kClient;
}

enum class Verdict : std::uint8_t {
  kDrop,     // free the buffer
  kForward,  // send it on, to the other role
  kReply,    // send it back to its sender
  kCut,      // a super-frame that has to be held: cut it into segments, and process those
};

enum class ChecksumHint : std::uint8_t {
  kUnknown,  // nobody looked: software verifies where it matters
  kGood,     // hardware verified IP and TCP
  kTcpGood,  // TCP was verified, the IPv4 header was not
  kPartial,  // a super-frame: its data are sound, and the TCP field holds the pseudo-header's sum
  kBad,      // hardware found a bad one, or the sender never filled it in
};

struct Arrival;  // synproxy/proxy/arrival.h

// A super-frame is what an end's kernel or card hands over in place of many segments: up to 64 KB
// under one header. Whoever sends it on cuts it, and finishes the sums.
[[nodiscard]] constexpr bool is_super(ChecksumHint hint) { return hint == ChecksumHint::kPartial; }

// One received frame. The engine may rewrite bytes in place, and change `length` within `room`.
struct Packet {
  std::uint8_t* data = nullptr;  // first byte of the Ethernet header; contiguous
  std::uint32_t length = 0;      // bytes, without FCS
  std::uint32_t room = 0;        // bytes that may be written from `data`, >= length
  Verdict verdict = Verdict::kDrop;
  Reason fate = Reason::forwarded;  // what it counts as: a FATE or a DROP; nothing while kCut
  ChecksumHint checksum = ChecksumHint::kUnknown;
  const Arrival* arrival = nullptr;  // what the steering has found out; nullptr: nothing

  // Side by side: every packet comes here.
  void decide(Verdict v, Reason why) {
    verdict = v;
    fate = why;
  }
};

// How a packet came in fragments, so that it can leave in fragments of that size.
struct CameInFragments {
  std::uint32_t id = 0;           // identification, of either family
  std::uint16_t largest = 0;      // bytes of the longest fragment, with its IP headers
  std::uint16_t header_size = 0;  // bytes of the IP headers that each fragment repeats
};

// Receives the frames that the engine makes besides its verdicts (the SYN to the server, resets,
// released early data). They must be sent in the order given, after the packets of the burst whose
// call made them. `frame` is valid only during the call.
class FrameSink {
 public:
  virtual void emit(Role to, std::span<const std::uint8_t> frame) = 0;

  // `whole` was put together from fragments that `sender` sent. True: another engine owns its
  // connection, and will get it (Engine::process_whole). False: the caller decides it.
  virtual bool hand_over(Role /*sender*/, std::span<const std::uint8_t> /*whole*/,
                         const CameInFragments& /*came*/) {
    return false;
  }

  // A packet that was put together here has been decided, and its bytes are still there. What
  // leaves of it is emitted besides.
  virtual void decided(Role /*sender*/, const Packet& /*whole*/) {}

 protected:
  ~FrameSink() = default;
};

inline constexpr std::size_t kMaxBurst = 32;

}  // namespace synproxy
