// SPDX-License-Identifier: BSD-3-Clause
// The language of the engine's fuzz inputs: records of eight bytes, so that commands can be added,
// left out, doubled and exchanged without changing the meaning of the rest.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace synproxy::fuzz {

enum class Op : std::uint8_t {
  kClientSyn,      // options as `a` says
  kHandshakeAck,   // for the last cookie, perhaps with data
  kServerSynAck,   // to the last SYN
  kClientSegment,  // numbers near those that the ends know, flags from the input
  kServerSegment,
  kLeap,          // time
  kOpen,          // all three of a handshake
  kClose,         // FINs both ways
  kEarlyData,     // several segments in order
  kReplay,        // an earlier frame again
  kMutate,        // an earlier frame with a byte changed or its end cut off
  kIcmp,          // error that quotes what the proxy sent, or what an end sent
  kRaw,           // bytes of the input as a frame
  kBurst,         // how many frames make a burst
  kServerSyn,     // the server's own connection
  kClientSynAck,  // and its peer's answer
  kReuse,         // both ends choose new sequence numbers
  kStallKeys,     // the control thread publishes no keys for a while
  kBufferRoom,    // of the frames that follow
  kBystander,     // continues the connection that nobody attacks
  kSynFlood,
  kAckFlood,  // forged
  kCount,
};

struct Command {
  std::uint8_t op = 0;
  std::uint8_t who = 0;    // low half: connection
  std::uint8_t flags = 0;  // of TCP, where the command leaves them open
  std::uint8_t seq = 0;    // low half: which number; high half: how far from it
  std::uint8_t ack = 0;
  std::uint8_t shape = 0;  // payload, IP header, checksum
  std::uint8_t a = 0;
  std::uint8_t b = 0;

  [[nodiscard]] Op kind() const { return static_cast<Op>(op % static_cast<unsigned>(Op::kCount)); }
};
static_assert(sizeof(Command) == 8);

inline constexpr std::size_t kMaxCommands = 300;

class Script {
 public:
  Script(const std::uint8_t* data, std::size_t size) : left_(data, size) {}
  // The last command may be short: missing bytes read as zero.
  [[nodiscard]] std::optional<Command> next() {
    if (left_.empty()) return std::nullopt;
    Command c;
    const std::size_t n = left_.size() < sizeof c ? left_.size() : sizeof c;
    std::memcpy(&c, left_.data(), n);
    left_ = left_.subspan(n);
    return c;
  }

 private:
  std::span<const std::uint8_t> left_;
};

// A difference that matters somewhere: at the edge of a window, at a wrap, around zero.
[[nodiscard]] inline std::uint32_t offset_of(std::uint8_t selector) {
  constexpr std::array<std::uint32_t, 16> kOffsets{
      0,     1,     0xffffffff, 100,     0xffffff9c, 1460,       14600,      14601,
      65535, 65536, 0xffff0000, 1 << 21, 0x1fffffff, 0x20000000, 0x80000000, 0xdfffffff};
  return kOffsets[selector >> 4];
}

}  // namespace synproxy::fuzz
