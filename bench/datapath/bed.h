// SPDX-License-Identifier: BSD-3-Clause
// An engine as the program configures it, with its surroundings in a worker: buffers, time, the two
// queues that it polls, and a place for the frames that it sends.
//
// Theory of operation. In a pass, frames are first written into buffers and queued, unmeasured.
// Then run() takes them through the engine as Worker::run does, a burst of each side in turn; this
// is measured as a whole. The worker's clock advances only with the measured time. So it shows the
// milliseconds that a core under full load would see, and tick() is called as often as on that
// core.
//
// The driver and the mbufs are not included (bench/wire measures those).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/flow_store.h"
#include "common/tsc.h"
#include "datapath/frame_pool.h"
#include "datapath/frame_template.h"
#include "dataplane/capture_tap.h"
#include "synproxy/policy/source_limits.h"
#include "synproxy/policy/source_lists.h"
#include "synproxy/proxy/engine.h"

namespace synproxy::bench {

// Of one pass.
struct Cost {
  std::uint64_t cycles = 0;      // all of it
  std::uint64_t in_ticks = 0;    // of these
  std::uint32_t packets = 0;     // that came in
  bool interrupted = false;      // the kernel gave the core to somebody else meanwhile
  std::vector<float> per_burst;  // cycles per packet
};

// What the two ends of a spliced connection must remember.
struct Connection {
  std::uint32_t cookie = 0;   // the proxy's ISN towards the client
  std::uint32_t tsval = 0;    // ... and its TSval, which the client echoes
  std::uint32_t up_sent = 0;  // bytes, FIN included
  std::uint32_t down_sent = 0;
};

// --reply-rate: off, its default, or one that is used up.
enum class Replies : std::uint8_t { kAny, kRated, kCapped };

struct BedConfig {
  std::uint32_t flows = 0;             // to be spliced at the start
  std::uint32_t max_flows = 1U << 20;  // the program's default
  bool ipv6 = false;
  std::uint32_t services = 1;  // protected addresses and ports
  bool both_families = false;  // the first service by the other family too
  bool huge_pages = true;      // false: this memory gets none, even if some are free
  bool silent = false;         // clients fall silent after their handshake

  Fragments fragments = Fragments::kReassemble;
  std::uint32_t denied = 0;  // so many single addresses, anywhere
  bool bogons = false;
  bool all_denied = false;  // every client
  bool limited = false;     // limits per source that nobody reaches: two rates and two counts
  bool workers = false;     // as if there were others, who share the limits
  Replies replies = Replies::kAny;
  bool backlog = false;    // --server-backlog that nobody reaches
  bool peace = false;      // --mode adaptive, and no attack
  bool tight = false;      // plain cookies are (--tight-cookies)
  bool named = false;      // the services are one with a name
  bool own_lists = false;  // ... which has the lists, and others have none
  bool strict = false;     // --min-ttl and --strict-window on, which nothing offends
  bool stored = false;     // in memory that outlives the process

  Vectors vectors = Vectors::kAvx512;  // at most these, of what the CPU has

  unsigned which = 0;  // beds that differ only in this are separate

  friend auto operator<=>(const BedConfig&, const BedConfig&) = default;
};

struct MemoryUse {
  std::uint64_t resident = 0;  // bytes
  std::uint64_t huge = 0;      // of these, in transparent hugepages
};

class Bed final : public FrameSink {
 public:
  explicit Bed(const BedConfig& config);

  // How many received frames may be in memory at once. Call it before the first bed is made.
  static void set_buffers(std::size_t buffers);
  [[nodiscard]] static std::size_t buffers();

  [[nodiscard]] const BedConfig& config() const { return config_; }
  [[nodiscard]] const Templates& templates() const { return templates_; }
  [[nodiscard]] std::uint64_t now_ms() const;
  [[nodiscard]] std::uint64_t count(Reason r) const { return counters_.get(r); }
  // Memory that the engine had taken for its connections once they were spliced.
  [[nodiscard]] const MemoryUse& memory() const { return memory_; }
  // Spliced connection n, from 0 to flows - 1.
  [[nodiscard]] Connection& connection(std::uint64_t n) { return connections_[n]; }

  // Begins the next pass: nothing is queued.
  void clear();
  [[nodiscard]] std::size_t room() const { return pool_.size() - used_; }
  // Queues a frame of connection n on the side that its template comes from.
  void add(const FrameTemplate& frame, std::uint64_t n, const Numbers& numbers);
  // Queues a copy of a whole frame that `sender` sends.
  void add_raw(std::span<const std::uint8_t> frame, Role sender);
  // The same, as the first fragment of an IPv4 packet that never comes whole.
  void add_fragment(const FrameTemplate& frame, std::uint64_t n, const Numbers& numbers);
  [[nodiscard]] std::size_t queued(Role side) const { return queue(side).size(); }
  Cost run();
  // From the next run() on, `synproxy flows` lists the table again and again, as a busy worker lets
  // it.
  void list_meanwhile(bool yes) { lists_flows_ = yes; }
  // Likewise, `synproxy capture` asks for packets; nullptr: no more.
  void capture_meanwhile(dataplane::CaptureSession* session);
  // After run(): the fate of the i-th frame of a side.
  [[nodiscard]] const Packet& packet(Role side, std::size_t i) const { return queue(side)[i]; }
  // Reads them from the SYN-ACK in that place; false if it is none.
  [[nodiscard]] bool read_syn_ack(std::size_t i, Connection& out) const;

  // Queues a segment of a live connection, and counts its payload as sent.
  void add_segment(const FrameTemplate& frame, std::uint64_t n, Connection& c);

  void emit(Role out, std::span<const std::uint8_t> frame) override;

 private:
  [[nodiscard]] const std::vector<Packet>& queue(Role s) const {
    return queues_[static_cast<std::size_t>(s)];
  }
  void process(Role side, std::size_t begin, std::size_t end);
  void splice(std::uint64_t first, std::uint32_t burst);
  void learn_services();
  void learn_from(std::uint64_t n);
  void let_pass(std::uint64_t ms);
  void list_a_slice();

  BedConfig config_;
  MemoryUse memory_;
  Templates templates_;
  ProtectSet protect_;
  KeyRing ring_;
  Counters counters_;
  SourceLists lists_;
  FramePool pool_;
  FramePool made_;  // for the frames that the engine makes
  std::unique_ptr<SourceLimits> limits_;
  std::unique_ptr<FlowStore> store_;
  std::unique_ptr<Engine> engine_;
  std::array<std::vector<Packet>, 2> queues_;
  std::size_t used_ = 0;
  std::size_t next_made_ = 0;
  std::uint64_t sent_bytes_ = 0;
  std::uint64_t elapsed_ = 0;  // cycles
  std::uint64_t cycles_per_ms_;
  std::uint64_t ticked_ms_ = 0;
  std::vector<Connection> connections_;
  bool lists_flows_ = false;
  FlowIndex next_listed_ = 0;
  std::vector<FlowInfo> listed_;
  Counter capture_lost_;
  dataplane::CaptureTap tap_{counters_, capture_lost_, &read_tsc};
  // The last SYN to the server that was emitted, for learn_from().
  bool keep_syn_ = false;
  std::uint16_t syn_flags_ = 0;
  bool syn_seen_ = false;
  bool syn_timestamps_ = false;
};

// Made at the first request and then kept, because filling millions of flows takes seconds.
[[nodiscard]] Bed& bed_for(const BedConfig& config);
// nullptr if nobody has asked for it.
[[nodiscard]] const Bed* bed_if_made(const BedConfig& config);

}  // namespace synproxy::bench
