// SPDX-License-Identifier: BSD-3-Clause
// Segments of a client that are longer than its server takes.
//
// Theory of operation. A client is promised an MSS before its server has been asked. The server's
// SYN-ACK may show a smaller one: on the first connections after a start, or behind an address of
// unlike servers. Segments that are too long would be lost on their way to it, each time again. So
// such a flow is noted at the splice, and its long segments are cut into pieces that the server
// takes. The client is told as a router would tell it (RFC 1191 section 4, RFC 8201), so that it
// sends shorter ones. The segments of a client that does not hear of it are cut for as long as they
// come.
//
// Clients that do not set DF are not told, because their segments may be fragmented.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "synproxy/base/counters.h"
#include "synproxy/base/packet.h"
#include "synproxy/flow/record.h"
#include "synproxy/proxy/link_table.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

class TooLong {
 public:
  // A client is told once in this time.
  static constexpr std::uint32_t kTellAgainMs = 1000;
  // Longer segments lose their end, and the client sends it again.
  static constexpr std::uint32_t kMostPieces = 64;

  // Throws std::bad_alloc.
  TooLong(std::uint32_t max_flows, Counters& counters);

  // Whether the client of the flow was promised more than its server takes. Usually there is no
  // such flow, and then nothing of the flow is looked up.
  [[nodiscard]] bool has(FlowIndex i) const { return noted_ != 0 && is_noted(i); }
  void note(FlowIndex i) {
    if (is_noted(i)) return;
    flows_[i / 64] |= bit(i);
    ++noted_;
  }
  // Call when the flow is freed.
  void forget(FlowIndex i) {
    if (!has(i)) return;
    flows_[i / 64] &= ~bit(i);
    --noted_;
  }

  // Payload bytes of a segment like `g` that a server takes which has shown `mss`.
  [[nodiscard]] static std::uint32_t room_for(const Segment& g, std::uint16_t mss);

  // Tells the client, unless it was told lately. `g` is as it came; `hash`: of its flow; `link`: of
  // it, nullptr: it is forgotten, and so the client is not told.
  void tell(const Segment& g, std::uint64_t hash, const Link* link, std::uint16_t mss,
            std::uint32_t now_ms, FrameSink& sink);
  // Sends pieces of `room` payload bytes at most. The checksums of `g` are good; its numbers may
  // have been translated, but not its sequence number.
  void send_cut(const Segment& g, std::uint32_t room, FrameSink& sink);
  // The same, but makes the frame of `g` the first piece and returns its length.
  [[nodiscard]] std::uint32_t cut(const Segment& g, std::uint32_t room, FrameSink& sink);

 private:
  [[nodiscard]] static std::uint64_t bit(FlowIndex i) { return 1ULL << (i % 64); }
  [[nodiscard]] bool is_noted(FlowIndex i) const { return (flows_[i / 64] & bit(i)) != 0; }
  void send_from(const Segment& g, std::uint32_t nth, std::uint32_t room, FrameSink& sink);

  static constexpr std::size_t kTold = 1024;

  Counters& counters_;
  std::uint32_t noted_ = 0;
  std::vector<std::uint64_t> flows_;         // a bit for each; the record has none to spare
  std::unique_ptr<std::uint8_t[]> scratch_;  // one frame
  // When a client was told last, by the hash of its flow; milliseconds of the worker's clock, plus
  // one, modulo 2^32. 0: never.
  std::array<std::uint32_t, kTold> told_ms_{};
};

}  // namespace synproxy
