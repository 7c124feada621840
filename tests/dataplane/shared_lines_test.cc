// SPDX-License-Identifier: BSD-3-Clause
// Workers share nothing: two of them carry connections, and no cache line that one writes is
// touched by the other. The core and the loop are compiled so that every load and store is seen
// (store_trace.h).
#include <gtest/gtest.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <unistd.h>

#include <cstdio>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "dataplane/eal.h"
#include "dataplane/port.h"
#include "dataplane/store_trace.h"
#include "dataplane/worker.h"
#include "support/decoded_frame.h"
#include "support/packet_builder.h"

namespace synproxy::dataplane {
namespace {

using test::Bytes;
using test::DecodedFrame;
using test::PacketBuilder;
using tests::StoreTrace;

constexpr unsigned kWorkers = 2;
constexpr RssWord kWord = 0x6d5a;
constexpr std::uint64_t kUnixStart = 64'000ULL * 26'562'500;
constexpr unsigned kConnections = 64;

// Counts how often a pool went past the workers' own caches, to the ring that all of them share.
// The counting functions replace the pools' own.
std::atomic<unsigned> pool_trips{0};
rte_mempool_enqueue_t real_enqueue = nullptr;
rte_mempool_dequeue_t real_dequeue = nullptr;

void count_pool_trips(const rte_mempool& pool) {
  rte_mempool_ops& ops = rte_mempool_ops_table.ops[pool.ops_index];
  if (real_enqueue != nullptr) return;
  real_enqueue = ops.enqueue;
  real_dequeue = ops.dequeue;
  ops.enqueue = [](rte_mempool* p, void* const* objects, unsigned n) {
    pool_trips.fetch_add(1, std::memory_order_relaxed);
    return real_enqueue(p, objects, n);
  };
  ops.dequeue = [](rte_mempool* p, void** objects, unsigned n) {
    pool_trips.fetch_add(1, std::memory_order_relaxed);
    return real_dequeue(p, objects, n);
  };
}

using Wanted = std::function<bool(const DecodedFrame&)>;

// A device with a queue pair per worker. Like a driver, it takes buffers from the pool when it
// receives and gives them back when it has sent, in the worker's thread.
class TestPort final : public Port {
 public:
  explicit TestPort(rte_mempool* pool) : pool_(pool) {}

