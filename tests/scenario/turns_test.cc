// SPDX-License-Identifier: BSD-3-Clause
// Turns of several workers at one service.
#include <gtest/gtest.h>

#include <vector>

#include "flows/turns.h"
#include "synproxy/cookie/key_ring.h"

namespace synproxy {
namespace {

constexpr ServerPlaces::Key kKey{0x243f6a8885a308d3ULL, 0x13198a2e03707344ULL,
                                 0xa4093822299f31d0ULL, 0x082efa98ec4e6c89ULL};

EngineConfig config(std::uint32_t bound) {
  EngineConfig c;
  c.shape.max_flows = 256;
  c.tuning.limits.backlog = {.connections = bound, .learned = bound == 0, .mask = {}};
  return c;
}

class Worker {
 public:
  Worker(ServerPlaces& places, std::uint32_t bound)
      : now_(config(bound), ring_),
        named_(protect_, counters_, config(bound).tuning),
        turns(config(bound), now_, named_, kKey),
        flows_(256) {
    now_.begin(1000);
    turns.share(places);
  }
  // All come from one source, each from a port of its own.
  Turns::Turn arrive(std::uint32_t n) {
    FlowKey key;
    key.client = {198, 51, 100, 7};
    key.server = {203, 0, 113, 10};
    key.server_port = 80;
    flows_[n].become_handshake({});
    const Turns::Turn turn = turns.arrive(n, key, key.client.data(), false);
    turn == Turns::Turn::kWaits ? flows_[n].set(kFlowWaits) : asking.push_back(n);
    return turn;
  }
  void run(bool tick) {
    turns.run(tick, [&](FlowIndex i) {
      flows_[i].clear(kFlowWaits);
      asking.push_back(i);
    });
  }
  // The server answers the one that was asked first.
  void answered() {
    ASSERT_FALSE(asking.empty());
    const FlowIndex i = asking.front();
    asking.erase(asking.begin());
    turns.moves(flows_[i], i, FlowState::kEstablished);
    flows_[i].become_spliced(FlowState::kEstablished, {});
    ++served;
    run(false);
  }
  std::vector<FlowIndex> asking;
  unsigned served = 0;

 private:
  KeyRing ring_;
  Moment now_;

  ProtectSet protect_{{}};
  Counters counters_;
  NamedServices named_;

 public:
  Turns turns;

 private:
  std::vector<FlowRecord> flows_;
};

struct Two {
  explicit Two(std::uint32_t bound) : a(places, bound), b(places, bound) {}
  ServerPlaces places{kKey};
  Worker a;
  Worker b;
};

TEST(Turns, AllWorkersTogetherTakeNoMoreThanTheBound) {
  Two two(8);
  for (std::uint32_t n = 0; n < 100; ++n) {
    static_cast<void>(two.a.arrive(n));
    static_cast<void>(two.b.arrive(n));
  }
  for (unsigned n = 0; n < 180; ++n) {
    EXPECT_LE(two.a.asking.size() + two.b.asking.size(), 8U);
    Worker& w = two.a.asking.empty() || (n % 3 == 0 && !two.b.asking.empty()) ? two.b : two.a;
    w.answered();
    two.a.run(true);
    two.b.run(true);
  }
  EXPECT_EQ(two.a.served + two.b.served, 180U);
}

TEST(Turns, AWorkerWhosePlacesComeFreeDoesNotKeepTheOtherFromAny) {
  Two two(8);
  for (std::uint32_t n = 0; n < 100; ++n) static_cast<void>(two.a.arrive(n));
  for (std::uint32_t n = 0; n < 20; ++n) static_cast<void>(two.b.arrive(n));
  EXPECT_EQ(two.a.asking.size(), 8U);
  for (unsigned n = 0; n < 40; ++n) {
    two.a.answered();
    two.b.run(true);
    two.a.run(true);
    if (!two.b.asking.empty()) two.b.answered();
  }
  EXPECT_EQ(two.b.served, 20U);
  EXPECT_EQ(two.a.asking.size(), 8U) << "all are its own again";
}

TEST(Turns, WorkersShareEvenASinglePlace) {
  Two two(1);
  for (std::uint32_t n = 0; n < 50; ++n) {
    static_cast<void>(two.a.arrive(n));
    static_cast<void>(two.b.arrive(n));
  }
  for (unsigned n = 0; n < 60; ++n) {
    ASSERT_EQ(two.a.asking.size() + two.b.asking.size(), 1U);
    // Whoever has not had it looks first, as ticks alternate.
    if (!two.a.asking.empty()) {
      two.a.answered();
      two.b.run(true);
      two.a.run(true);
    } else {
      two.b.answered();
      two.a.run(true);
      two.b.run(true);
    }
  }
  EXPECT_EQ(two.a.served, 30U);
  EXPECT_EQ(two.b.served, 30U);
}

TEST(Turns, AnswersRaiseALearnedBoundWhileItIsInUse) {
  ServerPlaces places(kKey);
  Worker w(places, 0);
  for (std::uint32_t n = 0; n < 250; ++n) static_cast<void>(w.arrive(n));
  EXPECT_EQ(w.asking.size(), ServerPlaces::kFirstBound);
  for (std::uint32_t n = 0; n < ServerPlaces::kFirstBound; ++n) w.answered();
  while (!w.asking.empty()) w.answered();
  Worker next(places, 0);
  for (std::uint32_t n = 0; n < 250; ++n) static_cast<void>(next.arrive(n));
  EXPECT_EQ(next.asking.size(), ServerPlaces::kFirstBound + 1);
}

}  // namespace
}  // namespace synproxy
