// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/cookie/cookie.h"

#include <gtest/gtest.h>

#include <random>
#include <utility>
#include <vector>

#include "synproxy/cookie/epoch.h"
#include "synproxy/cookie/master_secret.h"
#include "unit/cookie/cookie_samples.h"

namespace synproxy {
namespace {

using test::ipv4_key;
using test::ipv6_key;
using test::kKey;
using test::kOffered;
using test::mac_of;
using test::usual;

TEST(CookieMacInput, Ipv4IsSixteenBytesInTheOrderOfTheDocument) {
  const MacInput in = cookie_mac_input(ipv4_key(), 0xa1b2c3d4);
  ASSERT_EQ(in.count, 2U);
  EXPECT_EQ(in.tail, 0U);
  EXPECT_EQ(in.words[0], 0x0a7100cb'076433c6ULL);   // server, client: first address byte lowest
  EXPECT_EQ(in.words[1], 0xa1b2c3d4'01bb'9c41ULL);  // client ISN, server port, client port
}

TEST(CookieMacInput, Ipv6IsFortyBytesInTheOrderOfTheDocument) {
  const MacInput in = cookie_mac_input(ipv6_key(), 0xa1b2c3d4);
  ASSERT_EQ(in.count, 5U);
  EXPECT_EQ(in.tail, 0U);
  EXPECT_EQ(in.words[0], 0x2726252423222120ULL);
  EXPECT_EQ(in.words[1], 0x2f2e2d2c2b2a2928ULL);
  EXPECT_EQ(in.words[2], 0xc7c6c5c4c3c2c1c0ULL);
  EXPECT_EQ(in.words[3], 0xcfcecdcccbcac9c8ULL);
  EXPECT_EQ(in.words[4], 0xa1b2c3d4'01bb'9c41ULL);
}

TEST(CookieMacInput, CoversEveryBitOfAddressesPortsIsnAndTags) {
  for (const FlowKey& base : {ipv4_key(), ipv6_key()}) {
    const std::uint64_t mac = mac_of(kKey, base, 5);
    const std::size_t address_bits = base.ipv6 ? 128 : 32;
    for (std::size_t bit = 0; bit < address_bits; ++bit) {
      const auto mask = static_cast<std::uint8_t>(1U << (bit % 8));
      FlowKey client = base;
      client.client[bit / 8] ^= mask;
      EXPECT_NE(mac_of(kKey, client, 5), mac) << "client address bit " << bit;
      FlowKey server = base;
      server.server[bit / 8] ^= mask;
      EXPECT_NE(mac_of(kKey, server, 5), mac) << "server address bit " << bit;
    }
    for (unsigned bit = 0; bit < 16; ++bit) {
      FlowKey client = base;
      client.client_port = static_cast<std::uint16_t>(client.client_port ^ 1U << bit);
      EXPECT_NE(mac_of(kKey, client, 5), mac) << "client port bit " << bit;
      FlowKey server = base;
      server.server_port = static_cast<std::uint16_t>(server.server_port ^ 1U << bit);
      EXPECT_NE(mac_of(kKey, server, 5), mac) << "server port bit " << bit;
    }
    for (unsigned bit = 0; bit < 32; ++bit) {
      EXPECT_NE(mac_of(kKey, base, 5 ^ 1U << bit), mac) << "ISN bit " << bit;
    }
    FlowKey tagged = base;
    tagged.vlan = tagged.vlan.pushed(kEtherTypeVlan, 100);
    EXPECT_EQ(cookie_mac_input(tagged, 5).tail, tagged.vlan.packed);
    EXPECT_NE(mac_of(kKey, tagged, 5), mac);
    for (unsigned bit = 0; bit < 28; ++bit) {
      FlowKey other = tagged;
      other.vlan.packed ^= 1U << bit;
      EXPECT_NE(mac_of(kKey, other, 5), mac_of(kKey, tagged, 5)) << "bit " << bit << " of the tags";
    }
  }
}

TEST(CookieMacInput, DirectionMatters) {
  FlowKey swapped = ipv4_key();
  std::swap(swapped.client, swapped.server);
  std::swap(swapped.client_port, swapped.server_port);
  EXPECT_NE(mac_of(kKey, swapped, 5), mac_of(kKey, ipv4_key(), 5));
}

std::vector<ClientOptions> all_timestamp_options(std::uint16_t mss) {
  std::vector<ClientOptions> all;
  for (unsigned scale = 0; scale <= 15; ++scale) {
    for (unsigned flags = 0; flags < 4; ++flags) {
      all.push_back({.mss = mss,
                     .wscale = static_cast<std::uint8_t>(scale),
                     .sack = (flags & 1) != 0,
                     .ecn = (flags & 2) != 0,
                     .timestamps = true,
                     .offered_scale = test::offered_for(scale)});
    }
  }
  return all;
}

TEST(TimestampsCookie, GivesBackEveryCombinationOfOptionsExactly) {
  std::mt19937_64 random(1);
  for (unsigned mss = 0; mss <= 65535; mss += mss < 2000 ? 1 : 97) {
    for (const ClientOptions& options : all_timestamp_options(static_cast<std::uint16_t>(mss))) {
      const std::uint64_t mac = random();
      const unsigned parity = mac >> 17 & 1;
      const Cookie cookie = make_cookie(mac, kKey, parity, options);
      ASSERT_EQ(cookie_parity(cookie.isn), parity);
      ClientOptions out;
      ASSERT_TRUE(check_cookie(mac, kKey, cookie, true, kOffered, out));
      ASSERT_EQ(out, options) << "mss " << mss << " wscale " << unsigned{options.wscale};
    }
  }
}

TEST(PlainCookie, GivesBackScaleAndSackExactlyAndTheMssByItsClass) {
  std::mt19937_64 random(2);
  for (unsigned mss = kLowestMssClass; mss <= 65535; mss += mss < 1600 ? 1 : 61) {
    const std::uint16_t want = mss >= 1460 ? 1460 : mss >= 1440 ? 1440 : mss >= 1220 ? 1220 : 536;
    for (unsigned scale = 0; scale <= 15; ++scale) {
      for (const bool sack : {false, true}) {
        for (const bool ecn : {false, true}) {
          const ClientOptions options{.mss = static_cast<std::uint16_t>(mss),
                                      .wscale = static_cast<std::uint8_t>(scale),
                                      .sack = sack,
                                      .ecn = ecn,
                                      .timestamps = false,
                                      .offered_scale = test::offered_for(scale)};
          if (fit_for_cookie(options) != options) {
            ASSERT_TRUE(sack && mss < 1220 && scale > 8 && scale < 15);
            continue;
          }
          const std::uint64_t mac = random();
          const unsigned parity = mac >> 17 & 1;
          const Cookie cookie = make_cookie(mac, kKey, parity, options);
          ASSERT_EQ(cookie_parity(cookie.isn), parity);
          ASSERT_EQ(cookie.tsval, 0U);
          ClientOptions out;
          ASSERT_TRUE(check_cookie(mac, kKey, cookie, false, kOffered, out));
          ASSERT_EQ(out.mss, want) << mss;
          ASSERT_LE(out.mss, options.mss);
          ASSERT_EQ(out.wscale, options.wscale);
          ASSERT_EQ(out.sack, sack);
          ASSERT_FALSE(out.ecn);
          ASSERT_FALSE(out.timestamps);
          ASSERT_EQ(out.offered_scale, options.offered_scale);
        }
      }
    }
  }
}

TEST(PlainCookie, CarriesALowMssByItsClassWithoutScaleAndSack) {
  std::mt19937_64 random(3);
  constexpr std::array<std::uint16_t, 6> kClasses{1, 64, 128, 216, 340, 460};
  for (std::uint16_t mss = 1; mss < kLowestMssClass; ++mss) {
    std::uint16_t want = 0;
    for (const std::uint16_t c : kClasses) want = c <= mss ? c : want;
    const ClientOptions asked{
        .mss = mss, .wscale = 7, .sack = true, .ecn = false, .timestamps = false};
    const ClientOptions fit = fit_for_cookie(asked);
    EXPECT_EQ(fit.wscale, kNoScale);
    EXPECT_FALSE(fit.sack);
    const std::uint64_t mac = random();
    ClientOptions out;
    ASSERT_TRUE(check_cookie(mac, kKey, make_cookie(mac, kKey, 0, fit), false, kOffered, out));
    EXPECT_EQ(out.mss, want) << mss;
    EXPECT_EQ(out.wscale, kNoScale);
    EXPECT_EQ(out.offered_scale, kNoScale);
    EXPECT_FALSE(out.sack);
  }
}

TEST(PlainCookie, OtherOptionsAreLeftAsTheyAre) {
  const auto offer = [](std::uint16_t mss, bool timestamps) {
    return ClientOptions{
        .mss = mss, .wscale = 14, .sack = true, .ecn = false, .timestamps = timestamps};
  };
  for (const ClientOptions& o : {offer(1220, false), offer(65535, false), offer(88, true)}) {
    EXPECT_EQ(fit_for_cookie(o), o);
  }
  ClientOptions without_sack = offer(536, false);
  without_sack.sack = false;
  EXPECT_EQ(fit_for_cookie(offer(536, false)), without_sack);
}

TEST(CheckCookie, LeavesTheOutputAloneWhenTheTagDoesNotFit) {
  const ClientOptions untouched{
      .mss = 1, .wscale = 2, .sack = true, .ecn = true, .timestamps = false};
  for (const bool timestamps : {false, true}) {
    const ClientOptions options{.mss = 1460,
                                .wscale = 7,
                                .sack = true,
                                .ecn = false,
                                .timestamps = timestamps,
                                .offered_scale = 7};
    Cookie cookie = make_cookie(42, kKey, 0, options);
    cookie.isn ^= 0x80000000U;
    ClientOptions out = untouched;
    EXPECT_FALSE(check_cookie(42, kKey, cookie, timestamps, kOffered, out));
    EXPECT_EQ(out, untouched);
  }
}

TEST(CheckCookie, FindsTheOfferedScaleAmongTheCandidatesAndRefusesAnyOther) {
  for (const bool timestamps : {false, true}) {
    for (unsigned offered = 0; offered <= 14; ++offered) {
      ClientOptions options = usual(timestamps);
      options.offered_scale = static_cast<std::uint8_t>(offered);
      const Cookie cookie = make_cookie(4711, kKey, 0, options);
      ClientOptions out;
      ASSERT_TRUE(check_cookie(4711, kKey, cookie, timestamps, kEveryScale, out));
      ASSERT_EQ(out.offered_scale, offered);
      const auto others = static_cast<ScaleSet>(kEveryScale & ~scale_set(offered));
      ASSERT_FALSE(check_cookie(4711, kKey, cookie, timestamps, others, out)) << offered;
    }
  }
}

TEST(CheckCookie, WithoutScalingTheCandidatesDoNotMatter) {
  for (const bool timestamps : {false, true}) {
    ClientOptions options = usual(timestamps);
    options.wscale = kNoScale;
    options.offered_scale = kNoScale;
    const Cookie cookie = make_cookie(4711, kKey, 0, options);
    ClientOptions out;
    ASSERT_TRUE(check_cookie(4711, kKey, cookie, timestamps, scale_set(3), out));
    ASSERT_EQ(out, options);
  }
}

TEST(Cookie, OfOneLayoutIsNotValidInTheOther) {
  const MasterSecret secret = MasterSecret::random();
  const EpochKeys keys = secret.derive(1000);
  const std::uint64_t plain_mac = mac_of(keys.plain, ipv4_key(), 7);
  const std::uint64_t ts_mac = mac_of(keys.timestamps, ipv4_key(), 7);
  unsigned accepted = 0;
  for (const ClientOptions& options : all_timestamp_options(1460)) {
    ClientOptions out;
    const Cookie ts = make_cookie(ts_mac, keys.timestamps, 0, options);
    accepted += check_cookie(plain_mac, keys.plain, ts, false, kOffered, out);
    ClientOptions without = options;
    without.timestamps = false;
    const Cookie plain = make_cookie(plain_mac, keys.plain, 0, without);
    accepted += check_cookie(ts_mac, keys.timestamps, plain, true, kOffered, out);
  }
  EXPECT_EQ(accepted, 0U);
}

// Two proxies with one secret; each has its own ring, copies and clock.
class Proxy {
 public:
  explicit Proxy(const MasterSecret& secret) : secret_(secret) {}
  void at(std::uint64_t unix_ms) {
    clock_ = epoch_at(unix_ms, 64'000);
    publish_epochs(ring_, secret_, clock_.epoch);
    keys_.refresh(ring_, clock_);
  }
  Cookie synack(const FlowKey& flow, std::uint32_t isn, const ClientOptions& options) const {
    const EpochKeys& now = *keys_.current();
    const LayoutKey& key = options.timestamps ? now.timestamps : now.plain;
    return make_cookie(mac_of(key, flow, isn), key, now.epoch & 1, options);
  }
  bool ack(const FlowKey& flow, std::uint32_t isn, Cookie cookie, bool timestamps) const {
    const EpochKeys* keys = keys_.for_parity(cookie_parity(cookie.isn));
    if (keys == nullptr) {
      return false;
    }
    const LayoutKey& key = timestamps ? keys->timestamps : keys->plain;
    ClientOptions out;
    return check_cookie(mac_of(key, flow, isn), key, cookie, timestamps, kOffered, out);
  }

 private:
  const MasterSecret& secret_;
  KeyRing ring_;
  WorkerKeys keys_;
  EpochClock clock_;
};

TEST(Cookie, IsAcceptedFromThePreviousEpochUntilHalfOfThisOneIsOver) {
  const MasterSecret secret = MasterSecret::random();
  Proxy proxy(secret);
  constexpr std::uint64_t kEpoch = 64'000;
  for (const bool timestamps : {false, true}) {
    for (const FlowKey& flow : {ipv4_key(), ipv6_key()}) {
      proxy.at(1000 * kEpoch + 10'000);
      const Cookie cookie = proxy.synack(flow, 99, usual(timestamps));
      EXPECT_EQ(cookie, proxy.synack(flow, 99, usual(timestamps))) << "the same SYN again";
      EXPECT_TRUE(proxy.ack(flow, 99, cookie, timestamps));
      EXPECT_FALSE(proxy.ack(flow, 98, cookie, timestamps)) << "another ISN";
      proxy.at(1001 * kEpoch + 31'999);
      EXPECT_TRUE(proxy.ack(flow, 99, cookie, timestamps));
      proxy.at(1001 * kEpoch + 32'000);
      EXPECT_FALSE(proxy.ack(flow, 99, cookie, timestamps));
      proxy.at(1002 * kEpoch);  // the same parity again, but another key
      EXPECT_FALSE(proxy.ack(flow, 99, cookie, timestamps));
    }
  }
}

TEST(Cookie, OfAProxyHalfAnEpochAheadOrBehindIsAccepted) {
  const MasterSecret secret = MasterSecret::random();
  Proxy here(secret);
  Proxy there(secret);
  for (std::uint64_t now = 64'000'000; now < 64'000'000 + 128'000; now += 1'000) {
    for (const std::int64_t skew : {-32'000, -5'000, 0, 5'000, 32'000}) {
      here.at(now);
      there.at(now + static_cast<std::uint64_t>(skew));
      for (const bool timestamps : {false, true}) {
        const Cookie cookie = there.synack(ipv4_key(), 4711, usual(timestamps));
        ASSERT_TRUE(here.ack(ipv4_key(), 4711, cookie, timestamps)) << now << " skew " << skew;
      }
    }
  }
}

TEST(Cookie, OfAnotherSecretIsRefused) {
  const MasterSecret mine = MasterSecret::random();
  const MasterSecret theirs = MasterSecret::random();
  Proxy here(mine);
  Proxy there(theirs);
  here.at(64'000'000);
  there.at(64'000'000);
  unsigned accepted = 0;
  for (std::uint32_t isn = 0; isn < 100; ++isn) {
    accepted += here.ack(ipv4_key(), isn, there.synack(ipv4_key(), isn, usual(true)), true);
  }
  EXPECT_EQ(accepted, 0U);
}

}  // namespace
}  // namespace synproxy
