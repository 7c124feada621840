// SPDX-License-Identifier: BSD-3-Clause
// One quick look at a frame, before the engine: is it a SYN to a protected port?
//
// For when more arrives than can be answered and each cycle counts. It never says yes to what the
// parser would call anything else: the usual shapes (IPv4 without options, IPv6 without extension
// headers, up to two tags) are matched here, the rest is left to parse_frame().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "synproxy/policy/protect.h"
#include "synproxy/wire/bytes.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

// What tells one client's attempt from another's, as it stands on the wire. A SYN and its repeats
// agree in all of it; timestamps, TTL and IP ID are not in it because they do not.
struct SynIdentity {
  std::array<std::uint64_t, 2> source;  // address; IPv4: the first word alone
  std::uint64_t start = 0;              // both ports and the sequence number
};

namespace detail {
inline constexpr std::uint16_t kSynOrNot = kSyn | kAck | kRst | kFin;

// Nearly every SYN of a flood, matched whole: untagged, IPv4 without options, no fragment, TCP, the
// flags, lengths that fit. 54 bytes are there.
[[nodiscard]] inline bool is_usual_syn(const std::uint8_t* frame, std::size_t length) {
  const auto type_to_length = load_be<std::uint64_t>(frame + 12);
  const auto fragment_to_protocol = load_be<std::uint32_t>(frame + 20);
  const auto offset_and_flags = load_be<std::uint16_t>(frame + 46);
  const std::uint64_t total = type_to_length >> 16 & 0xffffU;
  const std::uint64_t tcp_header = std::uint64_t{4} * (offset_and_flags >> 12);
  const bool headers =
      ((type_to_length >> 40 ^ 0x080045U) | ((fragment_to_protocol & 0x3fff00ffU) ^ kProtocolTcp) |
       ((offset_and_flags & kSynOrNot) ^ kSyn)) == 0;
  const bool lengths = total <= length - kEthernetHeader && tcp_header >= kTcpHeader &&
                       total >= kIpv4Header + tcp_header;
  return headers && lengths;
}
}  // namespace detail

class SynLook {
 public:
  explicit SynLook(const ProtectSet& protect) : protect_(protect) {}  // which outlives it

  // SYN without ACK, RST and FIN, whole, to a protected address and port. Reads at most `length`
  // bytes; fills `out` where the answer is yes.
  [[nodiscard]] bool is_syn(const std::uint8_t* frame, std::size_t length, SynIdentity& out) {
    if (length < kEthernetHeader + kIpv4Header + kTcpHeader || length > 0xffff) return false;
    if (detail::is_usual_syn(frame, length)) {
      const std::uint8_t* ip = frame + kEthernetHeader;
      return to_protected_ipv4(ip, ip + kIpv4Header, out);
    }
    return is_unusual_syn(frame, length, out);
  }

 private:
  [[nodiscard]] bool to_protected_ipv4(const std::uint8_t* ip, const std::uint8_t* tcp,
                                       SynIdentity& out) {
    const auto port = load_be<std::uint16_t>(tcp + 2);
    const bool last =
        last_known_ && load_raw<std::uint32_t>(ip + 16) == last_address_ && port == last_port_;
    if (!last && !to_new_end(ip + 16, port)) return false;
    out = {{load_raw<std::uint32_t>(ip + 12), 0}, load_raw<std::uint64_t>(tcp)};
    return true;
  }
  [[nodiscard]] bool to_protected_ipv6(const std::uint8_t* ip, const std::uint8_t* tcp,
                                       SynIdentity& out) const;
  [[nodiscard]] bool to_new_end(const std::uint8_t* address, std::uint16_t port);
  // 54 bytes are there.
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
