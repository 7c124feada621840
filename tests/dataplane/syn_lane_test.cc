// SPDX-License-Identifier: BSD-3-Clause
// A worker between two ports of the test's own, while more SYNs arrive than it answers. The stub
// engine forwards everything, so the frames that the server port sends show what was processed, and
// when.
#include <gtest/gtest.h>
#include <rte_mbuf.h>

#include <atomic>
#include <functional>
#include <map>
#include <set>

#include "dataplane/engine_stub.h"
#include "dataplane/proxy_fixture.h"
#include "dataplane/shed_notice.h"
#include "dataplane/worker.h"
#include "support/packet_builder.h"
#include "synproxy/wire/bytes.h"

namespace synproxy::dataplane {
namespace {

using test::Bytes;
using test::PacketBuilder;
using tests::eventually;

constexpr std::size_t kSeqAt = 38;  // of TCP over IPv4
constexpr std::size_t kFlagsAt = 47;

// A port whose polls bring what the test decides, and which remembers what is sent.
class FakePort final : public Port {
 public:
  // Fills `out` and returns how many. Runs on the worker's thread.
  using Script = std::function<std::uint16_t(std::uint16_t queue, rte_mbuf** out)>;

  explicit FakePort(rte_mempool* pool) : pool_(pool) {}

  Script script = [](std::uint16_t, rte_mbuf**) { return std::uint16_t{0}; };
  std::uint16_t queues = 1;
  std::set<std::uint16_t> syn_queues;
  bool sheds = false;
  std::atomic<bool> told_to_shed{false};
  Shed shed;           // each question brings this
  unsigned asked = 0;  // questions

  struct Left {
    bool syn;
    std::uint32_t seq;
  };
  std::vector<Left> sent;

  [[nodiscard]] std::uint16_t receive_queues() const override { return queues; }
  [[nodiscard]] bool is_syn_queue(std::uint16_t queue) const override {
    return syn_queues.contains(queue);
  }
  [[nodiscard]] bool sheds_syns() const override { return sheds; }
  void shed_syns(bool shedding) override { told_to_shed = shedding; }
  [[nodiscard]] Shed take_shed() override {
    ++asked;
    return shed;
  }
  std::uint16_t receive(std::uint16_t queue, rte_mbuf** out, std::uint16_t, IoCounters&) override {
    return script(queue, out);
  }
  Sent transmit(unsigned, rte_mbuf** frames, std::uint16_t n) override {
    for (std::uint16_t i = 0; i < n; ++i) {
      const auto* p = rte_pktmbuf_mtod(frames[i], const std::uint8_t*);
      sent.push_back({(p[kFlagsAt] & kAck) == 0, load_be<std::uint32_t>(p + kSeqAt)});
    }
    rte_pktmbuf_free_bulk(frames, n);
    return {n, 0};
  }
  void supervise(std::vector<std::string>&) override {}
  [[nodiscard]] PortStatus status() const override { return {}; }
  [[nodiscard]] rte_mempool* pool() const override { return pool_; }

