// SPDX-License-Identifier: BSD-3-Clause
// What the stub engine understands: a frame of an experimental EtherType carries a command.
// Everything else is forwarded, and dropped as a bad checksum while the early window is kDropAll.
// While it is kAcksAreStateless, ACKs are shed as the engine sheds those of no connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace synproxy::tests::engine_stub {

enum class Command : std::uint8_t {
  kForward,
  kDrop,
  kBad,  // drop, as a bad checksum
  kReply,
  kGrow,  // reply, kGrowth bytes longer
  kEmit,  // forward, and make kEmitted numbered copies towards the other side
};

inline constexpr std::uint16_t kEtherType = 0x88b5;  // IEEE 802, local experimental
inline constexpr std::size_t kCommandAt = 14;
inline constexpr std::size_t kOwnerAt = 15;
inline constexpr std::size_t kNumberAt = 16;
inline constexpr std::size_t kMinBytes = 60;
inline constexpr std::uint32_t kGrowth = 20;
inline constexpr std::uint8_t kGrowthFill = 0x5c;
inline constexpr std::uint32_t kDropAll = 0;
inline constexpr std::uint32_t kAcksAreStateless = 1;  // each ACK without other flags is of no flow
inline constexpr std::size_t kTcpFlagsAt = 47;         // untagged IPv4
inline constexpr std::size_t kSourceAt = 26;
// While there are lists, screen() drops SYNs over IPv4 whose source is odd; process() does not.
inline constexpr unsigned kEmitted = 40;  // more than a burst

inline constexpr std::uint8_t kCutTtl = 77;  // a super-frame over IPv4 with it is to be cut

[[nodiscard]] inline bool is_command(std::span<const std::uint8_t> frame) {
  return frame.size() >= kMinBytes && frame[12] == kEtherType >> 8 &&
         frame[13] == (kEtherType & 0xff);
}

}  // namespace synproxy::tests::engine_stub
