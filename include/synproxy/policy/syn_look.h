// SPDX-License-Identifier: BSD-3-Clause
// One quick look at a frame, before the engine: is it a SYN to a protected port?
//
// It is used when more arrives than can be answered, so each cycle counts. It says yes only where
// the parser finds a SYN too. The usual shapes (IPv4 without options, IPv6 without extension
// headers, up to two tags) are matched here; the rest is left to parse_frame().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "synproxy/policy/protect.h"
#include "synproxy/wire/bytes.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

// What tells one attempt of a client from another, as it stands on the wire. A SYN and its repeats
// have it in common. Timestamps, TTL and IP ID are left out, because they differ in a repeat.
struct SynIdentity {
  std::array<std::uint64_t, 2> source;  // address; IPv4: the first word alone
  std::uint64_t start = 0;              // both ports and the sequence number
};

namespace detail {
inline constexpr std::uint16_t kSynOrNot = kSyn | kAck | kRst | kFin;

// Recognises nearly every SYN of a flood: a usual frame with SYN and none of ACK, RST and FIN.
// kUsualHeaders bytes are readable.
[[nodiscard]] inline bool is_usual_syn(const std::uint8_t* frame, std::size_t length) {
  const auto offset_and_flags = load_be<std::uint16_t>(frame + usual_at::kOffsetAndFlags);
  const std::size_t total = load_be<std::uint16_t>(frame + usual_at::kTotalLength);
  const unsigned flags = (offset_and_flags & kSynOrNot) ^ kSyn;
  return (difference_from_usual(frame) | flags) == 0 &&
         usual_lengths_fit(total, tcp_header_size(offset_and_flags), length);
}
}  // namespace detail

class SynLook {
 public:
  explicit SynLook(const ProtectSet& protect) : protect_(protect) {}  // `protect` outlives it

  // Whether the frame is a whole SYN, without ACK, RST and FIN, to a protected address and port.
  // Reads at most `length` bytes. Fills `out` if the answer is yes.
  [[nodiscard]] bool is_syn(const std::uint8_t* frame, std::size_t length, SynIdentity& out) {
    if (!has_usual_length(length)) return false;
    if (detail::is_usual_syn(frame, length)) {
      return to_protected_ipv4(frame + usual_at::kIp, frame + usual_at::kTcp, out);
    }
    return is_unusual_syn(frame, length, out);
  }

 private:
  [[nodiscard]] static std::uint64_t ports_and_seq(const std::uint8_t* tcp) {
    static_assert(tcp_at::kPorts + 4 == tcp_at::kSeq);
    return load_raw<std::uint64_t>(tcp + tcp_at::kPorts);
  }
  [[nodiscard]] bool to_protected_ipv4(const std::uint8_t* ip, const std::uint8_t* tcp,
                                       SynIdentity& out) {
    const auto port = load_be<std::uint16_t>(tcp + tcp_at::kDestinationPort);
    const std::uint8_t* to = ip + ipv4_at::kDestination;
    const bool last =
        last_known_ && load_raw<std::uint32_t>(to) == last_address_ && port == last_port_;
    if (!last && !to_new_end(to, port)) return false;
    out = {{load_raw<std::uint32_t>(ip + ipv4_at::kSource), 0}, ports_and_seq(tcp)};
    return true;
  }
  [[nodiscard]] bool to_protected_ipv6(const std::uint8_t* ip, const std::uint8_t* tcp,
                                       SynIdentity& out) const;
  [[nodiscard]] bool to_new_end(const std::uint8_t* address, std::uint16_t port);
  // kUsualHeaders bytes are there.
  [[nodiscard]] bool is_unusual_syn(const std::uint8_t* frame, std::size_t length,
                                    SynIdentity& out);
  [[nodiscard]] bool look_closely(const std::uint8_t* frame, std::size_t length, SynIdentity& out);

  const ProtectSet& protect_;
  // The protected end seen last: a flood has few targets.
  std::uint32_t last_address_ = 0;
  std::uint16_t last_port_ = 0;
  bool last_known_ = false;
};

}  // namespace synproxy