  void put(unsigned queue, Bytes frame) {
    const std::lock_guard lock(mutex_);
    in_[queue].push_back(std::move(frame));
  }
  // Waits for a matching frame, and puts the worker that sent it into `sender`. On a slow machine
  // timers repeat frames; these are skipped.
  DecodedFrame take(const Wanted& wanted, unsigned& sender) {
    for (int i = 0; i < 100'000; ++i) {
      {
        const std::lock_guard lock(mutex_);
        for (; !out_.empty(); out_.pop_front()) {
          const auto decoded = test::decode(out_.front().second);
          EXPECT_TRUE(decoded && decoded->checksums_good);
          if (!decoded || !wanted(*decoded)) continue;
          sender = out_.front().first;
          out_.pop_front();
          return *decoded;
        }
      }
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    ADD_FAILURE() << "no such frame came";
    return {};
  }

  [[nodiscard]] std::uint16_t receive_queues() const override { return kWorkers; }
  std::uint16_t receive(std::uint16_t queue, rte_mbuf** out, std::uint16_t n,
                        IoCounters&) override {
    StoreTrace::i_am(queue);
    const StoreTrace::Pause pause;
    const std::lock_guard lock(mutex_);
    std::uint16_t got = 0;
    for (; got < n && !in_[queue].empty(); ++got, in_[queue].pop_front()) {
      const Bytes& frame = in_[queue].front();
      rte_mbuf* m = rte_pktmbuf_alloc(pool_);
      std::copy(frame.begin(), frame.end(), rte_pktmbuf_mtod(m, std::uint8_t*));
      m->data_len = static_cast<std::uint16_t>(frame.size());
      m->pkt_len = m->data_len;
      out[got] = m;
    }
    return got;
  }
  Sent transmit(unsigned worker, rte_mbuf** frames, std::uint16_t n) override {
    const StoreTrace::Pause pause;
    const std::lock_guard lock(mutex_);
    for (std::uint16_t i = 0; i < n; ++i) {
      const auto* data = rte_pktmbuf_mtod(frames[i], const std::uint8_t*);
      out_.emplace_back(worker, Bytes(data, data + frames[i]->data_len));
    }
    rte_pktmbuf_free_bulk(frames, n);
    return {n, 0};
  }
  void supervise(std::vector<std::string>&) override {}
  [[nodiscard]] PortStatus status() const override { return {}; }
  [[nodiscard]] rte_mempool* pool() const override { return pool_; }

 private:
  rte_mempool* const pool_;
  std::mutex mutex_;
  std::deque<Bytes> in_[kWorkers];
  std::deque<std::pair<unsigned, Bytes>> out_;
};

class SharedLines : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    EalRequest request;
    request.name = "synproxy-test-" + std::to_string(::getpid());
    request.pools = {{.buffers = 8192, .data_room = 2176}};
    static const auto eal = Eal::acquire(request);
  }
  void SetUp() override {
    for (rte_mempool*& pool : pools_) {
      pool = rte_pktmbuf_pool_create(&pool == &pools_[0] ? "client" : "server", 4095, 256, 0, 2176,
                                     SOCKET_ID_ANY);
      ASSERT_NE(pool, nullptr);
      count_pool_trips(*pool);
    }
    for (std::uint64_t epoch : {0U, 1U, 2U}) {
      EpochKeys keys;
      keys.epoch = kUnixStart / 64'000 + epoch - 1;
      keys.timestamps = {1 + epoch, 2, 3};
      keys.plain = {4 + epoch, 5, 7};
      keys_.publish(keys);
    }
    WorkerRequest request;
    request.workers = kWorkers;
    for (unsigned side = 0; side < 2; ++side) {
      ports_[side] = std::make_unique<TestPort>(pools_[side]);
      request.ports[side] = ports_[side].get();
    }
    tuning_.publish(engine_tuning());
    request.limits = {&limits_};
    request.engine.max_flows = 4096;
    request.engine.early_data_memory = 1U << 20;
    request.engine.unix_ms_at_start = kUnixStart;
    request.index_key = {1, 2, 3, 4};
    request.rss = &rss_;
    for (unsigned w = 0; w < kWorkers; ++w) {
      request.number = w;
      request.cpu = w;
      workers_.push_back(
          std::make_unique<Worker>(request, tuning_, protect_, keys_, hand_over_, clock_));
    }
    for (const auto& w : workers_) w->start();
  }
  void TearDown() override {
    for (const auto& w : workers_) w->stop();
    workers_.clear();
    hand_over_.drain();
    for (rte_mempool* pool : pools_) {
      EXPECT_EQ(rte_mempool_in_use_count(pool), 0U) << "buffers lost";
      rte_mempool_free(pool);
    }
  }

  // A frame comes by the queue of its owner or by the other one, but always leaves by its owner's.
  DecodedFrame exchange(Role from, const PacketBuilder& frame, Role to, const Wanted& wanted) {
    const Bytes bytes = frame.build();
    FlowKey key;
    EXPECT_TRUE(flow_of(bytes, from, protect_, key));
    const std::uint32_t owner = rss_.of(fold_of(key));
    ports_[static_cast<std::size_t>(from)]->put(wrong_queues_ ? 1 - owner : owner, bytes);
    unsigned sender = kWorkers;
    const DecodedFrame out = ports_[static_cast<std::size_t>(to)]->take(wanted, sender);
    EXPECT_EQ(sender, owner);
    return out;
  }

