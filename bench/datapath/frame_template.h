// SPDX-License-Identifier: BSD-3-Clause
// Makes frames quickly that differ only in ends and numbers, with right checksums.
#pragma once

#include <cstdint>

#include "datapath/ends.h"
#include "support/packet_builder.h"
#include "synproxy/base/packet.h"

namespace synproxy::bench {

struct Numbers {
  std::uint32_t seq = 0;
  std::uint32_t ack = 0;
  std::uint32_t tsval = 0;
  std::uint32_t tsecr = 0;
};

class FrameTemplate {
 public:
  // `from`: the end that sends it. Throws std::logic_error if the written frame does not decode.
  FrameTemplate(const test::PacketBuilder& builder, Role from);

  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] std::uint32_t payload() const { return payload_; }
  [[nodiscard]] Role from() const { return from_; }
  void write(std::uint8_t* out, const Ends& ends, const Numbers& numbers) const;

 private:
  test::Bytes bytes_;  // ends, numbers and checksums are zero
  Role from_;
  bool ipv6_ = false;
  std::size_t tcp_ = 0;         // offset
  std::size_t timestamps_ = 0;  // offset of TSval; 0: none
  std::uint32_t payload_ = 0;
  std::uint64_t ip_sum_ = 0;  // over the bytes as they stand here
  std::uint64_t tcp_sum_ = 0;
};

// Every kind of frame that the benches send.
struct Templates {
  explicit Templates(bool ipv6);

  // The option lists of SYNs in the field: Linux and Android, Windows, macOS and iOS, hping3.
  FrameTemplate syn_linux, syn_windows, syn_macos, syn_bare;
  // Of a Linux server, which does ECN if asked.
  FrameTemplate syn_ack_ecn;
  // With timestamps at [1], without at [0]. `small`: a bare ACK; `full`: 1,500 bytes of IP.
  using Pair = std::array<FrameTemplate, 2>;
  Pair syn, syn_ack, small_up, small_down, full_up, full_down, request, response, fin_up, fin_down;
};

inline constexpr std::uint32_t kRequest = 100;  // bytes
inline constexpr std::uint32_t kResponse = 1000;

}  // namespace synproxy::bench
