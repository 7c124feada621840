// SPDX-License-Identifier: BSD-3-Clause
// What one engine carries to another one: all of it arrives, and only what an engine can have
// written. That the ends notice nothing is in restart_test.cc.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "support/rounds.h"
#include "support/session.h"

namespace synproxy::test {
namespace {

HarnessOptions small() {
  HarnessOptions h;
  h.engine.shape.max_flows = 64;
  h.engine.shape.replays_per_epoch = 1U << 10;
  return h;
}

std::vector<std::unique_ptr<Session>> open_some(ProxyHarness& p, std::uint16_t count) {
  std::vector<std::unique_ptr<Session>> all;
  SessionOptions o;
  for (std::uint16_t port = 1; port <= count; ++port) {
    o.client_port = port;
    all.push_back(std::make_unique<Session>(p, o));
    all.back()->open();
    all.back()->client_sends("a");
  }
  return all;
}

TEST(HandOver, ToAnEngineWithFewerRecordsDropsWhatHasNoRoom) {
  ProxyHarness p(small());
  const auto all = open_some(p, 40);
  const Found found = p.hand_over(32);
  EXPECT_EQ(found.kept, 32U);
  EXPECT_EQ(found.dropped, 8U);
  EXPECT_EQ(p.counters().flows_established.get(), 32U);
  EXPECT_EQ(p.count(Reason::flow_unfit), 8U);
  all[0]->client_sends("still here");
}

TEST(HandOver, SeveralInARowLoseNothing) {
  ProxyHarness p(small());
  const auto all = open_some(p, 10);
  for (int round = 0; round < 3; ++round)
    EXPECT_EQ(p.hand_over(round % 2 == 0 ? 4096 : 16).kept, 10U);
  for (const auto& s : all) {
    s->client_sends("b");
    s->server_sends("c");
  }
}

// The first pass finds them open; then some speak, some close, some come, and one comes again with
// the same addresses in the place of another one.
TEST(HandOver, WhatHappensBetweenThePassesIsCarriedToo) {
  HarnessOptions h = small();
  h.engine.tuning.close_timeout_ms = 1'000;
  ProxyHarness p(h);
  auto all = open_some(p, 12);
  SessionOptions o;
  const Found found = p.hand_over(128, [&] {
    for (std::size_t i = 0; i < 4; ++i) all[i]->close();
    p.advance(6'000);
    for (std::size_t i = 4; i < 8; ++i) all[i]->client_sends("between");
    for (const std::uint16_t port : std::initializer_list<std::uint16_t>{
             4, 30, 3, 31, 2, 32}) {  // three of them known to the taker
      o.client_port = port;
      o.client_isn = 5'000'000;  // another cookie than the first time
      all.push_back(std::make_unique<Session>(p, o));
      all.back()->open();
    }
  });
  EXPECT_EQ(found.kept, 14U);
  EXPECT_EQ(found.dropped, 0U);
  EXPECT_EQ(p.counters().flows_established.get(), 14U);
  for (std::size_t i = 4; i < all.size(); ++i) {
    all[i]->client_sends("after");
    all[i]->server_sends("too");
  }
  EXPECT_EQ(p.from_client(all[0]->ack_frame()), Verdict::kDrop) << "its cookie was used";
  EXPECT_EQ(p.count(Reason::cookie_replayed), 1U);
}

// Whatever is carried: no access out of bounds (the sanitizers see it), no frame with a bad
// checksum, no engine that does not go on.
TEST(HandOver, AnythingMayBeCarried) {
  for (unsigned seed = 0; seed < rounds(60U); ++seed) {
    SCOPED_TRACE(seed);
    HarnessOptions h = small();
    h.protect = {"203.0.113.10", "2001:db8::10"};
    ProxyHarness p(h);
    const auto all = open_some(p, 24);
    // Both engines of the harness are handed the same.
    std::mt19937 dice(seed);
    const std::size_t at = dice() % sizeof(CarriedFlow);
    const auto how = dice() % 3;
    const auto noise = static_cast<unsigned char>(dice());
    const Found found = p.hand_over(64, {}, [&](std::span<CarriedFlow> flows) {
      for (CarriedFlow& flow : flows) {
        std::array<unsigned char, sizeof flow> bytes;
        std::memcpy(bytes.data(), &flow, sizeof flow);
        bytes[at] = how == 0   ? noise
                    : how == 1 ? static_cast<unsigned char>(bytes[at] ^ 0x10U)
                               : static_cast<unsigned char>(0xff);
        std::memcpy(&flow, bytes.data(), sizeof flow);
      }
    });
    EXPECT_LE(found.kept + found.dropped, 24U);
    EXPECT_EQ(p.flows(), found.kept);
    for (const auto& s : all) {
      p.from_client(s->client(kAck | kPsh).payload("data").build());
      p.from_server(s->server(kAck | kPsh).payload("data").build());
      p.from_client(s->syn_frame());
    }
    p.advance(3'000);
    p.to_client.clear();
    p.to_server.clear();
  }
}

}  // namespace
}  // namespace synproxy::test
