// SPDX-License-Identifier: BSD-3-Clause
// A worker between two ports of the test's own, to which frames come never or seldom.
#include <gtest/gtest.h>
#include <rte_mbuf.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>

#include "dataplane/engine_stub.h"
#include "dataplane/proxy_fixture.h"
#include "dataplane/worker.h"

namespace synproxy::dataplane {
namespace {

namespace stub = tests::engine_stub;
using tests::eventually;

constexpr std::uint32_t kLimitUs = 50;

// Counts how often the worker looks at it, and delivers what the test has put into it.
class QuietPort final : public Port {
 public:
  explicit QuietPort(rte_mempool* pool, std::uint32_t ring = kUsualRing, int descriptor = -1)
      : pool_(pool), ring_(ring), descriptor_(descriptor) {}

  [[nodiscard]] std::uint16_t receive_queues() const override { return 1; }
  [[nodiscard]] std::uint32_t receive_ring(std::uint16_t) const override { return ring_; }
  [[nodiscard]] int wait_descriptor(std::uint16_t /*queue*/) const override { return descriptor_; }
  std::uint16_t receive(std::uint16_t, rte_mbuf** out, std::uint16_t n, IoCounters&) override {
    looks.fetch_add(1);
    std::uint16_t got = 0;
    for (; got < n && waiting.load() != 0; ++got) {
      rte_mbuf* m = rte_pktmbuf_alloc(pool_);
      std::fill_n(rte_pktmbuf_mtod(m, std::uint8_t*), stub::kMinBytes, std::uint8_t{0});
      m->data_len = stub::kMinBytes;
      m->pkt_len = stub::kMinBytes;
      out[got] = m;
      waiting.fetch_sub(1);
    }
    return got;
  }
  Sent transmit(unsigned, rte_mbuf** frames, std::uint16_t n) override {
    sent.fetch_add(n);
    rte_pktmbuf_free_bulk(frames, n);
    return {n, 0};
  }
  void supervise(std::vector<std::string>&) override {}
  [[nodiscard]] PortStatus status() const override { return {}; }
  [[nodiscard]] rte_mempool* pool() const override { return pool_; }

  std::atomic<std::uint64_t> looks{0};
  std::atomic<std::uint64_t> waiting{0};
  std::atomic<std::uint64_t> sent{0};

