// SPDX-License-Identifier: BSD-3-Clause
// A device without entropy: it boots with the source port and the ISN of its last connection.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "support/rounds.h"
#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

// The same device after its next boot. Its server has another ISN.
SessionOptions after_boot(const SessionOptions& before, std::uint32_t boot) {
  SessionOptions o = before;
  o.server_isn = before.server_isn + 0x3000'0000 * boot;
  o.server_ts = before.server_ts + 60'000 * boot;
  return o;
}

enum class End : std::uint8_t {
  kClosedByClient,
  kClosedByServer,
  kResetByClient,
  kResetByServer,
  kRefused,
  kGivenUp
};
constexpr End kEnds[] = {End::kClosedByClient, End::kClosedByServer, End::kResetByClient,
                         End::kResetByServer,  End::kRefused,        End::kGivenUp};

void run_and_end(ProxyHarness& p, Session& c, End end) {
  c.syn();
  c.ack();
  if (end == End::kRefused) {
    p.from_server(c.server(kRst | kAck).seq(0).build());
  } else if (end == End::kGivenUp) {
    p.advance(11'000);
  } else {
    c.syn_ack();
    c.client_sends("reading");
    c.server_sends("ok");
    if (end == End::kResetByClient) p.from_client(c.client(kRst | kAck).build());
    if (end == End::kResetByServer) p.from_server(c.server(kRst | kAck).build());
    if (end == End::kClosedByClient || end == End::kClosedByServer) {
      c.close(end == End::kClosedByServer);
    }
  }
  p.to_client.clear();
  p.to_server.clear();
  if (end == End::kRefused || end == End::kGivenUp) {
    revive_service(p, c.o);
    p.to_server.clear();
  }
}

TEST(SameIsn, OnAFlowThatIsOverTheDeviceBeginsAnewBootAfterBoot) {
  for (const End end : kEnds) {
    for (const bool ipv6 : {false, true}) {
      for (const bool timestamps : {false, true}) {
        ProxyHarness p;
        SessionOptions first;
        first.ipv6 = ipv6;
        first.timestamps = timestamps;
        if (ipv6) first.tags = {{7, kEtherTypeVlan}};
        for (std::uint32_t boot = 0; boot < 8; ++boot) {
          SCOPED_TRACE(std::to_string(static_cast<int>(end)) + ", boot " + std::to_string(boot));
          Session c(p, after_boot(first, boot));
          run_and_end(p, c, boot % 2 == 0 ? end : End::kClosedByClient);
          p.advance(boot * 1'500);  // through the end of an epoch
          p.to_client.clear();
          p.to_server.clear();
        }
        EXPECT_EQ(p.count(Reason::conn_reopened), 7U);
        EXPECT_EQ(p.flows(), 1U);
      }
    }
  }
}

TEST(SameIsn, FirstDataMayComeWithTheHandshakeAckOrAsAProbe) {
  for (const bool probe : {false, true}) {
    ProxyHarness p;
    Session old(p);
    run_and_end(p, old, End::kClosedByClient);
    Session next(p, after_boot({}, 1));
    next.syn();
    PacketBuilder first = next.client(kAck | kPsh);
    if (probe) {
      first.seq(next.o.client_isn).payload("x");
    } else {
      first.payload("GET");
    }
    EXPECT_EQ(p.from_client(first.build()), Verdict::kDrop);
    EXPECT_EQ(p.take_server().flags, kSyn);
    EXPECT_EQ(p.count(Reason::early_held), probe ? 0U : 1U);
  }
}

// Late copies of the old SYN and of the old handshake ACK, in any order, open nothing: the SYN-ACK
// of the copy is one that nobody acknowledges.
TEST(SameIsn, LateCopiesOfBothSynAndAckOpenNothing) {
  for (const End end : kEnds) {
    for (const bool timestamps : {false, true}) {
      for (const std::uint64_t pause : {0U, 1'500U, 40'000U}) {
        ProxyHarness p;
        SessionOptions o;
        o.timestamps = timestamps;
        Session c(p, o);
        c.syn();
        const Bytes ack = c.ack_frame();
        PacketBuilder with_data = c.client(kAck | kPsh);
        const Bytes data = with_data.payload("reading").build();
        run_and_end(p, c, end);
        const std::uint64_t opened = p.count(Reason::cookie_valid);
        const std::uint64_t syns = p.count(Reason::syn_to_server);
        for (const Bytes& copy :
             std::vector<Bytes>{ack, c.syn_frame(), ack, data, c.syn_frame(), c.syn_frame(), ack}) {
          p.advance(pause / 7);
          p.from_client(copy);
        }
        EXPECT_EQ(p.count(Reason::cookie_valid), opened);
        EXPECT_EQ(p.count(Reason::syn_to_server), syns);
        EXPECT_EQ(p.count(Reason::conn_reopened), 0U);
      }
    }
  }
}

// Nor do copies of the one before the last.
TEST(SameIsn, LateCopiesOfEarlierBootsDisturbNoLaterOne) {
  ProxyHarness p;
  std::vector<Bytes> copies;
  for (std::uint32_t boot = 0; boot < 5; ++boot) {
    Session c(p, after_boot({.client_port = 40001}, boot));
    c.syn();
    copies.push_back(c.syn_frame());
    copies.push_back(c.ack_frame());
    c.ack();
    c.syn_ack();
    c.client_sends("reading");
    c.server_sends("ok");
    const std::uint64_t opened = p.count(Reason::cookie_valid);
    for (const Bytes& copy : copies) p.from_client(copy);
    p.to_client.clear();
    p.to_server.clear();
    c.client_sends("more");
    c.server_sends("ok");
    c.close();
    for (const Bytes& copy : copies) p.from_client(copy);
    p.to_client.clear();
    p.to_server.clear();
    EXPECT_EQ(p.count(Reason::cookie_valid), opened);
    EXPECT_EQ(p.count(Reason::rst_to_client), 0U);
    EXPECT_EQ(p.count(Reason::rst_to_server), 0U);
  }
}

// The device sends its SYN every second, and answers what it does not know with a RST, until it
// gets a SYN-ACK. Returns how many seconds that took.
std::uint32_t boot_device(ProxyHarness& p, Session& c) {
  for (std::uint32_t second = 0; second < 10; ++second) {
    p.from_client(c.syn_frame());
    while (!p.to_client.empty()) {
      const DecodedFrame f = p.take_client();
      if (f.has(kSyn)) {
        c.cookie = f.seq;
        if (!f.timestamps.empty()) c.our_tsval = f.tsval();
        return second;
      }
      PacketBuilder rst;
      rst.ip(c.o.client, c.o.server).ports(c.o.client_port, 80).seq(f.ack);
      p.from_client(rst.flags(kRst).build());
    }
    p.advance(1'000);
    p.to_server.clear();
  }
  return 10;
}

// Boot after boot at random moments, while copies of everything that the device ever sent come
// late, in any order: every boot is served, and no copy opens, reopens or resets anything.
TEST(SameIsn, RandomBootsAmongLateCopiesAreAllServed) {
  for (std::uint32_t seed = 1; seed <= test::rounds(100U); ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto dice = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
    ProxyHarness p;
    SessionOptions o;
    o.ipv6 = dice(2) != 0;
    o.timestamps = dice(2) != 0;
    std::vector<Bytes> sent;
    const auto late_copies = [&] {
      for (std::uint32_t n = dice(6); n > 0 && !sent.empty(); --n) {
        p.from_client(sent[dice(static_cast<std::uint32_t>(sent.size()))]);
        if (dice(2) != 0) p.advance(dice(700));
      }
      p.to_client.clear();
      p.to_server.clear();
    };
    constexpr std::uint32_t kBoots = 6;
    for (std::uint32_t boot = 0; boot < kBoots; ++boot) {
      Session c(p, after_boot(o, boot));
      c.client_ts += boot * 100'000;  // its clock goes on; direct, PAWS would ask the same
      c.o.client_ts = c.client_ts;
      sent.push_back(c.syn_frame());
      ASSERT_LE(boot_device(p, c), 3U);
      p.to_server.clear();
      sent.push_back(c.ack_frame());
      c.ack();
      c.syn_ack();
      late_copies();
      sent.push_back(c.client(kAck | kPsh).payload("reading").build());
      c.client_sends("reading");
      c.server_sends("ok");
      late_copies();
      c.client_sends("another");
      c.server_sends("ok");
      ASSERT_EQ(p.count(Reason::cookie_valid), boot + 1U) << "no copy opens anything";
      if (dice(2) != 0) c.close(dice(2) != 0);  // else it has lost its power
      late_copies();
      p.advance(dice(50'000));
      p.to_client.clear();
      p.to_server.clear();
      late_copies();
    }
  }
}

// RFC 5961 section 4, then RFC 9293 section 3.10.7.3 at the device.
TEST(SameIsn, OnALiveFlowTheDeviceIsChallengedAndServedAfterItsReset) {
  for (const bool ipv6 : {false, true}) {
    for (const bool timestamps : {false, true}) {
      for (const bool spoke : {false, true}) {
        ProxyHarness p;
        SessionOptions o;
        o.ipv6 = ipv6;
        o.timestamps = timestamps;
        Session old(p, o);
        old.open();
        if (spoke) {
          old.client_sends("reading");
          old.server_sends("ok");
        }
        p.advance(60'000);  // it has lost its power
        p.to_server.clear();
        p.to_client.clear();
        Session next(p, after_boot(o, 1));
        EXPECT_EQ(p.from_client(next.syn_frame()), Verdict::kReply);
        const DecodedFrame challenge = p.take_client();
        EXPECT_EQ(challenge.flags, kAck);
        EXPECT_EQ(challenge.ack, old.client_nxt) << "RCV.NXT";
        EXPECT_EQ(p.count(Reason::challenge_to_client), 1U);
        old.client_sends("", kAck);  // the flow itself is untouched
        // The device knows no such ack.
        PacketBuilder rst;
        rst.ip(next.o.client, next.o.server).ports(next.o.client_port, 80).seq(challenge.ack);
        EXPECT_EQ(p.from_client(rst.flags(kRst).build()), Verdict::kForward);
        const DecodedFrame at_server = p.take_server();
        EXPECT_TRUE(at_server.has(kRst));
        EXPECT_EQ(at_server.seq, old.client_nxt) << "the server's old connection ends too";
        p.advance(1'000);
        next.syn();
        next.ack();
        next.syn_ack();
        next.client_sends("reading again");
        next.server_sends("ok");
      }
    }
  }
}

TEST(SameIsn, ChallengesAreLimited) {
  ProxyHarness p;
  Session c(p);
  c.open();
  for (int ms = 0; ms < 5'000; ms += 10) {
    p.from_client(c.syn_frame());
    p.advance(10);
  }
  EXPECT_GE(p.count(Reason::challenge_to_client), 5U);
  EXPECT_LE(p.count(Reason::challenge_to_client), 6U);
  EXPECT_EQ(p.count(Reason::syn_own_isn), 500U);
}

// Found by the simulator: the client has its SYN-ACK and sends no second SYN, so it would hang.
TEST(SameIsn, ChallengeForALateCopyKeepsNoLaterSynFromItsMark) {
  for (const bool copy_first : {true, false}) {
    ProxyHarness p;
    Session old(p);
    old.open();
    old.client_sends("hello");
    SessionOptions o = after_boot({}, 1);
    o.client_isn = 0x40000000;
    Session next(p, o);
    if (copy_first) p.from_client(old.syn_frame());
    p.to_client.clear();
    next.syn();
    if (!copy_first) p.from_client(old.syn_frame());
    p.to_client.clear();
    EXPECT_EQ(p.count(Reason::challenge_to_client), 1U);
    EXPECT_EQ(p.from_client(next.ack_frame()), Verdict::kDrop);
    EXPECT_EQ(p.count(Reason::conn_reopened), 1U);
    p.to_server.clear();
    next.syn_ack();
    next.client_sends("new");
  }
}

// The proxy must not acknowledge what the server may not have. A client that lives drops a segment
// so old, whatever it says, and only repeats its ACK. One that looks at the ack of every segment
// learns no more than the server has said.
TEST(SameIsn, ChallengeIsNotAcceptableToAClientThatLives) {
  ProxyHarness p;
  Session c(p);
  c.open();
  c.server_sends(std::string(1'000, 's'));
  c.client_sends("perhaps lost behind the proxy");
  p.advance(1'000);
  p.to_server.clear();
  p.from_client(c.syn_frame());
  const DecodedFrame challenge = p.take_client();
  const std::uint32_t age = c.seen_by_client(c.server_nxt) - challenge.seq;
  EXPECT_GT(age, 1U << 16) << "older than a whole window";
  EXPECT_LT(age, 1U << 31);
  EXPECT_TRUE(challenge.payload.empty());
  EXPECT_EQ(challenge.ack, c.o.client_isn) << "of nothing: the SYN's would satisfy a new client";
  c.server_sends("has it");  // its ACK
  p.advance(1'000);
  p.to_server.clear();
  c.client_sends("perhaps lost too");
  p.to_server.clear();
  p.from_client(c.syn_frame());
  EXPECT_EQ(p.take_client().ack, c.o.client_isn + 1 + 29) << "what the server has acknowledged";
  c.client_sends("goes on");
}

// While the server is silent the old flow serves the device as well: its handshake is the same.
TEST(SameIsn, WhileTheServerIsSilentTheDeviceGoesOnOrStartsOver) {
  for (const bool later_epoch : {false, true}) {
    HarnessOptions h;
    h.engine.tuning.server_timeout_ms = 150'000;
    ProxyHarness p(h);
    Session old(p);
    old.syn();
    old.ack();
    p.advance(later_epoch ? 100'000 : 2'000);
    p.to_server.clear();
    Session next(p, after_boot({}, 1));
    EXPECT_EQ(p.from_client(next.syn_frame()), Verdict::kReply);
    const DecodedFrame syn_ack = p.take_client();
    EXPECT_EQ(syn_ack.seq == old.cookie, !later_epoch);
    next.cookie = syn_ack.seq;
    next.our_tsval = syn_ack.tsval();
    EXPECT_EQ(p.from_client(next.ack_frame()), Verdict::kDrop);
    EXPECT_EQ(p.count(Reason::conn_reopened), later_epoch ? 1U : 0U);
    p.to_server.clear();
    next.syn_ack();
    next.client_sends("reading");
    next.server_sends("ok");
  }
}

}  // namespace
}  // namespace synproxy