  // From the client's SYN to both FINs, with a request and an answer of several segments; or a part
  // of that. `k`: the proxy's number.
  enum class Part : std::uint8_t { kAll, kOpening, kRest };
  void carry_connection(std::uint16_t port, bool ipv6, Part part, std::uint32_t& k) {
    const auto up = [&](std::uint32_t seq) {
      return PacketBuilder()
          .ip(ipv6 ? "2001:db8:1::7" : "198.51.100.7", ipv6 ? "2001:db8::10" : "203.0.113.10")
          .ports(port, 80)
          .seq(seq);
    };
    const auto down = [&](std::uint32_t seq, std::uint32_t ack) {
      return PacketBuilder()
          .ip(ipv6 ? "2001:db8::10" : "203.0.113.10", ipv6 ? "2001:db8:1::7" : "198.51.100.7")
          .ports(80, port)
          .seq(seq)
          .ack(ack);
    };
    const auto has = [&](std::uint16_t flags, std::uint32_t ack, std::size_t payload) {
      return [=](const DecodedFrame& f) {
        return (f.source_port == port || f.destination_port == port) &&
               (f.flags & (kSyn | kAck | kFin | kRst)) == flags && (ack == 0 || f.ack == ack) &&
               f.payload.size() == payload;
      };
    };
    constexpr Role kC = Role::kClient;
    constexpr Role kS = Role::kServer;
    if (part != Part::kRest) {
      const DecodedFrame syn_ack =
          exchange(kC, up(1000).flags(kSyn).mss(1460).sack_permitted().timestamps(100, 0), kC,
                   has(kSyn | kAck, 1001, 0));
      k = syn_ack.seq + 1;
      const DecodedFrame syn = exchange(
          kC, up(1001).ack(k).timestamps(101, syn_ack.tsval()).payload("GET"), kS, has(kSyn, 0, 0));
      static_cast<void>(exchange(kS,
                                 down(5000, 1001)
                                     .flags(kSyn | kAck)
                                     .mss(1460)
                                     .sack_permitted()
                                     .timestamps(900, syn.tsval()),
                                 kS, has(kAck, 5001, 0)));
      unsigned sender = 0;
      EXPECT_EQ(ports_[1]->take(has(kAck, 5001, 3), sender).text(), "GET");
    }
    if (part == Part::kOpening) return;
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::uint32_t at = i * 100;
      const DecodedFrame data =
          exchange(kS, down(5001 + at, 1004).timestamps(901, 101).payload(Bytes(100, 'x')), kC,
                   has(kAck, 1004, 100));
      EXPECT_EQ(data.seq, k + at);
      static_cast<void>(exchange(kC, up(1004).ack(k + at + 100).timestamps(102, data.tsval()), kS,
                                 has(kAck, 5101 + at, 0)));
    }
    if (part == Part::kRest) return;
    const DecodedFrame fin = exchange(kS, down(5401, 1004).timestamps(902, 102).flags(kFin | kAck),
                                      kC, has(kFin | kAck, 1004, 0));
    static_cast<void>(
        exchange(kC, up(1004).ack(k + 401).timestamps(103, fin.tsval()).flags(kFin | kAck), kS,
                 has(kFin | kAck, 5402, 0)));
  }
  void carry_connections(std::uint16_t first, Part part = Part::kAll) {
    for (std::uint16_t i = 0; i < kConnections; ++i) {
      carry_connection(static_cast<std::uint16_t>(first + i), i % 4 == 3, part, numbers_[i]);
      if (HasFailure()) return;
    }
  }
  void send_syns(std::uint16_t first) {
    for (std::uint16_t i = 0; i < kConnections; ++i) {
      const auto port = static_cast<std::uint16_t>(first + i);
      static_cast<void>(exchange(Role::kClient,
                                 PacketBuilder()
                                     .ip("198.51.100.7", "203.0.113.10")
                                     .ports(port, 80)
                                     .seq(1000)
                                     .flags(kSyn)
                                     .mss(1460)
                                     .sack_permitted()
                                     .timestamps(100, 0),
                                 Role::kClient, [=](const DecodedFrame& f) {
                                   return f.destination_port == port &&
                                          (f.flags & (kSyn | kAck)) == (kSyn | kAck);
                                 }));
      if (HasFailure()) return;
    }
  }
  // Carries connections, then as many again with the trace on.
  void trace_connections() {
    carry_connections(20'000);  // warms the pools' caches and everything else
    pool_trips = 0;
    StoreTrace::begin();
    carry_connections(30'000);
    StoreTrace::end();
    expect_work(kConnections);  // at least a record and a bucket of each of its connections
  }
  // Carries connections with a limit in force. The trace is on for their packets between opening
  // and end, and for SYNs.
  void trace_segments_and_syns() {
    carry_connections(20'000);
    carry_connections(30'000, Part::kOpening);
    pool_trips = 0;
    StoreTrace::begin();
    carry_connections(30'000, Part::kRest);
    send_syns(40'000);
    StoreTrace::end();
    expect_work(kConnections / 3);
  }
  void expect_work(std::size_t lines) {
    for (const auto& w : workers_) w->stop();
    for (unsigned w = 0; w < kWorkers; ++w) {
      EXPECT_GT(StoreTrace::written_by(w).size(), lines) << "the trace sees too little";
    }
  }
  static std::vector<std::string> common(const StoreTrace::Found& first,
                                         const StoreTrace::Found& second) {
    std::vector<std::string> both;
    for (const auto& [line, from] : first) {
      const auto also = second.find(line);
      if (also == second.end()) continue;
      char text[120];
      static_cast<void>(std::snprintf(text, sizeof text, "line %#zx, from %p and %p", line * 64,
                                      from, also->second));
      both.emplace_back(text);
    }
    return both;
  }
  static void expect_none(const std::vector<std::string>& lines, const char* what) {
    EXPECT_TRUE(lines.empty()) << lines.size() << " lines are " << what;
    for (std::size_t i = 0; i < std::min<std::size_t>(lines.size(), 20); ++i) {
      std::printf("%s\n", lines[i].c_str());
    }
  }
  std::uint64_t handed_over() const {
    return workers_[0]->io().handed_over.get() + workers_[1]->io().handed_over.get();
  }

  void limit_sources() {
    WorkerTuning tuning = engine_tuning();
    tuning.engine.limits.conns = {.limits = {{{.connections = 1000, .mask = {}}}}, .count = 1};
    tuning.engine.limits.rate.count = 1;
    tuning.engine.limits.rate.limits[0] = {
        .connections = 1'000'000, .period_ms = 1000, .burst = 1'000'000, .mask = {}};
    tuning_.publish(tuning);
  }
  static WorkerTuning engine_tuning() {
    WorkerTuning tuning;
    tuning.engine.offer = {.sack = Offer::kOn, .timestamps = Offer::kOn, .ecn = Offer::kOn};
    tuning.engine.synack_repeats = 0;
    tuning.loop.idle_sleep_us = 0;
    return tuning;
  }

  std::uint32_t numbers_[kConnections] = {};
  SourceLimits limits_{1U << 16, {0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0, 3}};
  bool wrong_queues_ = false;
  rte_mempool* pools_[2] = {};
  const ProtectSet protect_{
      {parse_protect_rule("203.0.113.10:80"), parse_protect_rule("[2001:db8::10]:80")}};
  const RssOwner rss_{kWord, 128, kWorkers};
  KeyRing keys_;
  Clock clock_{kUnixStart};
  HandOver hand_over_{kWorkers};
  std::unique_ptr<TestPort> ports_[2];
  Published<WorkerTuning> tuning_{WorkerTuning{}};
  std::vector<std::unique_ptr<Worker>> workers_;
};

TEST_F(SharedLines, WhatOneWorkerWritesNoOtherTouches) {
  trace_connections();
  const auto first = StoreTrace::written_by(0);
  const auto second = StoreTrace::written_by(1);
  expect_none(common(first, second), "written by both");
  expect_none(common(first, StoreTrace::read_by(1)), "read by the second");
  expect_none(common(StoreTrace::read_by(0), second), "read by the first");
  EXPECT_EQ(handed_over(), 0U);
  EXPECT_EQ(pool_trips, 0U) << "the pools' shared rings were used";
}

// With limits per source, workers share a table. A connection takes it when it is opened and when
// it is over. No SYN and no packet in between does.
TEST_F(SharedLines, LimitsAddNoneToSynsAndSplicedPackets) {
  limit_sources();
  trace_segments_and_syns();
  const auto first = StoreTrace::written_by(0);
  const auto second = StoreTrace::written_by(1);
  expect_none(common(first, second), "written by both");
  expect_none(common(first, StoreTrace::read_by(1)), "read by the second");
  expect_none(common(StoreTrace::read_by(0), second), "read by the first");
}

TEST_F(SharedLines, LimitsShareTheLineOfASourceWhenConnectionsComeAndGo) {
  limit_sources();
  trace_connections();
  // Of IPv4 and of IPv6, one for each of the two rules.
  const auto both = common(StoreTrace::written_by(0), StoreTrace::written_by(1));
  EXPECT_GE(both.size(), 1U);
  EXPECT_LE(both.size(), 4U);
}

// The same connections by the wrong queues, to show that the trace finds shared lines.
TEST_F(SharedLines, BuffersThatAreHandedOverAreWrittenByBoth) {
  wrong_queues_ = true;
  trace_connections();
  EXPECT_GT(common(StoreTrace::written_by(0), StoreTrace::written_by(1)).size(), 10U);
  EXPECT_GT(handed_over(), kConnections * 10U);
}

}  // namespace
}  // namespace synproxy::dataplane
