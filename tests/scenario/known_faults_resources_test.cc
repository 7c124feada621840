// SPDX-License-Identifier: BSD-3-Clause
// Faults that SYN proxies had in the field, as tests: full tables, slow servers, missing keys.
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>

#include "support/session.h"
#include "synproxy/cookie/cookie.h"

namespace synproxy {
namespace {

using namespace test;

SessionOptions on_port(std::uint32_t port) {
  SessionOptions o;
  o.client_port = static_cast<std::uint16_t>(port);
  o.client_isn = port * 0x10001;
  return o;
}

HarnessOptions flows(std::uint32_t n) {
  HarnessOptions h;
  h.engine.shape.max_flows = n;
  return h;
}

// A failed rotation, or a slot that was never filled, must never leave a key that everybody knows:
// no cookie is made with it, and none is accepted.
TEST(KnownFault, RotationLeavesNoZeroKey) {
  HarnessOptions h;
  h.engine.shape.epoch_ms = 2'000;
  ProxyHarness p(h);
  const auto forge = [&](Session& c, unsigned parity) {
    const FlowKey key = [&] {
      FlowKey k;
      const Bytes client = parse_address(c.o.client);
      const Bytes server = parse_address(c.o.server);
      std::copy(client.begin(), client.end(), k.client.begin());
      std::copy(server.begin(), server.end(), k.server.begin());
      k.client_port = c.o.client_port;
      k.server_port = c.o.server_port;
      return k;
    }();
    for (const std::uint64_t multiplier : {0ULL, 1ULL}) {
      const LayoutKey zero{0, 0, multiplier};
      const MacInput in = cookie_mac_input(key, c.o.client_isn);
      const std::uint64_t mac = siphash24(0, 0, in.words.data(), in.count);
      const Cookie cookie = make_cookie(mac, zero, parity,
                                        {.mss = 1460,
                                         .wscale = 7,
                                         .sack = true,
                                         .timestamps = c.o.timestamps,
                                         .offered_scale = 7});
      c.cookie = cookie.isn;
      c.our_tsval = cookie.tsval;
      EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
    }
  };
  std::uint64_t forged = 0;
  for (unsigned rotation = 0; rotation < 300; ++rotation) {
    for (const bool timestamps : {false, true}) {
      SessionOptions o = on_port(2000 + rotation * 2 + (timestamps ? 1 : 0));
      o.timestamps = timestamps;
      Session attacker(p, o);
      for (const unsigned parity : {0U, 1U}) {
        forge(attacker, parity);
        forged += 2;
      }
      EXPECT_EQ(p.count(Reason::cookie_invalid), forged);
      EXPECT_EQ(p.count(Reason::cookie_valid), rotation);
    }
    // An honest handshake goes on in every epoch.
    Session honest(p, on_port(30'000 + rotation));
    honest.syn();
    honest.ack();
    EXPECT_EQ(p.from_client(honest.client(kRst).build()), Verdict::kDrop);
    p.to_server.clear();
    p.leap(2'000);
  }
  EXPECT_EQ(p.count(Reason::cookie_valid), 300U);
  EXPECT_EQ(p.count(Reason::no_secret), 0U);

  // The control thread sleeps: no keys, so no cookies, rather than bad ones.
  p.keys_stall = true;
  p.leap(60'000);
  Session late(p, on_port(1));
  EXPECT_EQ(p.from_client(late.syn_frame()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::no_secret), 1U);
  forge(late, 0);
  forge(late, 1);
  EXPECT_EQ(p.count(Reason::cookie_valid), 300U);
  p.keys_stall = false;
  p.leap(1);
  late.syn();
  late.ack();

  // publish() refuses such a key, and the good one stays.
  KeyRing ring;
  ring.publish(test_keys(1, 8));
  for (const bool plain : {false, true}) {
    EpochKeys bad = test_keys(1, 8);
    (plain ? bad.plain : bad.timestamps) = {};
    EXPECT_THROW(ring.publish(bad), std::invalid_argument);
  }
  EpochKeys kept;
  ASSERT_TRUE(ring.read(8, kept));
  EXPECT_EQ(kept.plain.k0, test_keys(1, 8).plain.k0);
}

// The buffers that wait for a slow server are bounded in number and come back, and others are
// served meanwhile.
TEST(KnownFault, SlowServerCannotExhaustTheBuffers) {
  HarnessOptions h;
  h.engine.shape.early_data_memory = 64 * 1024;
  ProxyHarness p(h);
  Session before(p, on_port(100));
  before.open();
  const std::uint64_t buffers = h.engine.shape.early_data_memory / 512;
  const std::string segment(1400, 's');
  std::vector<std::unique_ptr<Session>> waiting;
  for (std::uint32_t i = 0; i < 200; ++i) {
    waiting.push_back(std::make_unique<Session>(p, on_port(1000 + i)));
    Session& c = *waiting.back();
    c.syn();
    c.ack();
    for (int n = 0; n < 10; ++n) {
      // The packet's own buffer is given back at once, whether its data is kept or not.
      EXPECT_EQ(p.from_client(c.client().payload(segment).build()), Verdict::kDrop);
      c.client_nxt += 1400;
    }
    EXPECT_LE(p.early_buffers(), buffers);
  }
  EXPECT_EQ(p.count(Reason::early_held) + p.count(Reason::early_dropped), 2000U);
  EXPECT_GT(p.count(Reason::early_dropped), 1000U);
  p.to_server.clear();
  // An open connection holds nothing, however slow its server is.
  const std::uint64_t held = p.early_buffers();
  for (int i = 0; i < 100; ++i) before.client_sends(segment);
  EXPECT_EQ(p.early_buffers(), held);
  // A newcomer is connected; it sends its data again.
  Session after(p, on_port(5000));
  after.open();
  after.client_sends("GET");
  after.server_sends("200");
  // If the server answers at last, it gets the held data in order, once.
  Session& first = *waiting.front();
  EXPECT_EQ(p.from_server(first.syn_ack_frame()), Verdict::kReply);
  EXPECT_EQ(p.take_server().flags, kAck);
  std::uint32_t next = first.o.client_isn + 1;
  while (!p.to_server.empty()) {
    const DecodedFrame f = p.take_server();
    EXPECT_EQ(f.seq, next);
    next += f.seq_length();
  }
  EXPECT_GT(next, first.o.client_isn + 1);
  // The others are given up, and every buffer comes back.
  p.advance(30'000);
  EXPECT_EQ(p.early_buffers(), 0U);
  EXPECT_EQ(p.count(Reason::conn_timed_out), 199U);
  p.to_client.clear();
  p.to_server.clear();
  before.client_sends("alive");
}

// Half-open flows fill the table again and again. Each call returns, each newcomer gets a place,
// and established flows keep theirs. An endless search for a victim would run into the time limit.
TEST(KnownFault, FullHalfOpenCacheHangsNothing) {
  ProxyHarness p(flows(32));
  Session open(p, on_port(100));
  open.open();
  for (std::uint32_t i = 0; i < 2000; ++i) {
    Session c(p, on_port(1000 + i));
    c.syn();
    EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
    EXPECT_LE(p.flows(), 32U);
    EXPECT_LE(p.to_client.size() + p.to_server.size(), 3U)
        << "its SYN, and a RST each way for the victim";
    p.to_client.clear();
    p.to_server.clear();
    if (i % 100 == 0) {
      p.leap(1);
      open.client_sends("alive");
      open.server_sends("alive");
    }
  }
  EXPECT_EQ(p.count(Reason::cookie_valid), 2001U);
  EXPECT_EQ(p.count(Reason::flow_evicted) + p.flows(), 2001U) << "one for one";
  EXPECT_EQ(p.count(Reason::table_full), 0U);
  // SYNs need no room at all.
  Session other(p, on_port(60'000));
  other.syn();
  p.advance(100'000);
  EXPECT_EQ(p.flows(), 1U);
  p.to_client.clear();
  p.to_server.clear();
  open.client_sends("alive");
}

// A refused newcomer leaves nothing that a later packet could find.
TEST(KnownFault, NoFlowIsInsertedWhenAllocationFailed) {
  ProxyHarness p(flows(16));
  std::vector<std::unique_ptr<Session>> all;
  for (std::uint32_t i = 0; i < 16; ++i) {
    all.push_back(std::make_unique<Session>(p, on_port(1000 + i)));
    all.back()->open();
  }
  ASSERT_EQ(p.flows(), 16U);
  Session late(p, on_port(5000));
  late.syn();
  for (unsigned attempt = 1; attempt <= 3; ++attempt) {
    EXPECT_EQ(p.from_client(attempt == 2 ? late.client(kAck | kPsh).payload("GET").build()
                                         : late.ack_frame()),
              Verdict::kReply);
    const DecodedFrame rst = p.take_client();
    EXPECT_EQ(rst.flags, kRst);
    EXPECT_EQ(rst.seq, late.cookie + 1);
    EXPECT_EQ(p.count(Reason::table_full), attempt);
    EXPECT_EQ(p.flows(), 16U);
    EXPECT_EQ(p.counters().flows_embryonic.get(), 0U);
    EXPECT_EQ(p.early_buffers(), 0U) << "nor is its data kept";
  }
  EXPECT_EQ(p.count(Reason::syn_to_server), 16U) << "the server never hears of it";
  p.advance(1'000);
  p.to_server.clear();  // repeated ACKs of the others
  // Nothing of it is there: a SYN-ACK for it, or a segment of the server, belongs to no flow.
  EXPECT_EQ(p.from_server(late.syn_ack_frame()), Verdict::kReply);
  EXPECT_TRUE(p.take_server().has(kRst));
  EXPECT_EQ(p.from_server(late.server().payload("x").build()), Verdict::kDrop);
  EXPECT_EQ(p.from_client(late.client(kRst).build()), Verdict::kDrop);
  EXPECT_EQ(p.count(Reason::no_flow_client), 1U);
  // Once a record is given back, it gets that record, with its own numbers.
  all.front()->close();
  late.syn();
  late.ack();
  late.syn_ack();
  late.client_sends("GET");
  late.server_sends("200");
  for (std::size_t i = 1; i < all.size(); ++i) all[i]->client_sends("untouched");
}

}  // namespace
}  // namespace synproxy
