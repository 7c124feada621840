// SPDX-License-Identifier: BSD-3-Clause
// --reply-rate: no claimed source gets more SYN-ACKs than that, and who comes again gets in.
#include <gtest/gtest.h>

#include <cstdio>

#include "support/rounds.h"
#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

HarnessOptions rated(std::uint32_t per_second, SourceMask mask = {}, std::uint8_t monitored = 0) {
  HarnessOptions h;
  h.engine.tuning.limits.reply = {.per_second = per_second, .mask = mask};
  h.engine.tuning.limits.monitored = monitored;
  return h;
}

SessionOptions numbered(std::uint32_t n, bool ipv6 = false, const std::string& client = {}) {
  SessionOptions o;
  o.ipv6 = ipv6;
  o.client = client;
  o.client_port = static_cast<std::uint16_t>(1024 + n % 60'000);
  o.client_isn = 1 + n * 65'537;
  return o;
}

std::vector<Bytes> syns(ProxyHarness& p, std::uint32_t first, std::uint32_t n, bool ipv6,
                        const std::string& client = {}) {
  std::vector<Bytes> frames;
  for (std::uint32_t i = 0; i < n; ++i) {
    frames.push_back(Session(p, numbered(first + i, ipv6, client)).syn_frame());
  }
  return frames;
}

// Both ways to answer a SYN: one at a time, and in bursts, where the CPU may take eight at once.
struct Way {
  bool ipv6;
  std::size_t burst;
};
class ReplyRate : public ::testing::TestWithParam<Way> {
 protected:
  // How many of the SYNs are answered.
  std::uint64_t feed(ProxyHarness& p, const std::vector<Bytes>& frames) const {
    std::uint64_t answered = 0;
    for (std::size_t at = 0; at < frames.size(); at += GetParam().burst) {
      const std::size_t end = std::min(frames.size(), at + GetParam().burst);
      const std::vector<Bytes> some(frames.begin() + static_cast<std::ptrdiff_t>(at),
                                    frames.begin() + static_cast<std::ptrdiff_t>(end));
      for (const Verdict v : p.feed_burst(Role::kClient, some)) {
        EXPECT_TRUE(v == Verdict::kReply || v == Verdict::kDrop);
        answered += v == Verdict::kReply ? 1 : 0;
      }
    }
    p.to_client.clear();
    return answered;
  }
};
INSTANTIATE_TEST_SUITE_P(Ways, ReplyRate,
                         ::testing::Values(Way{false, 1}, Way{false, kMaxBurst}, Way{true, 1},
                                           Way{true, kMaxBurst}));

TEST_P(ReplyRate, NoClaimedSourceGetsMore) {
  ProxyHarness p(rated(400));
  EXPECT_EQ(feed(p, syns(p, 0, 960, GetParam().ipv6)), 100U);
  EXPECT_EQ(p.count(Reason::reply_capped), 860U);
  EXPECT_EQ(p.count(Reason::synack_sent), 100U);
  EXPECT_EQ(p.count(Reason::syn_received), 960U);
  p.advance(100);
  EXPECT_EQ(feed(p, syns(p, 1000, 320, GetParam().ipv6)), 40U);
  // Nobody else is concerned.
  const std::string other = GetParam().ipv6 ? "2001:db8:2::7" : "198.51.100.8";
  EXPECT_EQ(feed(p, syns(p, 2000, 96, GetParam().ipv6, other)), 96U);
}

TEST_P(ReplyRate, WhoComesAgainASecondLaterGetsIn) {
  ProxyHarness p(rated(400));
  const bool ipv6 = GetParam().ipv6;
  constexpr std::uint32_t kEachMs = kSanitized ? 8 : 32;
  std::uint32_t n = 0;
  const auto flood = [&](std::uint32_t ms) {
    for (; ms > 0; --ms, n += kEachMs, p.advance(1)) feed(p, syns(p, n, kEachMs, ipv6));
  };
  flood(500);
  const std::vector<Bytes> clients = syns(p, 50'000, 32, ipv6);
  EXPECT_LE(feed(p, clients), 1U);
  flood(1000);
  EXPECT_GE(feed(p, clients), 31U);
}

TEST_P(ReplyRate, AMonitoredRuleCountsWhatItWouldDo) {
  ProxyHarness p(rated(4, {}, kMonitorReplyRate));
  EXPECT_EQ(feed(p, syns(p, 0, 320, GetParam().ipv6)), 320U);
  EXPECT_EQ(p.count(Reason::reply_capped_monitored), 319U);
  EXPECT_EQ(p.count(Reason::reply_capped), 0U);
}

TEST_P(ReplyRate, OffAnswersEverySyn) {
  ProxyHarness p(rated(0));
  constexpr std::uint32_t kSyns = rounds(32'000U);
  EXPECT_EQ(feed(p, syns(p, 0, kSyns, GetParam().ipv6)), kSyns);
}

TEST_P(ReplyRate, ChangesWhileItRuns) {
  ProxyHarness p(rated(0));
  EXPECT_EQ(feed(p, syns(p, 0, 320, GetParam().ipv6)), 320U);
  p.retune(rated(40).engine.tuning);
  EXPECT_EQ(feed(p, syns(p, 1000, 320, GetParam().ipv6)), 10U);
  p.retune(rated(0).engine.tuning);
  EXPECT_EQ(feed(p, syns(p, 2000, 320, GetParam().ipv6)), 320U);
}

TEST(ReplyRateMask, ANetworkIsOneSource) {
  ProxyHarness p(rated(4, {.ipv4 = 24, .ipv6 = 48}));
  unsigned answered = 0;
  for (unsigned i = 1; i < 100; ++i) {
    for (const bool ipv6 : {false, true}) {
      const std::string client =
          (ipv6 ? "2001:db8:5:" : "192.0.2.") + std::to_string(i) + (ipv6 ? "::1" : "");
      const Bytes syn = Session(p, numbered(i, ipv6, client)).syn_frame();
      answered += p.from_client(syn) == Verdict::kReply ? 1 : 0;
    }
  }
  EXPECT_EQ(answered, 2U);
  p.to_client.clear();
}

// A victim gets the repeats of SYN-ACKs, too.
TEST(ReplyRateRepeats, ComeOutOfTheSameRate) {
  HarnessOptions h = rated(40);
  h.engine.tuning.synack_repeats = 3;
  ProxyHarness p(h);
  for (std::uint32_t ms = 0; ms < 10'000; ++ms, p.advance(1)) {
    static_cast<void>(p.from_client(Session(p, numbered(ms)).syn_frame()));
  }
  const std::uint64_t sent = p.count(Reason::synack_sent) + p.count(Reason::synack_repeated);
  EXPECT_LE(sent, 40U * 10 + 20);
  EXPECT_GE(sent, 40U * 10);
  p.to_client.clear();
}

// The figures of docs/architecture.md: what a victim gets for what an attacker sends in its name.
TEST(ReplyRateAmplification, IsBoundedInPacketsAndBytes) {
  struct Row {
    const char* what;
    std::uint32_t per_second;  // --reply-rate
    std::uint32_t each_time;   // sent in each of ten milliseconds
    double most;               // packets to the victim, for each sent
  };
  const Row rows[] = {
      {"100 SYNs a second, off", 0, 1, 4.0},
      {"100 SYNs a second, 20,000", 20'000, 1, 4.0},
      {"20,000 SYNs a second, off", 0, 200, 1.0},
      {"20,000 SYNs a second, 1,000", 1000, 200, 0.0625},
  };
  for (const Row& row : rows) {
    HarnessOptions h = rated(row.per_second);
    h.engine.tuning.synack_repeats = 3;
    ProxyHarness p(h);
    double bytes_in = 0;
    double bytes_out = 0;
    double packets_in = 0;
    double packets_out = 0;
    const auto take = [&] {
      for (const auto& frame : p.to_client) {
        bytes_out += static_cast<double>(frame.size());
        ++packets_out;
      }
      p.to_client.clear();
    };
    for (std::uint32_t n = 0; n < 200; ++n) {  // two seconds
      std::vector<Bytes> some;
      for (std::uint32_t i = 0; i < row.each_time; ++i) {
        PacketBuilder syn;
        syn.ip("198.51.100.7", "203.0.113.10").ports(static_cast<std::uint16_t>(1024 + i), 80);
        some.push_back(syn.seq(n * 1000 + i).flags(kSyn).build());
        bytes_in += static_cast<double>(some.back().size());
        ++packets_in;
        if (some.size() == kMaxBurst || i + 1 == row.each_time) {
          p.feed_burst(Role::kClient, some);
          some.clear();
        }
      }
      p.advance(10);
      take();
    }
    for (unsigned i = 0; i < 200; ++i, take()) p.advance(50);
    std::printf("%s: %.2f packets and %.2f bytes for one\n", row.what, packets_out / packets_in,
                bytes_out / bytes_in);
    EXPECT_LE(packets_out, packets_in * row.most) << row.what;
    EXPECT_LE(bytes_out, bytes_in * row.most * 1.1) << row.what;  // a SYN-ACK has an MSS option
    EXPECT_GT(packets_out, packets_in * row.most * 0.85) << row.what;
  }
}

// A SYN on a flow is answered in its turn, and counts like any other.
TEST(ReplyRateOnFlow, ASynOnALiveConnectionIsCapped) {
  ProxyHarness p(rated(4));
  Session live(p);
  live.open();
  unsigned answered = 0;
  for (std::uint32_t n = 0; n < 50; ++n) {
    SessionOptions o;
    o.client_isn = 0x20000000 + n;
    answered += p.from_client(Session(p, o).syn_frame()) == Verdict::kReply ? 1 : 0;
  }
  EXPECT_EQ(answered, 0U);  // the connection's own SYN was the one
  EXPECT_EQ(p.count(Reason::reply_capped), 50U);
  p.to_client.clear();
  live.client_sends("still here");
  live.server_sends("so am I");
}

}  // namespace
}  // namespace synproxy
