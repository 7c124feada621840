// SPDX-License-Identifier: BSD-3-Clause
// An engine under test: the test moves its clock, feeds frames and takes frames.
//
// Every test gets this:
//   - two engines run the same packets, in buffers whose unused bytes are poisoned differently, so
//     that a byte that the engine forgot to write makes the outputs differ;
//   - the second engine knows all that is protected as one service with a name, so what is counted
//     of a service must be what is counted of all, unless the test gives the services;
//   - every TCP frame that comes out has good checksums by the naive implementation, unless the
//     test says that it feeds bad ones;
//   - finish() checks that each packet counted exactly one fate.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "support/decoded_frame.h"
#include "support/fake_kernel.h"
#include "support/packet_builder.h"
#include "synproxy/cookie/key_ring.h"
#include "synproxy/policy/protect.h"
#include "synproxy/policy/service_tuning.h"
#include "synproxy/policy/source_limits.h"
#include "synproxy/proxy/engine.h"

namespace synproxy::test {

// Harnesses that are made from now on have kernels with no more than this. Of the whole process.
[[nodiscard]] inline Vectors& most_vectors() {
  static Vectors most = Vectors::kAvx512;
  return most;
}

// Deterministic keys for an epoch; another `secret` gives other keys.
[[nodiscard]] EpochKeys test_keys(std::uint64_t secret, std::uint64_t epoch);

// The defaults with little memory and a short server timeout, with all options offered, and without
// an answer to what belongs to nothing, and with any number of SYN-ACKs to one source. Other tests
// cover `auto` for a server that has shown nothing yet, repeated SYN-ACKs, --unknown, --hide-rtt
// and --reply-rate (learning_test, synack_repeat_test, unknown_test, hide_rtt_test,
// reply_rate_test).
[[nodiscard]] inline EngineConfig small_engine() {
  EngineConfig c;
  c.most_vectors = most_vectors();
  c.tuning.offer = {.sack = Offer::kOn, .timestamps = Offer::kOn, .ecn = Offer::kOn};
  c.tuning.synack_repeats = 0;
  c.tuning.server_timeout_ms = 10'000;
  c.tuning.unknown = Unknown::kDrop;
  c.tuning.hide_rtt = HideRtt::kOff;
  c.tuning.limits.reply.per_second = 0;
  c.tuning.fragments = Fragments::kDrop;  // fragments_test puts them together
  c.shape.max_flows = 1024;
  c.shape.early_data_memory = 1U << 20;
  return c;
}

struct HarnessOptions {
  EngineConfig engine = small_engine();
  std::vector<std::string> protect{"203.0.113.10:80", "[2001:db8::10]:80"};
  std::uint64_t secret = 1;
  // The service of each of `protect`, for both engines, and what they have of their own.
  std::vector<NamedServiceId> services{};
  ServiceTunings own{};
  std::vector<VlanPair> vlan_pairs{};
  std::size_t limit_memory = 1U << 16;
  bool store = false;  // the engines lie in memory that outlives them
  // A kernel carries what brings as much (--flow-offload).
  std::optional<OffloadBulk> offload{};
};

class ProxyHarness {
 public:
  static constexpr std::uint64_t kUnixStart =
      64'000ULL * 26'562'500;  // an epoch begins, an even one

  explicit ProxyHarness(HarnessOptions options = {});
  ~ProxyHarness();
  ProxyHarness(const ProxyHarness&) = delete;
  ProxyHarness& operator=(const ProxyHarness&) = delete;

  // Feeds one packet and returns its verdict. Frames that come out wait in to_client and to_server.
  Verdict from_client(const Bytes& frame) { return feed(Role::kClient, frame); }
  Verdict from_server(const Bytes& frame) { return feed(Role::kServer, frame); }
  Verdict feed(Role side, const Bytes& frame);
  std::vector<Verdict> feed_burst(Role side, const std::vector<Bytes>& frames);

  // If it carries connections.
  [[nodiscard]] FakeKernel& kernel() { return *kernels_[0]; }
  void allow_offloads(bool allowed) {
    for (auto& engine : engines_) engine->allow_offloads(allowed);
  }
  void end_offloads() {
    for (auto& engine : engines_) engine->end_offloads();
  }

  // The flows as an operator sees them, read in slices of `looks` records.
  [[nodiscard]] std::vector<FlowInfo> shown(std::uint32_t looks = 7) const;
  // As an operator does.
  bool delete_flow(const FlowInfo& flow) { return delete_flow(flow.index, flow.key()); }
  bool delete_flow(FlowIndex index, const FlowKey& key);
  // The process dies here, and another one goes on with its store. Returns what it has found.
  Found die();
  // The engine hands over to another one with so many records. `meanwhile` happens between the
  // first pass and the last one; `spoil` may change what is carried.
  Found hand_over(std::uint32_t max_flows, const std::function<void()>& meanwhile = {},
                  const std::function<void(std::span<CarriedFlow>)>& spoil = {});
  // Of one of the two engines.
  [[nodiscard]] std::span<std::byte> store(std::size_t engine) {
    return {static_cast<std::byte*>(stores_[engine]->data()), stores_[engine]->bytes()};
  }

