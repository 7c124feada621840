// SPDX-License-Identifier: BSD-3-Clause
// ICMP errors (RFC 792, RFC 4443) and the TCP header that they quote.
#pragma once

#include <cstdint>

#include "synproxy/wire/segment.h"

namespace synproxy {

// What an ICMP error quotes. All quoted bytes lie inside the ICMP part. `tcp_bytes`: how many bytes
// of the TCP header are quoted, at least the 8 that RFC 792 promises.
struct QuotedSegment {
  bool valid = false;  // an error that quotes TCP of the same family, not a later fragment
  // What the error says to a connection that is being opened. Neither: path MTU, source quench.
  bool refusal = false;  // hard: no such port, protocol, host or network, or forbidden
  bool soft = false;     // may pass: no route now, expired on the way, a header was not understood
  std::uint16_t ip_offset = 0;  // of the quoted IP header, from the start of the frame
  std::uint16_t tcp_offset = 0;
  std::uint16_t tcp_bytes = 0;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  SeqNum seq;
};

// For a segment parsed as kIcmp. For anything but an error the result is not valid.
[[nodiscard]] QuotedSegment parse_quoted(const Segment& icmp);

// The checksum of the ICMP part: with the pseudo header for ICMPv6, without for ICMPv4.
[[nodiscard]] bool icmp_checksum_good(const Segment& icmp);

}  // namespace synproxy
