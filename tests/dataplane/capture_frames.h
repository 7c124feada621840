// SPDX-License-Identifier: BSD-3-Clause
// Frames and filters of the tests of a capture.
#pragma once

#include "dataplane/capture_filter.h"
#include "support/packet_builder.h"

namespace synproxy::dataplane {

inline constexpr const char* kClient4 = "198.51.100.7";
inline constexpr const char* kServer4 = "203.0.113.10";
inline constexpr const char* kClient6 = "2001:db8:1::7";
inline constexpr const char* kServer6 = "2001:db8::10";

inline test::PacketBuilder up(bool ipv6 = false) {
  test::PacketBuilder b;
  b.ip(ipv6 ? kClient6 : kClient4, ipv6 ? kServer6 : kServer4).ports(40'000, 80).flags(kAck);
  return b;
}
inline test::PacketBuilder down(bool ipv6 = false) {
  test::PacketBuilder b;
  b.ip(ipv6 ? kServer6 : kServer4, ipv6 ? kClient6 : kClient4).ports(80, 40'000).flags(kAck);
  return b;
}

inline CaptureFilter filter_of(const char* client, const char* server, bool either_way = false) {
  CaptureFilter filter;
  if (client != nullptr) filter.client = {parse_protect_rule(client)};
  if (server != nullptr) filter.server = {parse_protect_rule(server)};
  filter.either_way = either_way;
  return filter;
}

inline bool matches(const CaptureFilter& filter, Role sender, test::Bytes frame) {
  return filter.matches(sender, frame.data(), frame.size());
}

}  // namespace synproxy::dataplane