 private:
  rte_mempool* pool_;
};

class SynLaneTest : public ::testing::Test {
 protected:
  void SetUp() override {
    static_cast<void>(tests::shared_eal());
    pool_ = rte_pktmbuf_pool_create("lane", 8192, 0, 0, 256 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
    ASSERT_NE(pool_, nullptr);
    hand_over_ = std::make_unique<HandOver>(2);
    client_ = std::make_unique<FakePort>(pool_);
    server_ = std::make_unique<FakePort>(pool_);
  }
  void TearDown() override {
    hand_over_.reset();
    EXPECT_EQ(rte_mempool_in_use_count(pool_), 0U) << "buffers lost";
    rte_mempool_free(pool_);
  }

  rte_mbuf* frame(bool syn, std::uint32_t number, std::uint16_t port = 80) {
    return frame_with(syn ? kSyn : kAck, number, port);
  }
  rte_mbuf* frame_with(std::uint8_t flags, std::uint32_t number, std::uint16_t port = 80) {
    Bytes bytes = PacketBuilder().ports(40000, port).seq(number).flags(flags).build();
    store_be<std::uint32_t>(bytes.data() + 26, 0x0a000000U + number);  // a source each
    rte_mbuf* m = rte_pktmbuf_alloc(pool_);
    std::copy(bytes.begin(), bytes.end(), rte_pktmbuf_mtod(m, std::uint8_t*));
    m->data_len = static_cast<std::uint16_t>(bytes.size());
    m->pkt_len = m->data_len;
    return m;
  }

  // `bursts` of 31 SYNs and one segment of a connection, in the middle; then nothing.
  FakePort::Script flood(unsigned bursts) {
    return [this, bursts](std::uint16_t, rte_mbuf** out) {
      if (polls_ == bursts) return std::uint16_t{0};
      for (unsigned i = 0; i < kMaxBurst; ++i) {
        out[i] = i == 16 ? frame(false, polls_) : frame(true, syns_++);
      }
      ++polls_;
      return static_cast<std::uint16_t>(kMaxBurst);
    };
  }

  // `bursts` of 31 ACKs of no connection, if the engine takes them for that, and one segment of a
  // connection; then nothing.
  FakePort::Script ack_flood(unsigned bursts) {
    return [this, bursts](std::uint16_t, rte_mbuf** out) {
      if (polls_ == bursts) return std::uint16_t{0};
      for (unsigned i = 0; i < kMaxBurst; ++i) {
        out[i] = frame_with(i == 16 ? kAck | kPsh : kAck, polls_ * std::uint32_t{kMaxBurst} + i);
      }
      ++polls_;
      return static_cast<std::uint16_t>(kMaxBurst);
    };
  }

  std::unique_ptr<Worker> worker(bool shed = true, unsigned number = 0, unsigned workers = 1) {
    WorkerRequest request;
    request.number = number;
    request.workers = workers;
    request.ports[0] = client_.get();
    request.ports[1] = server_.get();
    tuning_.publish({.engine = engine_tuning_,
                     .loop = {.shed_syns = shed, .idle_sleep_us = 0},
                     .lists = lists_});
    request.rss = rss_;
    request.shed_key = {0x0123456789abcdefU, 0xfedcba9876543210U, 0x0f1e2d3c4b5a6978U,
                        0x1122334455667788U};
    return std::make_unique<Worker>(request, tuning_, protect_, keys_, *hand_over_, clock_);
  }

  // Runs the worker until it has received so many frames and nothing waits any more.
  void run(Worker& w, std::uint64_t frames) {
    w.start();
    EXPECT_TRUE(eventually([&] { return w.io().rx_packets[0].get() >= frames; }));
    w.stop();
  }

  std::pair<std::uint64_t, std::uint64_t> left() const {  // SYNs, others
    std::uint64_t syns = 0;
    for (const auto& f : server_->sent) syns += f.syn ? 1 : 0;
    return {syns, server_->sent.size() - syns};
  }

  rte_mempool* pool_ = nullptr;
  std::unique_ptr<FakePort> client_;
  std::unique_ptr<FakePort> server_;
  Published<WorkerTuning> tuning_{WorkerTuning{}};
  const ProtectSet protect_{{parse_protect_rule("203.0.113.10:80")}};
  const KeyRing keys_{};
  const Clock clock_{0};
  std::unique_ptr<HandOver> hand_over_;
  const RssOwner* rss_ = nullptr;
  EngineTuning engine_tuning_{};
  const SourceLists* lists_ = nullptr;
  std::uint32_t polls_ = 0;
  std::uint32_t syns_ = 0;
};

TEST_F(SynLaneTest, AllThatAPortLetsThroughWhichShedsItselfIsAnswered) {
  constexpr unsigned kBursts = 500;
  client_->queues = 2;
  client_->syn_queues = {1};
  client_->sheds = true;
  client_->shed = {3, 250};
  unsigned bursts = 0;
  client_->script = [&](std::uint16_t queue, rte_mbuf** out) {
    if (queue != 1) return std::uint16_t{0};
    if (bursts == kBursts) return std::uint16_t{0};
    ++bursts;
    for (unsigned i = 0; i < kMaxBurst; ++i) out[i] = frame(true, syns_++);
    return static_cast<std::uint16_t>(kMaxBurst);
  };
  const auto w = worker();
  EXPECT_TRUE(client_->told_to_shed);
  run(*w, kBursts * kMaxBurst);
  EXPECT_EQ(left().first, kBursts * kMaxBurst) << "a queue that stands presses nobody";
  EXPECT_GT(client_->asked, 0U);
  EXPECT_EQ(w->counters().get(Reason::syn_shed), 3U * client_->asked);
  EXPECT_EQ(w->io().syn_shed_share.get(), 250U);
}

TEST_F(SynLaneTest, APressedWorkerStillAnswersWhatSuchAPortLetsThrough) {
  constexpr unsigned kBursts = 2000;
  client_->queues = 2;
  client_->syn_queues = {1};
  client_->sheds = true;
  unsigned syn_looks = 0;
  const auto others = ack_flood(kBursts);
  client_->script = [&](std::uint16_t queue, rte_mbuf** out) -> std::uint16_t {
    if (queue != 1) return others(queue, out);
    if (syn_looks++ > kBursts) return 0;
    for (unsigned i = 0; i < kMaxBurst; ++i) out[i] = frame(true, syns_++);
    return kMaxBurst;
  };
  const auto w = worker();
  run(*w, kBursts * kMaxBurst);
  const auto syns = left().first;
  EXPECT_EQ(syns, syns_);
  EXPECT_GE(syns, kBursts / 20 * kMaxBurst) << "a burst to sixteen of the others";
}

TEST_F(SynLaneTest, APortIsToldWhetherToShed) {
  client_->queues = 2;
  client_->syn_queues = {1};
  client_->sheds = true;
  client_->told_to_shed = true;
  const auto w = worker(false);
  EXPECT_FALSE(client_->told_to_shed);
  w->start();
  tuning_.publish(
      {.engine = engine_tuning_, .loop = {.shed_syns = true, .idle_sleep_us = 0}, .lists = lists_});
  EXPECT_TRUE(eventually([&] { return client_->told_to_shed.load(); }));
  w->stop();
}

TEST_F(SynLaneTest, AtAFullQueueSegmentsAreAllProcessedSynsAreShedAndEachHasOneFate) {
  constexpr unsigned kBursts = 2000;
  client_->script = flood(kBursts);
  const auto w = worker();
  run(*w, kBursts * kMaxBurst);
  const auto [syns, others] = left();
  EXPECT_EQ(others, kBursts);
  const std::uint64_t shed = w->counters().get(Reason::syn_shed);
  EXPECT_GT(shed, kBursts * 31U / 2) << "of " << syns_;
  EXPECT_GT(syns, SynLane::kSlots) << "some are always answered";
  EXPECT_EQ(syns + shed, syns_);
  EXPECT_EQ(w->counters().get(Reason::forwarded) + shed, w->io().rx_packets[0].get());
  std::uint32_t last = 0;
  for (const auto& f : server_->sent) {
    if (f.syn) continue;
    ASSERT_EQ(f.seq, last++) << "segments keep their order";
  }
}

TEST_F(SynLaneTest, AcksOfNoConnectionAreShedWhereTheyAreTooManyAndSegmentsAreNot) {
  constexpr unsigned kBursts = 4000;
  engine_tuning_.early_window = tests::engine_stub::kAcksAreStateless;
  client_->script = ack_flood(kBursts);
  const auto w = worker();
  run(*w, kBursts * kMaxBurst);
  const std::uint64_t shed = w->counters().get(Reason::ack_shed);
  EXPECT_GT(shed, 0U);
  EXPECT_EQ(w->counters().get(Reason::forwarded) + shed, kBursts * kMaxBurst);
  std::uint32_t segments = 0;
  for (const auto& f : server_->sent) segments += f.seq % kMaxBurst == 16 ? 1 : 0;
  EXPECT_EQ(segments, kBursts);
}

TEST_F(SynLaneTest, WhatAListForbidsTakesNoPlaceInTheLane) {
  constexpr unsigned kBursts = 2000;
  const SourceLists lists;
  lists_ = &lists;
  client_->script = flood(kBursts);
  const auto w = worker();
  run(*w, kBursts * kMaxBurst);
  const std::uint64_t denied = w->counters().get(Reason::denied);
  const std::uint64_t shed = w->counters().get(Reason::syn_shed);
  // Every second SYN, once the worker was pressed.
  EXPECT_GT(denied, syns_ / 3U);
  EXPECT_LE(denied, syns_ / 2U);
  const auto [syns, others] = left();
  EXPECT_EQ(others, kBursts);
  EXPECT_EQ(syns + shed + denied, syns_);
}

TEST_F(SynLaneTest, AWorkerTellsWhichTuningItUses) {
  client_->script = flood(1);
  const auto w = worker();
  const auto first = w->heeded();
  EXPECT_NE(first, Published<WorkerTuning>::kNone);
  run(*w, kMaxBurst);
  EXPECT_EQ(w->heeded(), first);
  const auto second = tuning_.publish(WorkerTuning{});
  EXPECT_GT(second, first);
  w->start();  // without a frame
  EXPECT_TRUE(eventually([&] { return w->heeded() == second; }));
  w->stop();
}

TEST_F(SynLaneTest, SwitchedOffNoAcksAreShed) {
  engine_tuning_.early_window = tests::engine_stub::kAcksAreStateless;
  client_->script = ack_flood(2000);
  const auto w = worker(false);
  run(*w, 2000 * kMaxBurst);
  EXPECT_EQ(w->counters().get(Reason::ack_shed), 0U);
}

// Segments of connections alone are no reason to shed anything.
TEST_F(SynLaneTest, AcksOfConnectionsAreNeverShed) {
  client_->script = ack_flood(2000);
  const auto w = worker();
  run(*w, 2000 * kMaxBurst);
  EXPECT_EQ(w->counters().get(Reason::ack_shed), 0U);
}

TEST_F(SynLaneTest, SegmentsDoNotWaitForTheSynsBeforeThem) {
  client_->script = flood(200);
  const auto w = worker();
  run(*w, 200 * kMaxBurst);
  // Once the queue was seen to stand, the segments of a turn leave together.
  unsigned together = 0;
  for (std::size_t i = 1; i < server_->sent.size(); ++i) {
    together += !server_->sent[i].syn && !server_->sent[i - 1].syn ? 1 : 0;
  }
  EXPECT_GT(together, 150U);
}

TEST_F(SynLaneTest, SwitchedOffItShedsNothing) {
  client_->script = flood(500);
  const auto w = worker(false);
  run(*w, 500 * kMaxBurst);
  EXPECT_EQ(w->counters().get(Reason::syn_shed), 0U);
  EXPECT_EQ(server_->sent.size(), 500 * kMaxBurst);
}

TEST_F(SynLaneTest, SynsToWhatIsNotProtectedPassWhateverHappens) {
  unsigned turn = 0;
  client_->script = [&](std::uint16_t, rte_mbuf** out) {
    if (turn == 500) return std::uint16_t{0};
    ++turn;
    for (unsigned i = 0; i < kMaxBurst; ++i) out[i] = frame(true, syns_++, 81);
    return static_cast<std::uint16_t>(kMaxBurst);
  };
  const auto w = worker();
  run(*w, 500 * kMaxBurst);
  EXPECT_EQ(w->counters().get(Reason::syn_shed), 0U);
  EXPECT_EQ(server_->sent.size(), 500 * kMaxBurst);
}

// If less arrives than a worker can take, its queue runs empty now and then: nothing is shed, and
// nothing waits.
TEST_F(SynLaneTest, BurstsThatTheQueueOutlivesAreAllAnswered) {
  constexpr unsigned kRounds = 200;
  unsigned turn = 0;
  client_->script = [&](std::uint16_t, rte_mbuf** out) {
    if (turn >= kRounds * 8) return std::uint16_t{0};
    if (turn++ % 8 == 7) return std::uint16_t{0};
    for (unsigned i = 0; i < kMaxBurst; ++i) out[i] = frame(true, syns_++);
    return static_cast<std::uint16_t>(kMaxBurst);
  };
  const auto w = worker();
  run(*w, kRounds * 7 * kMaxBurst);
  EXPECT_EQ(w->counters().get(Reason::syn_shed), 0U);
  EXPECT_EQ(server_->sent.size(), kRounds * 7 * kMaxBurst);
  for (std::uint32_t i = 0; i < server_->sent.size(); ++i) ASSERT_EQ(server_->sent[i].seq, i);
}

TEST_F(SynLaneTest, SharesAreWholeAgainAfterTheFlood) {
  client_->script = flood(2000);
  const auto w = worker();
  w->start();
  EXPECT_TRUE(eventually([&] { return w->counters().get(Reason::syn_shed) > 0; }));
  EXPECT_TRUE(eventually([&] {
    return w->io().rx_packets[0].get() == 2000 * kMaxBurst && w->io().syn_shed_share.get() == 0;
  }));
  w->stop();
}

// While the worker is pressed, it takes the server's frames as fast as the client's.
TEST_F(SynLaneTest, ServersQueueIsDrainedToo) {
  client_->script = flood(1000);
  std::uint32_t from_server = 0;
  server_->script = [&](std::uint16_t, rte_mbuf** out) {
    if (from_server == 20'000) return std::uint16_t{0};
    for (unsigned i = 0; i < kMaxBurst; ++i) out[i] = frame(false, from_server++);
    return static_cast<std::uint16_t>(kMaxBurst);
  };
  const auto w = worker();
  w->start();
  // At the end, more of one side's frames than of the other's are left only if that side starved.
  EXPECT_TRUE(eventually([&] { return w->io().rx_packets[1].get() == 20'000; }));
  EXPECT_TRUE(eventually([&] { return w->io().rx_packets[0].get() == 1000 * kMaxBurst; }));
  w->stop();
  EXPECT_EQ(client_->sent.size(), 20'000U);
}

TEST_F(SynLaneTest, QueueOfSynsIsPolledAfterTheOthersWithinABudget) {
  client_->queues = 2;
  client_->syn_queues = {0};
  struct Poll {
    std::uint16_t queue;
    std::size_t sent_before;
  };
  std::vector<Poll> polls;
  unsigned segments = 0;
  client_->script = [&](std::uint16_t queue, rte_mbuf** out) {
    if (polls.size() < 20'000) polls.push_back({queue, server_->sent.size()});
    if (queue == 1) {  // one segment for each look
      if (segments == 2000) return std::uint16_t{0};
      out[0] = frame(false, segments++);
      return std::uint16_t{1};
    }
    if (syns_ >= 60'000) return std::uint16_t{0};
    for (unsigned i = 0; i < kMaxBurst; ++i) out[i] = frame(true, syns_++);
    return static_cast<std::uint16_t>(kMaxBurst);
  };
  const auto w = worker();
  w->start();
  EXPECT_TRUE(eventually([&] { return w->io().rx_packets[0].get() >= 62'000; }));
  w->stop();
  const auto [syns, others] = left();
  EXPECT_EQ(others, 2000U);
  EXPECT_EQ(syns + w->counters().get(Reason::syn_shed), syns_);
  EXPECT_GT(w->counters().get(Reason::syn_shed), 0U);
  ASSERT_EQ(polls[0].queue, 1) << "the others first";
  std::map<unsigned, unsigned> runs;  // length of a run of polls of the SYN queue -> how often
  unsigned length = 0;
  for (const Poll& p : polls) {
    if (p.queue == 0) {
      ++length;
    } else if (length != 0) {
      ++runs[length];
      length = 0;
    }
  }
  EXPECT_LE(runs.rbegin()->first, 4U) << "bursts of SYNs between two looks at the others";
}

// Both queues are full for as long as the flood lasts.
TEST_F(SynLaneTest, UnderLoadOfBothQueuesSegmentsAreServedFirstAndEveryOne) {
  constexpr unsigned kBursts = 1600;
  client_->queues = 2;
  client_->syn_queues = {1};
  unsigned bursts = 0;
  std::uint32_t segments = 0;
  unsigned syn_polls = 0;  // since the last look at the other queue
  unsigned most_syn_polls = 0;
  client_->script = [&](std::uint16_t queue, rte_mbuf** out) {
    if (queue == 1) {
      if (bursts == kBursts) return std::uint16_t{0};
      most_syn_polls = std::max(most_syn_polls, ++syn_polls);
      for (unsigned i = 0; i < kMaxBurst; ++i) out[i] = frame(true, syns_++);
      return static_cast<std::uint16_t>(kMaxBurst);
    }
    syn_polls = 0;
    if (bursts == kBursts) return std::uint16_t{0};
    ++bursts;
    for (unsigned i = 0; i < kMaxBurst; ++i) out[i] = frame(false, segments++);
    return static_cast<std::uint16_t>(kMaxBurst);
  };
  const auto w = worker();
  w->start();
  EXPECT_TRUE(eventually([&] { return w->counters().get(Reason::syn_shed) > 0; }));
  EXPECT_TRUE(eventually([&] {
    return w->io().rx_packets[0].get() >= kBursts * kMaxBurst && w->io().syn_shed_share.get() == 0;
  }));
  w->stop();
  const auto [syns, others] = left();
  EXPECT_EQ(others, kBursts * kMaxBurst);
  EXPECT_EQ(syns + w->counters().get(Reason::syn_shed), syns_);
  EXPECT_LE(most_syn_polls, 4U) << "bursts of SYNs between two looks at the others";
  std::uint32_t next = 0;
  unsigned before_the_last = 0;  // SYNs that left before the last segment
  for (const auto& f : server_->sent) {
    if (next == segments) break;
    if (!f.syn) {
      ASSERT_EQ(f.seq, next++) << "segments keep their order";
    }
    before_the_last += f.syn ? 1 : 0;
  }
  // One burst of each until the worker notices, then 8 SYNs after 16 bursts of segments.
  EXPECT_LE(before_the_last, (SynLane::kStandingPolls + 1) * kMaxBurst + 8 * (kBursts / 16 + 1));
}

TEST_F(SynLaneTest, BehindIsWhoLeavesSomethingUnreadInMostTurns) {
  Counters counters;
  IoCounters io;
  SynLane lane(true, 1, protect_, {1, 2, 3, 4}, counters, io);
  EXPECT_FALSE(lane.behind());
  for (const bool unread : {true, false, true, false}) lane.turn_ended(unread);
  EXPECT_FALSE(lane.behind());
  lane.turn_ended(true);
  EXPECT_TRUE(lane.behind());
  lane.tick(1, 0);
  EXPECT_FALSE(lane.behind()) << "of each millisecond anew";
}

TEST_F(SynLaneTest, SwitchedOffWhilePressedItStillGivesWhatWaits) {
  Counters counters;
  IoCounters io;
  SynLane lane(true, 1, protect_, {1, 2, 3, 4}, counters, io);
  const auto press = [&] {
    for (unsigned i = 0; i < SynLane::kStandingPolls; ++i) lane.polled(0, kMaxBurst);
    return lane.pressed();
  };
  EXPECT_TRUE(press());
  rte_mbuf* syn = frame(true, 1);
  lane.keep(&syn, 1);
  lane.enable(false);
  EXPECT_FALSE(lane.pressed());
  lane.tick(1, 0);
  EXPECT_FALSE(press());
  rte_mbuf* taken = nullptr;
  EXPECT_EQ(lane.take(&taken, 1), 1);
  EXPECT_EQ(taken, syn);
  rte_pktmbuf_free(taken);
  lane.enable(true);
  EXPECT_TRUE(press());
}

TEST_F(SynLaneTest, SwitchedOffInAFloodItAnswersEachSynThatComesAfterwards) {
  client_->script = flood(2000);
  const auto w = worker();
  w->start();
  EXPECT_TRUE(eventually([&] { return w->counters().get(Reason::syn_shed) > 0; }));
  tuning_.publish({.engine = {}, .loop = {.shed_syns = false, .idle_sleep_us = 0}});
  EXPECT_TRUE(eventually([&] { return w->io().rx_packets[0].get() == 2000 * kMaxBurst; }));
  w->stop();
  EXPECT_EQ(w->io().syn_shed_share.get(), 0U);
  const auto [syns, others] = left();
  EXPECT_EQ(others, 2000U);
  EXPECT_EQ(syns + w->counters().get(Reason::syn_shed), syns_);
}

// A SYN filter (dataplane/syn_rules.h) brings every segment with SYN, answers to a server's own
// connections too: no flood of SYNs costs one of them, once they are in memory.
TEST_F(SynLaneTest, SynAcksInAQueueOfSynsAreNotShed) {
  client_->queues = 2;
  client_->syn_queues = {1};
  std::uint32_t syn_acks = 0;
  client_->script = [&](std::uint16_t queue, rte_mbuf** out) {
    if (queue == 0 || syns_ >= 60'000) return std::uint16_t{0};
    for (unsigned i = 0; i < kMaxBurst; ++i) {
      out[i] = i == 7 ? frame_with(kSyn | kAck, syn_acks++) : frame(true, syns_++);
    }
    return static_cast<std::uint16_t>(kMaxBurst);
  };
  const auto w = worker();
  run(*w, 60'000 / 31 * 32);
  const auto [syns, others] = left();
  EXPECT_EQ(others, syn_acks);
  EXPECT_GT(w->counters().get(Reason::syn_shed), 0U);
  EXPECT_EQ(syns + w->counters().get(Reason::syn_shed), syns_);
}

// The device may put a SYN into any queue: the tuple decides who answers.
TEST_F(SynLaneTest, SynsInTheQueueOfAnotherWorkerAreHandedOver) {
  const RssOwner by_rss(0x1b5b, 2, 2);
  rss_ = &by_rss;
  client_->queues = 4;
  client_->syn_queues = {2, 3};
  unsigned polls = 0;
  client_->script = [&](std::uint16_t queue, rte_mbuf** out) {
    if (queue != 2 || syns_ == 640 || ++polls % 2 == 0) return std::uint16_t{0};
    for (unsigned i = 0; i < kMaxBurst; ++i) out[i] = frame(true, syns_++);
    return static_cast<std::uint16_t>(kMaxBurst);
  };
  const auto first = worker(true, 0, 2);
  run(*first, 640);
  const std::uint64_t handed_over = first->io().handed_over.get();
  EXPECT_GT(handed_over, 200U);
  EXPECT_EQ(server_->sent.size() + handed_over, 640U);
  const auto second = worker(true, 1, 2);
  second->start();
  EXPECT_TRUE(eventually([&] { return !hand_over_->anything_for(1); }));
  second->stop();
  EXPECT_EQ(second->io().handed_over.get(), 0U);
  EXPECT_EQ(left().first, 640U);
}

TEST_F(SynLaneTest, SourcesAreServedInOrderAndSharedAmongWorkers) {
  client_->queues = 3;
  client_->syn_queues = {2};
  const PerPort<const Port*> ports{{client_.get(), server_.get()}};
  const auto alone = sources_of(0, 1, ports);
  ASSERT_EQ(alone.size(), 4U);
  EXPECT_EQ(alone[0].port, PortId::kServer);
  EXPECT_EQ(alone[1].queue, 0);
  EXPECT_EQ(alone[2].queue, 1);
  EXPECT_EQ(alone[3].kind, Source::Kind::kSynQueue);
  std::map<std::pair<PortId, std::uint16_t>, unsigned> polled;
  for (unsigned w = 0; w < 2; ++w) {
    unsigned rings = 0;
    for (const Source& s : sources_of(w, 2, ports)) {
      if (s.kind == Source::Kind::kRing) {
        ++rings;
      } else {
        ++polled[{s.port, s.queue}];
      }
    }
    EXPECT_EQ(rings, 2U);
  }
  EXPECT_EQ(polled.size(), 4U);
  for (const auto& [queue, times] : polled) EXPECT_EQ(times, 1U);
}

// A worker whose hand-over ring stands sorts those frames too.
TEST_F(SynLaneTest, RingOfTheOtherWorkersIsSortedToo) {
  const auto w = worker(true, 1, 2);
  for (std::uint32_t i = 0; i < 1000; ++i) {
    rte_mbuf* m = frame(i % 32 != 0, i);
    ASSERT_EQ(hand_over_->give(1, Role::kClient, &m, 1), 1);
  }
  w->start();
  EXPECT_TRUE(eventually([&] { return !hand_over_->anything_for(1); }));
  w->stop();
  const auto [syns, others] = left();
  EXPECT_EQ(others, 32U);
  EXPECT_EQ(syns + w->counters().get(Reason::syn_shed), 968U);
  // If a segment overtook a SYN, the lane was in use.
  std::uint32_t last = 0;
  bool overtaken = false;
  for (const auto& f : server_->sent) {
    overtaken = overtaken || f.seq < last;
    last = f.seq;
  }
  EXPECT_TRUE(overtaken);
}

TEST(ShedNotice, SaysWhenSheddingBeginsAndWhenItIsOver) {
  ShedNotice notice;
  EXPECT_FALSE(notice.look(0));
  const auto begins = notice.look(10);
  ASSERT_TRUE(begins);
  EXPECT_NE(begins->find("syn_shed"), std::string::npos);
  EXPECT_FALSE(notice.look(20)) << "said once";
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(notice.look(20)) << i;
  EXPECT_FALSE(notice.look(21)) << "a flood that comes in waves is one flood";
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(notice.look(21)) << i;
  const auto over = notice.look(21);
  ASSERT_TRUE(over);
  EXPECT_NE(over->find(" 21 "), std::string::npos) << *over;
  EXPECT_FALSE(notice.look(21));
  EXPECT_TRUE(notice.look(25));
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(notice.look(25));
  EXPECT_NE(notice.look(25)->find(" 4 "), std::string::npos) << "of this flood";
}

}  // namespace
}  // namespace synproxy::dataplane
