// SPDX-License-Identifier: BSD-3-Clause
// With many flows, packets are classified and looked up in one go: what is found must be what is
// found one after the other.
#include <gtest/gtest.h>

#include <memory>
#include <random>

#include "burst/stages.h"
#include "support/packet_builder.h"
#include "synproxy/proxy/engine.h"
#include "unit/flow/random_keys.h"

namespace synproxy {
namespace {

using test::Bytes;
using test::PacketBuilder;

constexpr std::uint32_t kClients = 200;  // of which every second has a flow

class LookUp : public ::testing::Test {
 protected:
  LookUp() {
    for (std::uint64_t e = 0; e < 4; ++e) {
      ring_.publish({.epoch = e, .timestamps = {e, 2, 3}, .plain = {e, 5, 7}});
    }
    EngineConfig config;
    config.shape.max_flows = 2 * kManyFlows;
    config.shape.early_data_memory = 1U << 16;
    rooms_ = std::make_unique<Rooms>(config, protect_, ring_, test::kTestIndexKey, counters_,
                                     nullptr, false);
    rooms_->now.begin(0);
    for (std::uint32_t client = 0; client < kClients; client += 2) {
      for (const bool ipv6 : {false, true}) {
        FlowKey key;
        EXPECT_TRUE(
            flow_of(frame(client, ipv6, Role::kClient, kAck), Role::kClient, protect_, key));
        insert(key);
      }
    }
  }

  void insert(const FlowKey& key) {
    EXPECT_NE(rooms_->flows.insert(key, rooms_->flows.hash_of(key), birth_at(0)), kNoFlow);
  }

  static Bytes frame(std::uint32_t client, bool ipv6, Role sender, std::uint16_t flags) {
    PacketBuilder b;
    const std::string n = std::to_string(client);
    const std::string from = ipv6 ? "2001:db8:1::" + n : "198.51.100." + n;
    const std::string to = ipv6 ? "2001:db8::10" : "203.0.113.10";
    const auto port = static_cast<std::uint16_t>(1024 + client);
    if (sender == Role::kClient) {
      b.ip(from, to).ports(port, 80);
    } else {
      b.ip(to, from).ports(80, port);
    }
    b.flags(flags).timestamps(1, 2);
    return b.build();
  }

  Bytes any_frame(Role sender) {
    const auto client = static_cast<std::uint32_t>(random_() % kClients);
    const bool ipv6 = random_() % 2 == 0;
    switch (random_() % 8) {
      case 0:
        return frame(client, ipv6, sender, kSyn);
      case 1:
        return frame(client, ipv6, sender, kSyn | kFin);  // junk
      case 2: {
        Bytes cut = frame(client, ipv6, sender, kAck);
        cut.resize(40);
        return cut;
      }
      case 3:
        return PacketBuilder().ip("198.51.100.9", "203.0.113.99").flags(kAck).build();
      default:
        return frame(client, ipv6, sender, kAck);
    }
  }

  // What became of each packet.
  struct Fate {
    Kind kind;
    FlowIndex flow;
    Verdict verdict;
    friend bool operator==(const Fate&, const Fate&) = default;
  };
  std::vector<Fate> fates(std::vector<Bytes> frames, Role sender, bool together) {
    std::vector<Packet> packets(frames.size());
    for (std::size_t i = 0; i < frames.size(); ++i) {
      packets[i].data = frames[i].data();
      packets[i].length = static_cast<std::uint32_t>(frames[i].size());
      Context& c = rooms_->contexts[i];
      c.packet = &packets[i];
      c.sender = sender;
      c.kind = Kind::kTcp;
    }
    const std::span<Context> burst(rooms_->contexts.data(), frames.size());
    if (together) {
      classify_and_look_up(*rooms_, burst);
    } else {
      classify(*rooms_, burst);
      look_up(rooms_->flows, burst);
    }
    std::vector<Fate> all;
    for (const Context& c : burst) {
      const bool tcp = c.kind == Kind::kTcp || c.kind == Kind::kSynPlanned;
      all.push_back({c.kind, tcp ? c.flow : kNoFlow, c.packet->verdict});
      found_ += tcp && c.flow != kNoFlow ? 1U : 0U;
    }
    return all;
  }

  void expect_same_fates() {
    for (unsigned round = 0; round < 200; ++round) {
      const Role sender = round % 2 == 0 ? Role::kClient : Role::kServer;
      std::vector<Bytes> frames(1 + random_() % kMaxBurst);
      for (Bytes& f : frames) f = any_frame(sender);
      EXPECT_EQ(fates(frames, sender, true), fates(frames, sender, false)) << round;
    }
  }

  KeyRing ring_;
  ProtectSet protect_{
      {parse_protect_rule("203.0.113.10:80"), parse_protect_rule("[2001:db8::10]:80")}};
  Counters counters_;
  std::unique_ptr<Rooms> rooms_;
  std::mt19937 random_{1};
  std::uint64_t found_ = 0;
};

TEST_F(LookUp, ManyFlows) {
  for (std::uint64_t n = 0; n < kManyFlows; ++n) insert(test::ipv4_key(n));
  ASSERT_GE(rooms_->flows.size(), kManyFlows);
  expect_same_fates();
  EXPECT_GT(found_, 500U);
}

}  // namespace
}  // namespace synproxy
