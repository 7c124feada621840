// SPDX-License-Identifier: BSD-3-Clause
// Connections that the kernel carries (--flow-offload): what leaves is the same as without it, and
// the engine knows as much.
#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "support/rounds.h"
#include "support/session.h"

namespace synproxy::test {
namespace {

HarnessOptions with_kernel(std::uint32_t bytes = 1) {
  HarnessOptions o;
  o.offload = OffloadBulk{.bytes = bytes, .ms = 250, .long_segment = 1, .least = 1};
  return o;
}

class Offload : public ::testing::Test {
 protected:
  // The connection is spliced, and both ends have spoken.
  void open() {
    s.open();
    s.client_sends("GET / HTTP/1.1\r\n\r\n");
    s.server_sends("HTTP/1.1 200 OK\r\n\r\n");
  }
  [[nodiscard]] std::uint64_t offloaded() {
    proxy.advance(1);
    return proxy.count(Reason::segment_offloaded);
  }
  [[nodiscard]] FlowRecord record() { return proxy.record(s.client().build()).value(); }

  ProxyHarness proxy{with_kernel()};
  Session s{proxy};
};

TEST_F(Offload, BeginsOnceAConnectionHasBroughtMuch) {
  ProxyHarness slow(with_kernel(5'000));
  Session t(slow);
  t.open();
  t.client_sends(std::string(2'000, 'x'));
  t.server_sends(std::string(2'000, 'x'));
  EXPECT_EQ(slow.count(Reason::flow_offloaded), 0U);
  t.server_sends(std::string(1'000, 'x'));
  EXPECT_EQ(slow.count(Reason::flow_offloaded), 1U);
  EXPECT_EQ(slow.kernel().carried(), 0U);
  t.server_sends("the kernel's first");
  EXPECT_EQ(slow.kernel().carried(), 1U);
  slow.advance(1);
  EXPECT_EQ(slow.count(Reason::segment_offloaded), 1U);
  EXPECT_EQ(slow.counters().flows_offloaded.get(), 1U);
}

TEST_F(Offload, DoesNotBeginForWhatTricklesIn) {
  ProxyHarness slow(with_kernel(5'000));
  Session t(slow);
  t.open();
  for (int i = 0; i < 40; ++i) {
    t.server_sends(std::string(1'000, 'x'));
    slow.advance(100);
  }
  EXPECT_EQ(slow.count(Reason::flow_offloaded), 0U);
}

TEST_F(Offload, TheEngineLearnsWhatTheKernelHasCarried) {
  open();
  s.client_sends("more");
  s.server_sends("and more");
  const auto carried = proxy.kernel().carried();
  EXPECT_GE(carried, 2U);
  EXPECT_EQ(offloaded(), carried);
  const FlowRecord f = record();
  EXPECT_EQ(f.client_nxt, s.client_nxt);
  EXPECT_EQ(f.server_nxt, s.seen_by_client(s.server_nxt));
  EXPECT_EQ(f.acked_by_client(), s.seen_by_client(s.server_nxt) - 8);
  EXPECT_EQ(f.acked_by_server(), s.client_nxt);
  EXPECT_EQ(f.last_seen, proxy.now());
}

TEST_F(Offload, EndsWithTheFirstFin) {
  open();
  s.server_sends("carried");
  s.close();
  EXPECT_EQ(proxy.count(Reason::conn_finished), 1U);
  EXPECT_EQ(proxy.kernel().slots_in(OFFLOAD_CARRIED), 0U);
  proxy.advance(110);
  EXPECT_EQ(proxy.kernel().slots_in(OFFLOAD_FREE), OFFLOAD_SLOTS);
  EXPECT_EQ(proxy.kernel().shared().carried, 0U);
  EXPECT_EQ(proxy.counters().flows_offloaded.get(), 0U);
  proxy.expect_empty_after(120'000);
}

// The number that a RST must hit is known only to the kernel until then.
TEST_F(Offload, AResetAtTheExactNumberEndsIt) {
  open();
  s.client_sends("carried by the kernel");
  ASSERT_EQ(proxy.from_client(s.client(kRst).build()), Verdict::kForward);
  EXPECT_EQ(proxy.take_server().flags, kRst);
  EXPECT_EQ(proxy.count(Reason::conn_reset), 1U);
  EXPECT_EQ(proxy.kernel().slots_in(OFFLOAD_CARRIED), 0U);
}

TEST_F(Offload, AResetOutOfTheWindowChangesNothing) {
  open();
  s.client_nxt += 0x40000000;
  EXPECT_EQ(proxy.from_client(s.client(kRst).build()), Verdict::kDrop);
  s.client_nxt -= 0x40000000;
  EXPECT_EQ(proxy.kernel().slots_in(OFFLOAD_CARRIED), 1U);
  const auto before = proxy.kernel().carried();
  s.client_sends("goes on");
  EXPECT_EQ(proxy.kernel().carried(), before + 1);
}

TEST_F(Offload, IsTakenBackInSilence) {
  open();
  proxy.advance(2'100);
  EXPECT_EQ(proxy.kernel().slots_in(OFFLOAD_CARRIED), 0U);
  const auto before = proxy.kernel().carried();
  s.client_sends("by the engine");
  EXPECT_EQ(proxy.kernel().carried(), before);
}

TEST_F(Offload, IsTakenBackWhereItBringsLittle) {
  HarnessOptions o = with_kernel();
  o.offload->least = 10'000;
  ProxyHarness brief(o);
  Session t(brief);
  t.open();
  t.server_sends("x");
  for (int i = 0; i < 4; ++i) {
    for (int n = 0; n < 10; ++n) t.server_sends(std::string(1'000, 'x'));
    brief.advance(900);
  }
  EXPECT_EQ(brief.kernel().slots_in(OFFLOAD_CARRIED), 1U);
  t.server_sends(std::string(1'000, 'x'));
  brief.advance(2'100);
  EXPECT_EQ(brief.kernel().slots_in(OFFLOAD_CARRIED), 0U);
}

// What the process has received and not yet sent is not overtaken.
TEST_F(Offload, BeginsWhereEverythingBeforeHasPassed) {
  open();
  s.server_sends("carried");
  proxy.end_offloads();
  const auto before = proxy.kernel().carried();
  s.client_sends("begins again");
  // The server's next segment waits in the ring, as it were.
  const Bytes waits = s.server(kAck | kPsh).payload("first").build();
  s.server_nxt += 5;
  Bytes second = s.server(kAck | kPsh).payload("second").build();
  EXPECT_FALSE(proxy.kernel().carry(Role::kServer, second));
  ASSERT_EQ(proxy.from_server(waits), Verdict::kForward);
  ASSERT_EQ(proxy.from_server(second), Verdict::kForward);
  EXPECT_EQ(proxy.kernel().carried(), before + 2) << "with the first, nothing is left in the ring";
  proxy.to_client.clear();
}

TEST_F(Offload, AnEndThatNeverPausesBeginsAfterAWhile) {
  open();
  proxy.end_offloads();
  s.client_sends("begins again");
  s.server_nxt += 3'000;  // something is always ahead
  const Bytes ahead = s.server(kAck | kPsh).payload("x").build();
  const auto before = proxy.kernel().carried();
  ASSERT_EQ(proxy.from_server(ahead), Verdict::kForward);
  EXPECT_EQ(proxy.kernel().carried(), before);
  proxy.advance(31);
  ASSERT_EQ(proxy.from_server(ahead), Verdict::kForward);
  EXPECT_EQ(proxy.kernel().carried(), before + 1);
  proxy.to_client.clear();
}

// The client was promised more than its server takes.
TEST_F(Offload, WhatIsTooLongForTheServerIsCutByTheEngine) {
  Session t(proxy, {.client_port = 41'000, .server_mss = 1'300});
  t.open();
  t.client_sends("x");
  t.server_sends("y");
  const auto before = proxy.kernel().carried();
  t.client_sends(std::string(1'200, 'x'));
  EXPECT_EQ(proxy.kernel().carried(), before + 1);
  ASSERT_EQ(proxy.from_client(t.client().payload(Bytes(1'400, 'x')).build()), Verdict::kForward);
  EXPECT_EQ(proxy.kernel().carried(), before + 1);
  EXPECT_LE(proxy.take_server().payload.size(), 1'300U);
  proxy.to_server.clear();
  proxy.to_client.clear();
}

// Its idle time begins with the last segment, whoever has carried it.
TEST_F(Offload, ACarriedConnectionIsNotIdle) {
  HarnessOptions o = with_kernel();
  o.engine.tuning.idle_timeout_ms = 20'000;
  ProxyHarness brief(o);
  Session t(brief);
  t.open();
  t.server_sends("x");
  for (int i = 0; i < 100; ++i) {
    t.server_sends("carried");
    brief.advance(500);
  }
  EXPECT_GT(brief.count(Reason::segment_offloaded), 50U);
  EXPECT_EQ(brief.count(Reason::keepalive_probe), 0U);
  EXPECT_EQ(brief.flows(), 1U);
}

TEST_F(Offload, DuringACaptureTheKernelCarriesNothing) {
  open();
  proxy.allow_offloads(false);
  const auto before = proxy.kernel().carried();
  s.server_sends("seen");
  EXPECT_EQ(proxy.kernel().carried(), before);
  proxy.allow_offloads(true);
  proxy.advance(10);
  s.server_sends("begins again");
  s.server_sends("carried");
  EXPECT_EQ(proxy.kernel().carried(), before + 1);
}

TEST_F(Offload, ADeletedConnectionIsTakenBackAtTheNextTick) {
  open();
  const auto shown = proxy.shown();
  ASSERT_EQ(shown.size(), 1U);
  ASSERT_TRUE(proxy.delete_flow(shown[0]));
  EXPECT_EQ(proxy.take_client().flags & kRst, kRst);
  EXPECT_EQ(proxy.take_server().flags & kRst, kRst);
  proxy.advance(1);
  EXPECT_EQ(proxy.kernel().slots_in(OFFLOAD_CARRIED), 0U);
  proxy.expect_quiet();
}

TEST_F(Offload, NewRulesForPacketsTakeAllBack) {
  open();
  EngineTuning tuning = small_engine().tuning;
  tuning.min_ttl = 30;
  proxy.retune(tuning);
  EXPECT_EQ(proxy.kernel().slots_in(OFFLOAD_CARRIED), 0U);
  proxy.advance(10);
  s.server_sends("begins again");
  const auto before = proxy.kernel().carried();
  s.client_sends("carried");
  EXPECT_EQ(proxy.kernel().carried(), before + 1);
  // What has come too far is dropped still.
  s.o.client_path.ttl = 20;
  EXPECT_EQ(proxy.from_client(s.client().payload("x").build()), Verdict::kDrop);
  EXPECT_EQ(proxy.count(Reason::ttl_low), 1U);
}

// It proves that this connection lives on. What the server acknowledges does not.
TEST_F(Offload, OnlyNewDataOfTheClientTakesTheMarkOfASyn) {
  ProxyHarness without;
  for (ProxyHarness* p : {&proxy, &without}) {
    Session t(*p, {.client_port = 42'000});
    t.open();
    t.client_sends("GET / HTTP/1.1\r\n\r\n");
    t.server_sends("HTTP/1.1 200 OK\r\n\r\n");
    t.client_sends("more");
    // The second of two segments overtakes the first.
    const Bytes first = t.client(kAck | kPsh).payload("first").build();
    t.client_nxt += 5;
    const Bytes second = t.client(kAck | kPsh).payload("second").build();
    ASSERT_EQ(p->from_client(second), Verdict::kForward);
    ASSERT_EQ(p->from_client(first), Verdict::kForward);
    Session next(*p, {.client_port = 42'000, .client_isn = 77'000'000});
    next.syn();
    t.client_nxt += 6;
    ASSERT_EQ(p->from_server(t.server().build()), Verdict::kForward);
    p->advance(1);
    SCOPED_TRACE(p == &proxy ? "with a kernel" : "without");
    const FlowRecord f = p->record(t.client().build()).value();
    EXPECT_EQ(f.client_nxt, t.client_nxt);
    EXPECT_TRUE(f.has(kFlowMarked));
    p->to_server.clear();
    p->to_client.clear();
    t.client_sends("lives");
    p->advance(1);
    EXPECT_FALSE(p->record(t.client().build()).value().has(kFlowMarked));
  }
  EXPECT_GE(proxy.kernel().carried(), 5U);
}

TEST_F(Offload, AnotherConnectionOnTheSamePortsReplacesIt) {
  open();
  s.server_sends("carried");
  Session next(proxy, {.client_isn = 77'000'000, .server_isn = 0x1234});
  next.syn();
  ASSERT_EQ(proxy.from_client(next.ack_frame()), Verdict::kDrop);
  EXPECT_EQ(proxy.count(Reason::conn_reopened), 1U);
  EXPECT_EQ(proxy.kernel().slots_in(OFFLOAD_CARRIED), 0U);
  EXPECT_EQ(proxy.take_server().flags & kRst, kRst);
  EXPECT_EQ(proxy.take_server().flags & kSyn, kSyn);
}

TEST_F(Offload, MoreThanThereAreSlotsForGoThroughTheEngine) {
  HarnessOptions o = with_kernel();
  o.engine.shape.max_flows = 2 * OFFLOAD_SLOTS;
  ProxyHarness many(o);
  std::vector<Session> all;
  for (std::uint32_t i = 0; i < OFFLOAD_SLOTS + 200; ++i) {
    Session& t = all.emplace_back(
        many, SessionOptions{.client_port = static_cast<std::uint16_t>(1'024 + i)});
    t.open();
    t.server_sends("x");
  }
  const std::uint32_t carried = many.kernel().slots_in(OFFLOAD_CARRIED);
  EXPECT_GT(carried, OFFLOAD_SLOTS / 2);
  EXPECT_LE(carried, OFFLOAD_SLOTS);
  for (Session& t : all) t.server_sends("y");
  EXPECT_EQ(many.kernel().carried(), carried);
}

// --- The same segments with a kernel and without.

struct Ends {
  std::string name;
  SessionOptions options;
};

class Twins : public ::testing::TestWithParam<Ends> {
 protected:
  Twins() { with.checksums_must_be_good = without.checksums_must_be_good = false; }

  void both(Role from, const Bytes& frame) {
    const Verdict one = with.feed(from, frame);
    const Verdict other = without.feed(from, frame);
    // Who carries it may say other words for what is dropped.
    ASSERT_EQ(one, other);
    ASSERT_EQ(with.to_client, without.to_client);
    ASSERT_EQ(with.to_server, without.to_server);
    for (ProxyHarness* p : {&with, &without}) {
      p->to_client.clear();
      p->to_server.clear();
    }
  }
  void pass_time(std::uint64_t ms) {
    with.advance(ms);
    without.advance(ms);
    ASSERT_EQ(with.to_client, without.to_client);
    ASSERT_EQ(with.to_server, without.to_server);
  }
  void expect_same_record() {
    with.end_offloads();
    const auto a = with.record(current->client().build());
    const auto b = without.record(current->client().build());
    ASSERT_EQ(a.has_value(), b.has_value());
    if (!a) return;
    EXPECT_EQ(a->client_nxt, b->client_nxt);
    EXPECT_EQ(a->server_nxt, b->server_nxt);
    EXPECT_EQ(a->acked_by_client(), b->acked_by_client());
    EXPECT_EQ(a->acked_by_server(), b->acked_by_server());
    EXPECT_EQ(a->windows, b->windows);
    EXPECT_EQ(a->progress & ~kFlowRepeated, b->progress & ~kFlowRepeated);
  }

  ProxyHarness with{with_kernel()};
  ProxyHarness without;
  std::optional<Session> current;
  std::mt19937 dice{29};
  [[nodiscard]] std::uint32_t roll(std::uint32_t n) {
    return static_cast<std::uint32_t>(dice()) % n;
  }

  // A segment of one end, mostly as a stack sends it.
  [[nodiscard]] Bytes any_segment(bool client) {
    Session& s = *current;
    std::uint32_t& nxt = client ? s.client_nxt : s.server_nxt;
    const std::uint32_t kept = nxt;
    const std::uint32_t what = roll(40);
    if (what == 0) nxt -= roll(4'000);
    if (what == 1) nxt += roll(4'000);
    if (what == 2) nxt += roll(2) == 0 ? 0x40000000 : 0xc0000000;
    const auto flags = static_cast<std::uint16_t>(what == 3      ? kAck | kUrg
                                                  : roll(2) != 0 ? kAck | kPsh
                                                                 : kAck);
    std::uint32_t& peer = client ? s.server_nxt : s.client_nxt;
    const std::uint32_t peer_kept = peer;
    if (what == 4) peer += roll(100'000);
    if (what == 5) peer -= roll(100'000);
    if (what == 6) peer += 0x20000000;
    PacketBuilder b = client ? s.client(flags) : s.server(flags);
    peer = peer_kept;
    if (what == 7) b.sack({{1, 2}});
    if (what == 8) b.window(static_cast<std::uint16_t>(roll(65'536)));
    if (what == 9) b.ttl(static_cast<std::uint8_t>(roll(256)));
    if (what == 10) b.macs({2, 0, 0, 0, 9, 9}, client ? kServerMac : kClientMac);
    const std::size_t length = roll(3) == 0 ? 0 : roll(1'400);
    b.payload(Bytes(length, 0x5a));
    nxt = kept + (what > 2 ? static_cast<std::uint32_t>(length) : 0);
    (client ? s.client_ts : s.server_ts) += roll(3);
    Bytes frame = b.build();
    if (what == 11) frame[frame.size() - 1 - roll(20)] ^= 0x40;
    if (what == 12) frame.resize(frame.size() - roll(20));
    return frame;
  }
};

INSTANTIATE_TEST_SUITE_P(
    , Twins,
    ::testing::Values(Ends{"Usual", {}}, Ends{"Ipv6", {.ipv6 = true}},
                      Ends{"WithoutTimestamps", {.timestamps = false}},
                      Ends{"Ipv6WithoutTimestamps", {.ipv6 = true, .timestamps = false}},
                      Ends{"OtherScales", {.client_scale = 3, .server_scale = 11}},
                      Ends{"ServerWithoutScale", {.server_scale = std::nullopt}},
                      Ends{"ClientWithoutScale", {.client_scale = std::nullopt}},
                      Ends{"Tagged", {.tags = {{100}}}},
                      Ends{"ServerTimestampsWrap", {.server_ts = 0xfffffff0}}),
    [](const auto& row) { return row.param.name; });

TEST_P(Twins, LeaveTheSameAndKnowTheSame) {
  const int rounds = test::rounds(40);
  for (int round = 0; round < rounds; ++round) {
    SessionOptions o = GetParam().options;
    o.client_port = static_cast<std::uint16_t>(2'000 + round);
    Session(without, o).open();
    current.emplace(with, o).open();
    for (int i = 0; i < 300 && !HasFatalFailure(); ++i) {
      const bool client = roll(2) == 0;
      both(client ? Role::kClient : Role::kServer, any_segment(client));
      if (roll(20) == 0) pass_time(1 + roll(6));
      if (roll(60) == 0) expect_same_record();
    }
    ASSERT_FALSE(HasFatalFailure());
    expect_same_record();
  }
  const bool carries = GetParam().options.tags.empty();
  EXPECT_EQ(with.kernel().carried() > 25U * static_cast<unsigned>(rounds), carries)
      << with.kernel().carried();
}

}  // namespace
}  // namespace synproxy::test
