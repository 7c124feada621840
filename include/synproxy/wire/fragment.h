// SPDX-License-Identifier: BSD-3-Clause
// IP fragments (RFC 791 section 2.3, RFC 8200 section 4.5): reads one, makes the headers of the
// whole from those of the first, and cuts a whole packet again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "synproxy/base/packet.h"
#include "synproxy/wire/segment.h"

namespace synproxy {

struct FragmentView {
  std::uint32_t id = 0;
  std::uint32_t offset = 0;  // bytes
  bool more = false;
  std::uint8_t next = 0;          // IPv6: the protocol of what was cut
  std::uint8_t ecn = 0;           // two bits, RFC 3168
  std::uint16_t header_size = 0;  // of the IP headers that each fragment repeats
  std::uint16_t ip_size = 0;      // of all of it, from the IP header on
  const std::uint8_t* data = nullptr;
  std::uint16_t size = 0;  // of `data`

  [[nodiscard]] std::uint32_t end() const { return offset + size; }
  // RFC 6946: a whole packet with a fragment header.
  [[nodiscard]] bool atomic() const { return offset == 0 && !more; }
};

// For a segment parsed as kFragment.
[[nodiscard]] FragmentView read_fragment(const Segment& fragment);
// Whether the checksum of the IPv4 header is good; always true for IPv6.
[[nodiscard]] bool fragment_checksum_good(const Segment& fragment, const FragmentView& view);

// `ip`: the IP headers of a first fragment, `header_size` bytes. Makes them those of the whole
// packet, whose data has `size` bytes. `next`: see FragmentView. `congested`: marks it CE.
void make_whole(std::uint8_t* ip, bool ipv6, std::size_t header_size, std::uint8_t next,
                std::size_t size, bool congested);

// Cuts a whole packet into fragments no longer than those that it came in, but never shorter than
// what each link carries: 576 bytes for IPv4, 1,280 for IPv6.
class FragmentCutter {
 public:
  // `frame` is IP behind `l3_offset` bytes, with the headers that `came` names.
  FragmentCutter(std::span<const std::uint8_t> frame, std::size_t l3_offset, bool ipv6,
                 const CameInFragments& came);

  // The packet needs no cutting: it leaves as it is.
  [[nodiscard]] bool fits() const { return fits_; }
  // Writes the next fragment with its Ethernet header. Returns its length; 0: there are no more, or
  // `out` has no room.
  [[nodiscard]] std::size_t next(std::span<std::uint8_t> out);

 private:
  const std::span<const std::uint8_t> frame_;
  const std::size_t l3_;
  const bool ipv6_;
  const CameInFragments came_;
  std::size_t data_ = 0;  // where the data begins, in the frame
  std::size_t end_ = 0;   // of the IP packet, in the frame
  std::size_t at_ = 0;    // the next fragment's offset
  std::size_t each_ = 0;  // bytes of data, a multiple of eight
  bool fits_ = true;
};

}  // namespace synproxy