 private:
  rte_mempool* const pool_;
  const std::uint32_t ring_;
  const int descriptor_;
};

class IdleWorker : public ::testing::Test {
 protected:
  void SetUp() override {
    static_cast<void>(tests::shared_eal());
    pool_ = rte_pktmbuf_pool_create("idle", 4096, 0, 0, 256 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
    ASSERT_NE(pool_, nullptr);
    hand_over_ = std::make_unique<HandOver>(2);
    client_ = std::make_unique<QuietPort>(pool_);
    server_ = std::make_unique<QuietPort>(pool_);
  }
  void TearDown() override {
    hand_over_.reset();
    EXPECT_EQ(rte_mempool_in_use_count(pool_), 0U) << "buffers lost";
    rte_mempool_free(pool_);
  }
  std::unique_ptr<Worker> worker(std::uint32_t idle_sleep_us, unsigned number = 0,
                                 unsigned workers = 1) {
    WorkerRequest request;
    request.number = number;
    request.workers = workers;
    request.ports[0] = client_.get();
    request.ports[1] = server_.get();
    tuning_.publish({.engine = {}, .loop = {.idle_sleep_us = idle_sleep_us}});
    return std::make_unique<Worker>(request, tuning_, protect_, keys_, *hand_over_, clock_);
  }

  rte_mempool* pool_ = nullptr;
  std::unique_ptr<QuietPort> client_;
  std::unique_ptr<QuietPort> server_;
  Published<WorkerTuning> tuning_{WorkerTuning{}};
  const ProtectSet protect_{{}};
  const KeyRing keys_;
  const Clock clock_{0};
  std::unique_ptr<HandOver> hand_over_;
};

// Does not measure time: a worker that looks only once per sleep of 50 us is not busy.
TEST_F(IdleWorker, SleepsAfterEachLookWhileNothingArrives) {
  const auto w = worker(kLimitUs);
  w->start();
  EXPECT_TRUE(eventually([&] { return w->io().idle_sleeps.get() >= 500; }));
  w->stop();
  const std::uint64_t sleeps = w->io().idle_sleeps.get();
  EXPECT_LE(client_->looks.load(), sleeps + 1);
  EXPECT_EQ(server_->looks.load(), client_->looks.load());
  EXPECT_GE(w->io().idle_us.get(), sleeps * kLimitUs) << "no sleep ends early";
}

TEST_F(IdleWorker, IsBusyInTurnsThatBringPacketsAndInNoOthers) {
  const auto w = worker(kLimitUs);
  const auto sleeps = [&] { return w->io().idle_sleeps.get(); };
  w->start();
  EXPECT_TRUE(eventually([&] { return sleeps() >= 20; }));
  EXPECT_EQ(w->io().busy_cycles.get(), 0U);
  std::uint64_t before = 0;
  for (unsigned frames = 1; frames <= 3; ++frames) {
    client_->waiting.fetch_add(1);
    EXPECT_TRUE(eventually([&] { return server_->sent.load() == frames; }));
    EXPECT_TRUE(eventually([&] { return w->io().busy_cycles.get() > before; }));
    before = w->io().busy_cycles.get();
  }
  const std::uint64_t slept = sleeps();
  EXPECT_TRUE(eventually([&] { return sleeps() >= slept + 20; }));
  w->stop();
  EXPECT_EQ(w->io().busy_cycles.get(), before) << "nothing more came";
}

TEST_F(IdleWorker, NeverSleepsWhenToldToPoll) {
  const int readable_never = ::eventfd(0, EFD_CLOEXEC);
  for (const int descriptor : {-1, readable_never}) {
    client_ = std::make_unique<QuietPort>(pool_, kUsualRing, descriptor);
    server_ = std::make_unique<QuietPort>(pool_, kUsualRing, descriptor);
    const auto w = worker(0);
    w->start();
    EXPECT_TRUE(eventually([&] { return client_->looks.load() >= 2'000; }));
    w->stop();
    EXPECT_EQ(w->io().idle_sleeps.get(), 0U);
    EXPECT_EQ(w->io().idle_us.get(), 0U);
  }
  ::close(readable_never);
}

TEST_F(IdleWorker, WhatArrivedDuringASleepIsServedWhole) {
  const auto w = worker(1000);
  w->start();
  std::uint64_t asked = 0;
  for (const unsigned frames : {1U, 31U, 32U, 33U, 1000U}) {
    const std::uint64_t sleeps = w->io().idle_sleeps.get();
    EXPECT_TRUE(eventually([&] { return w->io().idle_sleeps.get() > sleeps; })) << "it sleeps";
    client_->waiting.fetch_add(frames);
    server_->waiting.fetch_add(frames);
    asked += frames;
    EXPECT_TRUE(eventually([&] { return server_->sent.load() == asked; })) << frames;
    EXPECT_TRUE(eventually([&] { return client_->sent.load() == asked; })) << frames;
  }
  w->stop();
}

TEST_F(IdleWorker, FrameHandedToASleeperIsServed) {
  const auto w = worker(kLimitUs, 1, 2);
  w->start();
  for (std::uint64_t i = 1; i <= 100; ++i) {
    rte_mbuf* m = rte_pktmbuf_alloc(pool_);
    m->data_len = stub::kMinBytes;
    m->pkt_len = stub::kMinBytes;
    std::fill_n(rte_pktmbuf_mtod(m, std::uint8_t*), stub::kMinBytes, std::uint8_t{0});
    const std::uint64_t sleeps = w->io().idle_sleeps.get();
    EXPECT_TRUE(eventually([&] { return w->io().idle_sleeps.get() > sleeps; }));
    ASSERT_EQ(hand_over_->give(1, Role::kClient, &m, 1), 1);
    EXPECT_TRUE(eventually([&] { return server_->sent.load() == i; }));
  }
  w->stop();
}

TEST_F(IdleWorker, ANewLimitHoldsForOneThatSleeps) {
  const auto w = worker(1000);
  w->start();
  const auto sleeps = [&] { return w->io().idle_sleeps.get(); };
  for (int round = 0; round < 3; ++round) {
    tuning_.publish({.engine = {}, .loop = {.idle_sleep_us = 1000}});
    std::uint64_t before = sleeps();
    EXPECT_TRUE(eventually([&] { return sleeps() > before + 10; }));
    tuning_.publish({.engine = {}, .loop = {.idle_sleep_us = 0}});
    std::uint64_t looks = client_->looks.load();
    EXPECT_TRUE(eventually([&] {
      const std::uint64_t now = sleeps();
      if (now != before) looks = client_->looks.load();
      before = now;
      return client_->looks.load() > looks + 1000;
    })) << "it polls";
  }
  w->stop();
}

// The very next frame: no time is given to the worker to notice.
TEST_F(IdleWorker, WhatArrivesAfterAChangeIsDecidedByIt) {
  const auto w = worker(kLimitUs);
  w->start();
  std::uint64_t forwarded = 0;
  std::uint64_t dropped = 0;
  for (unsigned i = 0; i < 500; ++i) {
    const bool drop = i % 2 == 0;
    WorkerTuning next;
    next.loop.idle_sleep_us = kLimitUs;
    next.engine.early_window = drop ? stub::kDropAll : 1 + i;
    tuning_.publish(next);
    client_->waiting.fetch_add(1 + i % 40);
    (drop ? dropped : forwarded) += 1 + i % 40;
    ASSERT_TRUE(eventually([&] { return w->io().rx_packets[0].get() == forwarded + dropped; }));
    ASSERT_TRUE(eventually([&] {
      return w->counters().get(Reason::forwarded) + w->counters().get(Reason::bad_checksum) ==
             forwarded + dropped;
    }));
    ASSERT_EQ(w->counters().get(Reason::bad_checksum), dropped) << i;
  }
  w->stop();
}

TEST_F(IdleWorker, LimitIsThatOfThePortsItLooksAt) {
  constexpr int kDescriptor = 7;
  struct Row {
    const char* sentence;
    std::uint32_t asked;
    std::uint32_t client_ring;
    int client_descriptor;
    std::uint32_t server_ring;
    int server_descriptor;
    unsigned number;
    unsigned workers;
    std::uint32_t longest;
    bool woken;
  };
  const Row rows[] = {
      {"both must be looked at", 50, 1024, -1, 1024, -1, 0, 1, 50, false},
      {"the shorter queue decides", 50, 1024, -1, 256, -1, 0, 1, 12, false},
      {"both wake it", 50, 0, kDescriptor, 0, kDescriptor, 0, 1, 1000, true},
      {"one wakes it", 50, 0, kDescriptor, 1024, -1, 0, 1, 50, false},
      {"one cannot be left alone", 50, 0, -1, 1024, -1, 0, 1, 0, false},
      {"to poll was asked for", 0, 0, kDescriptor, 0, kDescriptor, 0, 1, 0, false},
      {"worker 0 of two looks at the client's alone", 50, 512, -1, 64, -1, 0, 2, 25, false},
      {"worker 1 at the server's", 50, 512, -1, 1024, -1, 1, 2, 50, false},
      {"worker 2 at the rings of the others, which ring", 50, 512, -1, 64, -1, 2, 3, 1000, true},
  };
  for (const Row& row : rows) {
    QuietPort client(pool_, row.client_ring, row.client_descriptor);
    QuietPort server(pool_, row.server_ring, row.server_descriptor);
    const PerPort<const Port*> ports{{&client, &server}};
    const IdleLimit got = idle_limit(row.asked, sources_of(row.number, row.workers, ports), ports);
    EXPECT_EQ(got.longest_us, row.longest) << row.sentence;
    EXPECT_EQ(got.woken, row.woken) << row.sentence;
  }
}

}  // namespace
}  // namespace synproxy::dataplane
