// SPDX-License-Identifier: BSD-3-Clause
// Puts TCP packets together from their fragments, in a fixed memory.
//
// Theory of operation. A fragment's bytes are copied into the slot of its packet, at their offset;
// the buffer that it came in is given back at once. When the last gap is closed, the packet lies
// there in one piece, with the headers of its first fragment before it. So no hostile sender can
// hold a buffer of a port, and the packet needs no second copy.
//
// A keyed hash of the source (an IPv6 client's counts by its /64, which is what one client can
// have) names a bucket of 16 slots. So one source holds 16 packets at most, whatever it sends: its
// 17th takes the place of an older one. If sources share a bucket, a stranger's packet goes before
// that of a known source. FragmentGate bounds the work.
//
// A packet waits for two seconds. RFC 791 and RFC 8200 allow 15 and 60, but then a host that sends
// 65,536 packets in that time, 50 MB/s over two seconds, gets fragments of different packets mixed
// (RFC 4963), and whoever lost a segment has sent it anew long before.
//
// Every bit of a slot's map stands for eight bytes of the packet. A fragment that brings bytes that
// are there already is a duplicate if they are the same. If not, somebody hides something from
// whoever looks at the first or at the last copy: the packet is refused, with all further fragments
// of its identification (RFC 5722, for both families).
//
// Why not DPDK's rte_ip_frag (22.11 to 24.11)? It holds the buffers of the ports, as a chain that
// would have to be made one piece; it knows neither sources nor VLANs nor the fragment header
// behind other extension headers; a duplicate costs the packet; it takes nothing new once its table
// is full of forged fragments; and eight fragments are its limit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "synproxy/base/counters.h"
#include "synproxy/base/packet.h"
#include "synproxy/flow/index_hash.h"
#include "synproxy/flow/mapping.h"
#include "synproxy/policy/fragment_gate.h"
#include "synproxy/policy/known_sources.h"
#include "synproxy/policy/protect.h"
#include "synproxy/wire/fragment.h"

namespace synproxy {

// A hash of who sent a packet, for the bounds per source; also names the worker that puts the
// source's fragments together (worker_of). `segment` is TCP, whole or not.
[[nodiscard]] std::uint64_t fragment_source(const Segment& segment, Role sender,
                                            const IndexKey& key);

// Returns which of `workers` puts a fragment together with the others of its packet: all fragments
// of one source meet there. `fallback` is returned where the address is not protected.
[[nodiscard]] std::uint32_t gatherer_of(const Segment& fragment, Role sender,
                                        const ProtectSet& protect, const IndexKey& key,
                                        std::uint32_t workers, std::uint32_t fallback);

class Reassembler {
 public:
  static constexpr std::size_t kWays = 16;          // packets of one source
  static constexpr std::size_t kBuckets = 64;       // 17 MB in all, touched when used
  static constexpr std::uint32_t kLargest = 16384;  // bytes of data: a frame has 16,022 at most
  static constexpr std::uint64_t kLifeMs = 2000;
  // RFC 1858: whoever looks at the first fragment sees the whole TCP header. A multiple of eight.
  static constexpr std::uint32_t kSmallest = 24;

  // Throws std::bad_alloc.
  Reassembler(const IndexKey& key, Counters& counters);

  // A packet that is whole, in the reassembler's memory until the next call of take().
  struct Whole {
    std::uint8_t* frame = nullptr;  // null: there is none
    std::uint32_t length = 0;
    std::uint32_t room = 0;
    CameInFragments came;
  };
  // Fragments too small for a TCP header are put together like others, and counted.
  void monitor_tiny(bool on) { monitors_tiny_ = on; }

  // Returns the fate of the fragment, which is for the caller to count; `whole` is set if its
  // packet is whole now. `fragment`: parsed as kFragment.
  [[nodiscard]] Reason take(const Segment& fragment, Role sender, const KnownSources& known,
                            std::uint64_t now_ms, Whole& whole);

  [[nodiscard]] std::uint64_t source_of(const Segment& segment, Role sender) const {
    return fragment_source(segment, sender, key_);
  }

  // Gives up what waits too long, in some of the slots. Call it about every millisecond.
  void tick(std::uint64_t now_ms);

  [[nodiscard]] std::uint32_t waiting() const { return waiting_; }

 private:
  enum class State : std::uint8_t { kFree, kWaiting, kRefused };
  struct Slot {
    std::uint64_t tag = 0;  // of the packet, by a keyed hash that nobody can find collisions of
    std::uint32_t since_ms = 0;
    State state = State::kFree;
    bool known = false;             // its source is
    std::uint8_t ecn_seen = 0;      // bit by value
    std::uint8_t next = 0;          // of the first fragment
    std::uint16_t l3_offset = 0;    // of the first fragment
    std::uint16_t header_size = 0;  // of the first fragment's IP headers; 0: it has not come
    std::uint16_t received = 0;     // bytes
    std::uint16_t total = 0;        // bytes; 0: the last fragment has not come
    std::uint16_t reach = 0;        // the farthest end so far
    std::uint16_t largest = 0;
    std::array<std::uint64_t, kLargest / 8 / 64> map{};
  };
  // Before the data there is room for the headers of the first fragment.
  static constexpr std::size_t kHeaderRoom = 256;
  static constexpr std::size_t kSlotBytes = kHeaderRoom + kLargest;

  [[nodiscard]] bool stale(const Slot& s, std::uint64_t now_ms) const {
    return static_cast<std::uint32_t>(now_ms) - s.since_ms > kLifeMs;
  }
  void clear(Slot& s);
  [[nodiscard]] Slot& slot_for(std::uint64_t source, std::uint64_t tag, bool known,
                               std::uint64_t now_ms);
  [[nodiscard]] std::uint8_t* data_of(const Slot& s) const;
  void refuse(Slot& s);
  void store(Slot& s, const Segment& fragment, const FragmentView& f);
  [[nodiscard]] bool finish(Slot& s, const FragmentView& f, bool ipv6, Whole& whole);

  const IndexKey key_;
  Counters& counters_;
  FragmentGate gate_;
  std::vector<Slot> slots_;
  Mapping memory_;
  std::uint32_t waiting_ = 0;
  std::size_t swept_ = 0;
  bool monitors_tiny_ = false;
};

}  // namespace synproxy
