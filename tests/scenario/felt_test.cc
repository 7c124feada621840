// SPDX-License-Identifier: BSD-3-Clause
// What proven clients wait for is measured: the round trip of the handshake, the SYNs that they had
// to send again, and the server's first byte.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "support/session.h"

namespace synproxy::test {
namespace {

std::uint64_t count(const FeltTimes& times) {
  std::uint64_t n = 0;
  for (const Counter& range : times.ranges) n += range.get();
  return n;
}

// Times measured, and their sum.
using Measured = std::array<std::uint64_t, 2>;
Measured measured(const FeltTimes& times) { return {count(times), times.sum_ms.get()}; }

class FeltTest : public testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  [[nodiscard]] SessionOptions session(std::uint16_t port = 40'000) const {
    SessionOptions o;
    o.ipv6 = std::get<0>(GetParam());
    o.timestamps = std::get<1>(GetParam());
    o.client_port = port;
    return o;
  }
  [[nodiscard]] static const Felt& all(const ProxyHarness& p) { return p.counters().felt.all; }
};

INSTANTIATE_TEST_SUITE_P(Family, FeltTest, testing::Combine(testing::Bool(), testing::Bool()),
                         [](const auto& row) {
                           return std::string(std::get<0>(row.param) ? "IPv6" : "IPv4") +
                                  (std::get<1>(row.param) ? "Timestamps" : "Plain");
                         });

TEST_P(FeltTest, FromSynAckToValidAckAndFromThereToTheFirstByte) {
  ProxyHarness p;
  Session s(p, session());
  s.syn();
  p.advance(47);
  s.ack();
  EXPECT_EQ(measured(all(p).handshake), (Measured{1, 47}));
  EXPECT_EQ(all(p).handshake.ranges[felt_range(47)].get(), 1U);
  p.advance(3);
  s.syn_ack();
  s.client_sends("GET / HTTP/1.1\r\n\r\n");
  p.advance(20);
  p.from_server(s.server().build());  // acknowledges the request; no byte yet
  EXPECT_EQ(measured(all(p).first_byte), (Measured{0, 0}));
  p.advance(100);
  p.to_client.clear();
  s.server_sends("HTTP/1.1 200 OK\r\n");
  EXPECT_EQ(measured(all(p).first_byte), (Measured{1, 123}));
  for (int i = 0; i < 10; ++i) s.server_sends("more");
  EXPECT_EQ(measured(all(p).first_byte), (Measured{1, 123})) << "it is the first byte alone";
  EXPECT_EQ(all(p).syn_repeats.get(), 0U);
  s.close();
}

TEST_P(FeltTest, ASynThatCameAgainIsCountedAndTheWaitBeginsWithTheFirst) {
  ProxyHarness p;
  Session s(p, session());
  s.syn();
  for (const std::uint64_t wait : {1000U, 2000U}) {
    p.advance(wait);
    EXPECT_EQ(p.from_client(s.syn_frame()), Verdict::kReply);
    p.from_client(s.syn_frame());  // a copy that the path has made
  }
  EXPECT_EQ(p.count(Reason::syn_repeated), 4U);
  p.to_client.clear();
  p.advance(30);
  s.ack();
  EXPECT_EQ(measured(all(p).handshake), (Measured{1, 3030}));
  EXPECT_EQ(all(p).syn_repeats.get(), 4U);
}

TEST_P(FeltTest, OnlyWhoProvesHimselfIsMeasured) {
  ProxyHarness p;
  for (std::uint16_t i = 0; i < 50; ++i) {
    Session s(p, session(static_cast<std::uint16_t>(1000 + i)));
    s.syn();
    Session forger(p, s.o);
    forger.cookie = s.cookie + 2;
    forger.client_nxt = s.o.client_isn + 1;
    forger.our_tsval = s.our_tsval;
    p.from_client(forger.client().build());
  }
  p.to_client.clear();
  EXPECT_EQ(p.count(Reason::cookie_invalid), 50U);
  EXPECT_EQ(measured(all(p).handshake), (Measured{0, 0}));
}

TEST_P(FeltTest, ServicesAreCountedApart) {
  HarnessOptions h;
  h.protect = {"203.0.113.10", "[2001:db8::10]:1-65535"};
  ProxyHarness p(h);
  const auto visit = [&](std::uint16_t client, std::uint16_t port, std::uint64_t ms) {
    SessionOptions o = session(client);
    o.server_port = port;
    if (port == 443) o.tags = {{7, 0x8100}};
    Session s(p, o);
    s.syn();
    p.advance(ms);
    s.ack();
    s.syn_ack();
    s.server_sends("220");
  };
  // The first connection of a service is counted before the server has accepted it.
  for (std::uint16_t i = 0; i < 3; ++i) {
    visit(static_cast<std::uint16_t>(1000 + i), 80, 10);
    visit(static_cast<std::uint16_t>(2000 + i), 443, 400);
  }
  const FeltCounters& felt = p.counters().felt;
  EXPECT_EQ(measured(felt.all.handshake), (Measured{6, 1230}));
  EXPECT_EQ(measured(felt.other.handshake), (Measured{2, 410}));
  EXPECT_EQ(measured(felt.services[0].felt.handshake), (Measured{2, 20}));
  EXPECT_EQ(measured(felt.services[1].felt.handshake), (Measured{2, 800}));
  EXPECT_EQ(measured(felt.services[1].felt.first_byte), (Measured{3, 0}));
  const bool ipv6 = std::get<0>(GetParam());
  EXPECT_EQ(felt.services[0].name[2].get(), 80U | (ipv6 ? FeltService::kIpv6 : 0));
  EXPECT_EQ(felt.services[1].name[2].get() & 0xffffU, 443U);
  EXPECT_EQ(felt.services[1].name[2].get() >> 32 & 0xfffU, 7U);
  EXPECT_EQ(felt.services[2].version.load(), 0U) << "a free place";
}

TEST_P(FeltTest, AServerThatClosesWithoutAByteHasSaidNone) {
  ProxyHarness p;
  Session s(p, session());
  s.open();
  p.advance(5);
  s.close(true);
  EXPECT_EQ(p.count(Reason::conn_finished), 1U) << "the bit of the record is gone";
  EXPECT_EQ(measured(all(p).first_byte), (Measured{0, 0}));
}

TEST_P(FeltTest, AFirstByteThatWasOvertakenCountsWhenTheClientHasGotIt) {
  ProxyHarness p;
  Session s(p, session());
  s.open();
  p.advance(5);
  s.server_nxt += 5;
  p.from_server(s.server(kAck | kPsh).payload("behind the gap").build());
  EXPECT_EQ(measured(all(p).first_byte), (Measured{0, 0}));
  s.server_nxt -= 5;
  p.to_client.clear();
  p.advance(40);
  p.from_server(s.server(kAck | kPsh).payload("first").build());
  EXPECT_EQ(measured(all(p).first_byte), (Measured{1, 45}));
  p.to_client.clear();
}

TEST_P(FeltTest, AConnectionThatIsOnlyWatchedIsMeasuredToo) {
  HarnessOptions h;
  h.engine.tuning.mode = Mode::kOff;
  ProxyHarness p(h);
  Session s(p, session());
  p.from_client(s.syn_frame());
  p.advance(2);
  p.from_server(s.syn_ack_frame());
  p.advance(60);
  s.untranslated();
  p.from_client(s.ack_frame());
  EXPECT_EQ(measured(all(p).handshake), (Measured{1, 60}));
  p.advance(8);
  p.from_server(s.server(kAck | kPsh).payload("220").build());
  EXPECT_EQ(measured(all(p).first_byte), (Measured{1, 8}));
  p.to_client.clear();
  p.to_server.clear();
}

TEST_P(FeltTest, InAFloodOneClientInSoManyIsMeasuredAndCorrectly) {
  ProxyHarness p;
  std::uint64_t opened = 0;
  SessionOptions forged = session();
  for (std::uint32_t ms = 0; ms < 100; ++ms) {
    std::vector<Bytes> burst;
    for (std::uint16_t i = 0; i < 100; ++i) {
      forged.client_port = static_cast<std::uint16_t>(1024 + i);
      forged.client_isn = ms * 65'537;
      burst.push_back(Session(p, forged).syn_frame());
      if (burst.size() == 20) {
        p.feed_burst(Role::kClient, burst);
        burst.clear();
      }
    }
    p.to_client.clear();
    Session s(p, session(static_cast<std::uint16_t>(30'000 + ms)));
    s.syn();
    p.advance(1);
    s.ack();
    p.to_server.clear();
    ++opened;
  }
  const auto [n, sum] = measured(all(p).handshake);
  EXPECT_GT(n, 0U);
  EXPECT_LT(n, opened / 2) << "a sample";
  EXPECT_EQ(sum, n) << "each has waited a millisecond";
}

TEST(FeltBook, AnIdleServiceGivesItsPlaceAndItsCountsToTheOthers) {
  HarnessOptions h;
  h.protect = {"203.0.113.10"};
  ProxyHarness p(h);
  const auto visit = [&](unsigned n) {
    SessionOptions o;
    o.client_port = static_cast<std::uint16_t>(1024 + n);
    o.server_port = static_cast<std::uint16_t>(1 + n % 40);
    Session s(p, o);
    s.open();
    s.server_sends("220");
    s.close();
  };
  for (unsigned n = 0; n < 80; ++n) visit(n);
  const FeltCounters& felt = p.counters().felt;
  EXPECT_EQ(count(felt.other.handshake), 40U + 8U) << "40 first ones, and eight without a place";
  EXPECT_EQ(felt.services[0].name[2].get(), 1U);
  p.advance(700'000);
  visit(39);
  EXPECT_EQ(felt.services[0].name[2].get(), 40U);
  EXPECT_EQ(felt.services[0].version.load(), 4U);
  EXPECT_EQ(count(felt.services[0].felt.handshake), 0U);
  EXPECT_EQ(count(felt.other.handshake), 40U + 8U + 2U);
  EXPECT_EQ(count(felt.all.handshake), 81U);
}

TEST(FeltBook, AConnectionThatWasTakenOverForgetsThatItsFirstByteWasDue) {
  HarnessOptions h;
  h.store = true;
  ProxyHarness p(h);
  Session s(p);
  s.open();
  p.die();
  s.server_sends("220");
  EXPECT_EQ(count(p.counters().felt.all.first_byte), 0U);
  s.close();
  EXPECT_EQ(p.count(Reason::conn_finished), 1U);
}

}  // namespace
}  // namespace synproxy::test
