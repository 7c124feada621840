// SPDX-License-Identifier: BSD-3-Clause
// SYNs of any shape, eight at a time: with any options, behind tags, IP options or extension
// headers.
//
// Theory of operation. The stages before have parsed each SYN and found that it has no flow. What
// is left is the same for all, whatever they look like: both checksums, what is agreed upon, MAC,
// cookie, and the SYN-ACK. Where the CPU has AVX2 or AVX-512, columns do it. All lanes do the same
// work, so a flood of SYNs made at random mispredicts no branch here.
//
// Everything that asks a question of its own (a SYN-ACK that is remembered, a service in doubt, a
// short buffer, data) is left to plan_syn() and answer_syn(), which do the same one at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "burst/columns.h"
#include "synproxy/cookie/key_ring.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {

// Columns::frames: so that the IP header begins kEthernetHeader bytes further on, as without tags.
// Columns::places: among the contexts. The caller fills `addresses`, `ports` and `vlan` too.
struct AnySynGroup : Columns {
  // TCP parts are summed in one register.
  static constexpr std::size_t kMostSummed = 64;

  Column<const std::uint8_t*> tcp;
  alignas(64) Column<std::uint64_t> tcp_length;  // bytes, at most kMostSummed
  alignas(64) Column<std::uint64_t> ip_length;   // of the IPv4 header
  alignas(64) Column<std::uint64_t> isn;         // the client's, host order
  alignas(64) Column<std::uint64_t> said;        // TcpOptions, its first eight bytes
  alignas(64) Column<std::uint64_t> stamps;      // TcpOptions, the rest
  alignas(64) Column<std::uint64_t> wants_ecn;   // 0 or 1
  // Filled by verify(): the first eight bytes of the IPv6 header, or TTL and TOS in the lowest two.
  alignas(64) Column<std::uint64_t> look;
  // Filled by the caller before answer(). Lanes that are not answered may hold anything.
  alignas(64) Column<std::uint64_t> offers;  // each SynAckOffer::first_word()
  alignas(64) Column<std::uint64_t> can;     // each SynAckOffer::can
  // Filled by answer().
  alignas(64) Column<std::uint64_t> packet_length;  // of the SYN-ACK, from the IP header on
  alignas(64) Column<std::uint64_t> macs;           // for the lanes that it returns
};

struct AnySynKernel {
  // Returns the lanes whose checksums are good. kTouched bytes of each of Columns::frames must be
  // writable, for IPv6 kIpv6Shift more.
  std::uint32_t (*verify)(AnySynGroup& g);
  // Turns the frames of `lanes` into their SYN-ACKs, except for the Ethernet header. Returns those
  // whose MAC has no bit of `left_out` (SynTimes).
  std::uint32_t (*answer)(AnySynGroup& g, std::uint32_t lanes, const EpochKeys& keys,
                          std::uint64_t left_out);
};

// Of IPv4, then of IPv6.
using AnySynKernels = std::array<AnySynKernel, 2>;

struct Rooms;
struct Context;

// Takes the SYNs of a burst that have no flow, and answers or drops them.
class AnySyns {
 public:
  // Whether SYNs may be added in this burst. `remembering`: SYN-ACKs.
  [[nodiscard]] static bool usable(Rooms& rooms, bool remembering);
  // Whether this one may.
  [[nodiscard]] static bool takes(const Context& c);

  [[nodiscard]] bool none() const { return (places_[0] | places_[1]) == 0; }
  void add(std::size_t place, bool ipv6) { places_[ipv6 ? 1 : 0] |= 1U << place; }
  // Those that are too few for columns, by place in the burst. They are forgotten here.
  [[nodiscard]] std::uint32_t take_few();
  struct Counts {
    std::uint32_t answered = 0;
    std::uint32_t capped = 0;  // left without an answer by --reply-rate
  };
  // `burst`: the same places.
  [[nodiscard]] Counts answer(Rooms& rooms, Context* burst);

 private:
  std::array<std::uint32_t, 2> places_{};
};

}  // namespace synproxy
