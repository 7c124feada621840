// SPDX-License-Identifier: BSD-3-Clause
// In a flood of invalid cookies those of clients without timestamps get tight, at the edge of an
// epoch, and later they are as usual again. No handshake that is under way dies by it.
#include <gtest/gtest.h>

#include <vector>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

constexpr std::uint64_t kEpoch = 64'000;

SessionOptions windows(bool ipv6, std::uint16_t port) {
  SessionOptions o;
  o.ipv6 = ipv6;
  o.client_port = port;
  o.client_isn = port * 1'000'003U;
  o.timestamps = false;
  o.client_scale = 8;
  o.mss = ipv6 ? 1440 : 1460;
  return o;
}

class TightCookies : public ::testing::TestWithParam<bool> {
 protected:
  TightCookies() { p.advance(10'000); }  // into an epoch that is not tight
  void next_epoch() { p.advance(kEpoch); }
  [[nodiscard]] bool now_tight() const { return p.counters().cookies_tight.get() != 0; }
  // The rest of a connection whose ACK has come.
  static void use(Session& s) {
    s.syn_ack();
    s.client_sends("GET /");
    s.server_sends("page");
    s.close();
  }
  ProxyHarness p;
};

TEST_P(TightCookies, CookiesThatAreUnderWayOutliveBothEdges) {
  Session before(p, windows(GetParam(), 40001));
  before.syn();
  p.want_tight_cookies(true);
  p.advance(1000);
  EXPECT_FALSE(now_tight()) << "not before the edge";
  p.advance(kEpoch - 11'000);
  EXPECT_TRUE(now_tight()) << "at the edge";
  Session during(p, windows(GetParam(), 40002));
  during.syn();
  EXPECT_EQ(before.ack().window_scale, 8) << "of the epoch before, which knew all scales";
  use(before);
  EXPECT_EQ(during.ack().window_scale, 7);
  use(during);
  Session late(p, windows(GetParam(), 40003));
  late.syn();
  p.want_tight_cookies(false);
  next_epoch();
  EXPECT_FALSE(now_tight());
  Session after(p, windows(GetParam(), 40004));
  after.syn();
  EXPECT_EQ(late.ack().window_scale, 7);
  use(late);
  EXPECT_EQ(after.ack().window_scale, 8);
  use(after);
  EXPECT_EQ(p.count(Reason::conn_finished), 4U);
  EXPECT_EQ(p.count(Reason::cookie_invalid), 0U);
}

TEST_P(TightCookies, AWishAfterTheMiddleOfAnEpochIsForTheOneAfterTheNext) {
  p.advance(kEpoch / 2);
  p.want_tight_cookies(true);
  p.advance(kEpoch / 2);
  EXPECT_FALSE(now_tight());
  Session c(p, windows(GetParam(), 40001));
  c.syn();
  next_epoch();
  EXPECT_TRUE(now_tight());
  EXPECT_EQ(c.ack().window_scale, 8);
}

TEST_P(TightCookies, ClientsGetWhatATightCookieCarries) {
  struct Row {
    std::optional<std::uint8_t> scale;
    bool sack;
    std::uint16_t mss;
    bool rich;
    std::uint16_t told;
  };
  const std::vector<Row> rows{
      {8, true, 1460, true, 1460},  {14, true, 1439, true, 1220},  {7, true, 1220, true, 1220},
      {6, true, 1460, false, 1460}, {8, false, 1460, false, 1460}, {{}, true, 1440, false, 1440},
      {8, true, 1219, false, 536},  {{}, false, 536, false, 536},  {8, true, 535, false, 64},
  };
  p.want_tight_cookies(true);
  next_epoch();
  std::uint16_t port = 41000;
  for (const Row& row : rows) {
    SessionOptions o = windows(GetParam(), ++port);
    o.client_scale = row.scale;
    o.sack = row.sack;
    o.mss = row.mss;
    Session c(p, o);
    const DecodedFrame answer = c.syn();
    EXPECT_EQ(answer.window_scale.has_value(), row.rich) << port;
    EXPECT_EQ(answer.sack_permitted, row.rich) << port;
    const DecodedFrame syn = c.ack();
    EXPECT_EQ(syn.mss, row.told) << port;
    EXPECT_EQ(syn.sack_permitted, row.rich) << port;
    EXPECT_EQ(syn.window_scale, row.rich ? std::optional<std::uint8_t>(7) : std::nullopt) << port;
    use(c);
  }
  EXPECT_EQ(p.count(Reason::conn_finished), rows.size());
}

TEST_P(TightCookies, TimestampsKeepAllTheirBits) {
  p.want_tight_cookies(true);
  next_epoch();
  SessionOptions o = windows(GetParam(), 40001);
  o.timestamps = true;
  o.client_scale = 3;
  o.mss = 1000;
  Session c(p, o);
  c.syn();
  const DecodedFrame syn = c.ack();
  EXPECT_EQ(syn.window_scale, 3);
  EXPECT_TRUE(syn.sack_permitted);
  EXPECT_EQ(syn.mss, 1000);
  // And where they are taken away on the path, the ISN is still read as it was made.
  o.client_port = 40002;
  Session stripped(p, o);
  stripped.syn();
  stripped.o.timestamps = false;
  EXPECT_EQ(stripped.ack().window_scale, 3);
}

// The ACKs come in one burst with a flood, so that they are judged in columns: old ones, and new
// ones whose cookies are divided otherwise.
TEST_P(TightCookies, InTheMiddleOfAFloodTheCookiesOfBothEpochsAreGood) {
  std::vector<Session> clients;
  for (std::uint16_t i = 0; i < 8; ++i) clients.emplace_back(p, windows(GetParam(), 42000 + i));
  for (Session& c : clients) c.syn();
  p.want_tight_cookies(true);
  p.advance(kEpoch - 10'000);
  for (std::uint16_t i = 8; i < 16; ++i) {
    clients.emplace_back(p, windows(GetParam(), 42000 + i));
    clients.back().syn();
  }
  SessionOptions o = windows(GetParam(), 43000);
  Session liar(p, o);
  std::vector<Bytes> forged;
  for (std::uint32_t i = 0; i < kMaxBurst; ++i) {
    forged.push_back(liar.client().ack(i * 104'729).build());
  }
  for (int i = 0; i < 4; ++i) p.feed_burst(Role::kClient, forged);
  EXPECT_EQ(p.flows(), 0U);
  std::vector<Bytes> burst;
  for (std::size_t i = 0; i < 16; ++i) {
    burst.push_back(clients[i].ack_frame());
    burst.push_back(forged[i]);
  }
  p.feed_burst(Role::kClient, burst);
  EXPECT_EQ(p.count(Reason::cookie_valid), 16U);
  EXPECT_EQ(p.flows(), 16U);
  EXPECT_EQ(p.count(Reason::cookie_invalid), 4 * kMaxBurst + 16U);
}

INSTANTIATE_TEST_SUITE_P(Families, TightCookies, ::testing::Bool());

}  // namespace
}  // namespace synproxy
