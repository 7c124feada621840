// SPDX-License-Identifier: BSD-3-Clause
// A kernel that carries connections: the code of the program in the kernel (offload_carry.h), with
// a table in ordinary memory.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "support/packet_builder.h"
#include "synproxy/base/packet.h"
#include "synproxy/proxy/offload_carry.h"
#include "synproxy/proxy/offload_table.h"
#include "synproxy/wire/checksum.h"

namespace synproxy::test {

inline constexpr std::size_t kOffloadHeaders =
    OFFLOAD_ETHERNET + OFFLOAD_IPV6 + OFFLOAD_TCP_TIMESTAMPS;

// Reads headers that lie in one piece. `h`: the first `have` bytes of a frame, in kOffloadHeaders
// bytes.
inline bool read_headers(const std::uint8_t* h, std::uint32_t have, std::uint32_t length,
                         std::uint32_t sender, OffloadSeen& seen) {
  if (have < OFFLOAD_LEAST) return false;
  const std::uint32_t at = offload_tcp_at(h);
  return at != 0 && offload_read(h, h + at, have - at, length, sender, &seen) != 0;
}

class FakeKernel {
 public:
  explicit FakeKernel(
      OffloadBulk bulk = {.bytes = 1, .ms = 1'000'000, .long_segment = 1, .least = 1})
      : slots_(OFFLOAD_SLOTS), bulk_(bulk) {
    shared_.seed = 0x243f6a8885a308d3ULL;
    shared_.on = 1;
    shared_.mtu[OFFLOAD_CLIENT] = shared_.mtu[OFFLOAD_SERVER] = 1500;
  }

  [[nodiscard]] OffloadTable table() { return {slots_, &shared_, bulk_}; }
  [[nodiscard]] OffloadShared& shared() { return shared_; }
  [[nodiscard]] std::uint64_t carried() const { return carried_; }
  [[nodiscard]] std::uint32_t slots_in(OffloadState state) const {
    return static_cast<std::uint32_t>(std::ranges::count_if(slots_, [&](const OffloadSlot& s) {
      return s.state == static_cast<std::uint32_t>(state);
    }));
  }

  // What the segment that was carried last counts as.
  [[nodiscard]] Reason fate() const { return fate_; }

  // True: the frame has been rewritten, and goes to the other role. False: it is the engine's.
  [[nodiscard]] bool carry(Role from, Bytes& frame) {
    const std::uint32_t sender = from == Role::kClient ? OFFLOAD_CLIENT : OFFLOAD_SERVER;
    std::array<std::uint8_t, kOffloadHeaders> h{};
    const auto length = static_cast<std::uint32_t>(frame.size());
    const std::uint32_t have = std::min<std::uint32_t>(length, kOffloadHeaders);
    std::copy_n(frame.begin(), have, h.begin());
    OffloadSeen seen{};
    if (shared_.carried == 0 || shared_.on == 0) return false;
    if (!read_headers(h.data(), have, length, sender, seen)) return false;
    const std::uint32_t packet = length - OFFLOAD_ETHERNET;
    const std::uint32_t first = offload_place(&seen.key, shared_.seed);
    for (std::uint32_t i = first; i < first + OFFLOAD_WAYS; ++i) {
      OffloadSlot& slot = slots_[i];
      if (slot.state != OFFLOAD_CARRIED || !offload_same_key(&slot.key, &seen.key)) continue;
      if (!offload_fits(&slot, h.data(), h.data() + seen.tcp_at, &seen, sender, packet,
                        seen.payload, shared_.mtu[sender ^ 1U])) {
        return false;
      }
      std::array<std::uint8_t, OFFLOAD_TCP_TIMESTAMPS> tcp{};
      std::copy_n(h.begin() + seen.tcp_at, seen.tcp_size, tcp.begin());
      offload_translate(&slot, &seen, sender, tcp.data());
      replace(frame.data() + seen.tcp_at, tcp.data(), seen.tcp_size);
      offload_note(&slot, &seen, sender, length);
      ++carried_;
      fate_ = (slot.flags & OFFLOAD_TRANSLATES) != 0 ? Reason::translated : Reason::watched;
      return true;
    }
    return false;
  }

 private:
  static void replace(std::uint8_t* at, const std::uint8_t* by, std::size_t size) {
    constexpr std::size_t kChecksum = 16;
    ChecksumUpdate update;
    for (std::size_t i = 0; i < size; i += 2) {
      update.replace16(load_raw<std::uint16_t>(at + i), load_raw<std::uint16_t>(by + i));
    }
    std::memcpy(at, by, size);
    update.apply(at + kChecksum);
  }

  std::vector<OffloadSlot> slots_;
  OffloadShared shared_{};
  OffloadBulk bulk_;
  std::uint64_t carried_ = 0;
  Reason fate_ = Reason::translated;
};

}  // namespace synproxy::test
