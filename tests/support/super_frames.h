// SPDX-License-Identifier: BSD-3-Clause
// Super-frames for tests, and what they must look like once they are cut. Nothing here is computed
// with code of src/.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "support/packet_builder.h"
#include "synproxy/wire/bytes.h"

namespace synproxy::test {

[[nodiscard]] inline Bytes pattern(std::size_t length) {
  Bytes b(length);
  for (std::size_t i = 0; i < length; ++i) b[i] = static_cast<std::uint8_t>(i * 31 + i / 251);
  return b;
}

// A frame of TCP as a kernel leaves it to its card: the sum of the pseudo-header stands in place of
// the checksum. `ip`: where the IP header begins; it has no options and no extensions.
[[nodiscard]] inline Bytes with_pseudo_sum(Bytes f, std::size_t ip = kEthernetHeader,
                                           bool ipv6 = false) {
  const std::size_t tcp = ip + (ipv6 ? 40 : 20);
  std::uint32_t sum = 6 + static_cast<std::uint32_t>(f.size() - tcp);
  const std::size_t from = ip + (ipv6 ? 8 : 12);
  for (std::size_t i = from; i < from + (ipv6 ? 32 : 8); i += 2) {
    sum += load_be<std::uint16_t>(&f[i]);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  store_be<std::uint16_t>(&f[tcp + 16], static_cast<std::uint16_t>(sum));
  return f;
}

// One TCP segment with everything that cutting has to look after.
struct LongSegment {
  bool ipv6 = false;
  std::vector<VlanTag> tags;
  std::size_t payload = 10'000;
  std::uint16_t flags = kAck | kPsh | kFin | kCwr;
  std::uint16_t ip_id = 0xfffe;  // wraps
  std::uint32_t seq = 0xffff'f000;

  [[nodiscard]] PacketBuilder header() const {
    PacketBuilder b;
    b.vlans(tags);
    if (ipv6) {
      b.ipv6("2001:db8::7", "2001:db8::10");
    } else {
      b.ipv4("198.51.100.7", "203.0.113.10");
    }
    b.ip_id(ip_id).ports(40000, 80).timestamps(7, 9).ack(77);
    return b;
  }
  [[nodiscard]] std::size_t network_at() const { return kEthernetHeader + tags.size() * kVlanTag; }
  [[nodiscard]] std::size_t transport_at() const { return network_at() + (ipv6 ? 40 : 20); }
  [[nodiscard]] std::size_t payload_at() const { return transport_at() + 32; }

  [[nodiscard]] Bytes super_frame() const {
    return with_pseudo_sum(header().seq(seq).flags(flags).payload(pattern(payload)).build(),
                           network_at(), ipv6);
  }
  // The segments that a sender without offloads would have sent.
  [[nodiscard]] std::vector<Bytes> segments(std::size_t size) const {
    const Bytes all = pattern(payload);
    std::vector<Bytes> out;
    for (std::size_t at = 0; at < payload; at += size) {
      const std::size_t n = std::min(size, payload - at);
      std::uint16_t f = flags;
      if (at + n < payload) f &= static_cast<std::uint16_t>(~(kFin | kPsh));
      if (at != 0) f &= static_cast<std::uint16_t>(~kCwr);
      out.push_back(header()
                        .ip_id(static_cast<std::uint16_t>(ip_id + at / size))
                        .seq(static_cast<std::uint32_t>(seq + at))
                        .flags(f)
                        .payload(Bytes(all.begin() + static_cast<std::ptrdiff_t>(at),
                                       all.begin() + static_cast<std::ptrdiff_t>(at + n)))
                        .build());
    }
    return out;
  }
};

}  // namespace synproxy::test