  void retune(const EngineTuning& tuning) { retune(tuning, nullptr); }
  void retune(const EngineTuning& tuning, const ServiceTunings* own);
  // They outlive the harness, or its next lists.
  void use_lists(const SourceLists* lists) {
    for (auto& engine : engines_) engine->use_lists(lists);
  }
  // As control does (--tight-cookies).
  void want_tight_cookies(bool tight) { ring_.want_tight(tight); }
  void shed_by(const StatelessShedder& shedder) {
    for (auto& engine : engines_) engine->shed_by(shedder);
  }

  void advance(std::uint64_t ms);  // with a tick each millisecond, or each 250 above a minute
  void leap(std::uint64_t ms);     // with one tick at the end, like a core that was away
  [[nodiscard]] std::uint64_t now() const { return now_ms_; }

  // The oldest frame that came out on a side. If there is none, fails the test and returns an empty
  // one.
  [[nodiscard]] DecodedFrame take_client();
  [[nodiscard]] DecodedFrame take_server();
  [[nodiscard]] Bytes take_raw(Role side);
  [[nodiscard]] bool quiet() const { return to_client.empty() && to_server.empty(); }
  // Fails the test, and shows the frames, if any is left in either queue.
  void expect_quiet();

  [[nodiscard]] std::uint64_t count(Reason r) const { return counters_[0]->get(r); }
  [[nodiscard]] const Counters& counters() const { return *counters_[0]; }
  [[nodiscard]] std::uint32_t flows() const { return engines_[0]->flows(); }
  // The record of the connection that a frame of the client belongs to.
  [[nodiscard]] std::optional<FlowRecord> record(const Bytes& client_frame) const {
    FlowKey key;
    if (!flow_of(client_frame, Role::kClient, protect_, key)) return std::nullopt;
    return engines_[0]->flow(key);
  }
  [[nodiscard]] std::uint64_t early_buffers() const { return counters_[0]->early_buffers.get(); }
  [[nodiscard]] std::uint64_t packets_in() const { return packets_in_; }
  [[nodiscard]] const ProtectSet& protect() const { return protect_; }
  [[nodiscard]] RefusedList refused() const {
    RefusedList list;
    Published<RefusedList>::Version seen = Published<RefusedList>::kNone;
    static_cast<void>(engines_[0]->refused().news(seen, list));
    return list;
  }

  // Checks that every packet had one fate and that the gauges agree. The destructor calls it too.
  void check_accounts();
  // For the end of a test: after a long time no flow and no buffer is left.
  void expect_empty_after(std::uint64_t ms);

  std::deque<Bytes> to_client;
  std::deque<Bytes> to_server;
  bool checksums_must_be_good = true;
  ChecksumHint checksum_hint = ChecksumHint::kUnknown;  // of the frames fed
  std::uint32_t room = 2048;                            // of the buffers
  // Above 0 while an engine works, but not while the harness takes its frames: for tests that watch
  // what an engine asks of the system.
  static inline thread_local int inside_engine = 0;
  bool keys_stall = false;  // the control thread sleeps: no keys for the epochs that begin

 private:
  class Collector;
  void publish_keys();
  // What goes from an engine to another one, in one pass.
  struct Carried {
    std::unique_ptr<Engine> taker;
    CarryBook book;
    std::vector<FlowIndex> places;  // by the giver's record; kNoFlow: there is none
    std::uint32_t unfit = 0;
  };
  void carry(Engine& giver, Carried& carried, bool last,
             const std::function<void(std::span<CarriedFlow>)>& spoil) const;
  void make_engine(std::size_t i);
  void check_service() const;
  void tick();
  void store(Role side, const Bytes& frame);

  HarnessOptions options_;
  ProtectSet protect_;
  ProtectSet named_;  // the same, as one service with a name
  KeyRing ring_;
  std::array<std::unique_ptr<Counters>, 2> counters_;
  std::array<std::unique_ptr<SourceLimits>, 2> limits_;
  std::array<std::vector<std::unique_ptr<SourceLimits>>, 2> service_limits_;
  std::array<std::optional<Mapping>, 2> stores_;
  std::array<std::unique_ptr<FakeKernel>, 2> kernels_;
  std::array<std::unique_ptr<Engine>, 2> engines_;
  std::uint64_t now_ms_ = 0;
  std::uint64_t published_ = 0;
  std::uint64_t packets_in_ = 0;
  bool died_ = false;
  bool spoiled_ = false;  // connections may be of other addresses and ports now
  std::array<std::uint64_t, kReasonCount> portless_{};  // of fates_, fragments and ICMP
  std::array<std::uint64_t, kReasonCount> fates_{};     // as the packets themselves say
};

}  // namespace synproxy::test
