// SPDX-License-Identifier: BSD-3-Clause
// Faults that SYN proxies had in the field, as tests: the promises of a handshake, and what a
// cookie gives back.
#include <gtest/gtest.h>

#include <array>

#include "support/session.h"
#include "synproxy/cookie/cookie.h"

namespace synproxy {
namespace {

using namespace test;

// The kinds in an option list, NOP and END left out.
std::vector<unsigned> kinds(const Bytes& options) {
  std::vector<unsigned> out;
  for (std::size_t i = 0; i < options.size() && options[i] != 0;) {
    if (options[i] == 1) {
      ++i;
      continue;
    }
    out.push_back(options[i]);
    i += options.at(i + 1);
  }
  return out;
}

// This holds whatever is configured and whatever else the SYN carries. A client that did not offer
// window scaling would read our scaled windows as bytes: 64 KB would become 512, and the connection
// would crawl.
TEST(KnownFault, SynAckCarriesNoOptionThatTheClientDidNotOffer) {
  for (const Offer offer : {Offer::kOn, Offer::kAuto}) {
    for (const std::uint8_t scale : {kAutoScale, std::uint8_t{0}, std::uint8_t{14}}) {
      HarnessOptions h;
      h.engine.tuning.offer = {
          .sack = offer, .timestamps = offer, .ecn = offer, .window_scale = scale};
      ProxyHarness p(h);
      for (unsigned which = 0; which < 128; ++which) {
        SCOPED_TRACE(which);
        PacketBuilder b;
        b.seq(which).flags(
            static_cast<std::uint16_t>(kSyn | ((which & 64) != 0 ? kEce | kCwr : 0)));
        if ((which & 1) != 0) b.mss(1400);
        if ((which & 2) != 0) b.sack_permitted();
        if ((which & 4) != 0) b.timestamps(99, 0);
        if ((which & 8) != 0) b.window_scale(3);
        if ((which & 16) != 0) b.option({34, 2}).nop(2);    // TFO, asking for a cookie
        if ((which & 32) != 0) b.option({30, 4, 0, 0x81});  // MPTCP
        EXPECT_EQ(p.from_client(b.build()), Verdict::kReply);
        const DecodedFrame f = p.take_client();
        for (const unsigned kind : kinds(f.options)) {
          EXPECT_TRUE(kind == 2 || (kind == 4 && (which & 2) != 0) ||
                      (kind == 8 && (which & 4) != 0) || (kind == 3 && (which & 8) != 0))
              << kind;
        }
        EXPECT_TRUE(!f.has(kEce) || (which & 64) != 0);
        EXPECT_FALSE(f.has(kCwr));

        PacketBuilder ack;
        ack.seq(which + 1).ack(f.seq + 1);
        if (!f.timestamps.empty()) ack.timestamps(100, f.tsval());
        EXPECT_EQ(p.from_client(ack.build()), Verdict::kDrop);
        const DecodedFrame syn = p.take_server();
        EXPECT_EQ(syn.window_scale.has_value(), (which & 8) != 0) << "nor asks the server for it";
        // With `auto` the first SYN to a server asks for everything, to learn what the server has.
        if (offer == Offer::kOn) {
          EXPECT_EQ(syn.sack_permitted, (which & 2) != 0);
          EXPECT_EQ(!syn.timestamps.empty(), (which & 4) != 0);
        }
        // The connection is over before the next SYN of the loop.
        EXPECT_EQ(p.from_client(PacketBuilder().seq(which + 1).flags(kRst).build()),
                  Verdict::kDrop);
        p.to_server.clear();
      }
    }
  }
}

// The same between us and the server: it cannot use a scale for which it was not asked.
TEST(KnownFault, ServersUnaskedOptionsChangeNothing) {
  ProxyHarness p;
  Session c(p, {.timestamps = false, .sack = false, .client_scale = {}});
  c.syn();
  c.ack();
  PacketBuilder answer = c.server(kSyn | kAck);
  answer.seq(c.o.server_isn).ack(c.o.client_isn + 1).window(501);
  answer.mss(1460).window_scale(7).sack_permitted().timestamps(77, 0);
  EXPECT_EQ(p.from_server(answer.build()), Verdict::kReply);
  const DecodedFrame ack = p.take_server();
  EXPECT_TRUE(ack.options.empty());
  EXPECT_EQ(ack.window, 64'240);
  c.o.server_window = 501;
  EXPECT_EQ(c.server_sends("x").window, 501);
  c.o.client_window = 1000;
  EXPECT_EQ(c.client_sends("y").window, 1000);
}

struct Offered {
  bool ipv6;
  bool timestamps;
  std::uint16_t mss;  // 0: none
  int scale;          // -1: none
};

// The SYN that the server gets for this client.
DecodedFrame decoded_offer(ProxyHarness& p, const Offered& o) {
  Session c(p, {.ipv6 = o.ipv6,
                .timestamps = o.timestamps,
                .sack = false,
                .client_scale = {},
                .mss = o.mss});
  // Another ISN each time, because a used cookie is not valid again.
  c.o.client_isn = static_cast<std::uint32_t>(1000 * p.packets_in());
  c.client_nxt = c.o.client_isn + 1;
  PacketBuilder syn;
  syn.ip(c.o.client, c.o.server).seq(c.o.client_isn).flags(kSyn);
  if (o.mss != 0) syn.mss(o.mss);
  if (o.timestamps) syn.timestamps(c.o.client_ts, 0);
  if (o.scale >= 0) syn.window_scale(static_cast<std::uint8_t>(o.scale));
  if (p.from_client(syn.build()) != Verdict::kReply) return {};
  const DecodedFrame f = p.take_client();
  c.cookie = f.seq;
  if (o.timestamps) c.our_tsval = f.tsval();
  const DecodedFrame to_server = c.ack();
  EXPECT_EQ(p.from_client(c.client(kRst).build()), Verdict::kDrop);
  p.to_server.clear();
  p.leap(61'000);  // and the tombstone is gone
  p.leap(1'000);
  return to_server;
}

TEST(KnownFault, CookieNeverDecodesToMoreThanWasOffered) {
  ProxyHarness p;
  for (const bool ipv6 : {false, true}) {
    for (const bool timestamps : {false, true}) {
      for (const auto mss :
           std::to_array<std::uint16_t>({0, 1, 535, 536, 537, 1219, 1220, 1221, 1439, 1440, 1441,
                                         1459, 1460, 1461, 8960, 65535})) {
        for (const int scale : {-1, 0, 1, 7, 13, 14, 15, 255}) {
          SCOPED_TRACE(std::to_string(mss) + " scale " + std::to_string(scale));
          const DecodedFrame syn = decoded_offer(p, {ipv6, timestamps, mss, scale});
          ASSERT_TRUE(syn.mss);
          EXPECT_LE(*syn.mss, mss != 0 ? mss : ipv6 ? 1220 : 536);
          // A low MSS has no scaling.
          const bool low = !timestamps && mss != 0 && mss < 536;
          EXPECT_EQ(syn.window_scale.has_value(), scale >= 0 && !low);
          if (low) continue;
          EXPECT_EQ(syn.window_scale.value_or(0), std::max(0, std::min(scale, 14)))
              << "nor to less: windows shrink";
        }
      }
    }
  }
}

// Every encoding of both layouts, without the engine: each MSS, each scale, SACK and ECN.
TEST(KnownFault, NoEncodingOfACookieDecodesToMore) {
  const EpochKeys keys = test_keys(1, 5);
  std::uint64_t mac = 0x0123456789abcdefULL;
  for (std::uint32_t mss = 0; mss <= 65535; ++mss) {
    for (std::uint8_t scale = 0; scale < 16; ++scale) {
      mac = mac * 6364136223846793005ULL + 1442695040888963407ULL;
      for (const bool timestamps : {true, false}) {
        ClientOptions in{.mss = static_cast<std::uint16_t>(mss),
                         .wscale = scale,
                         .sack = (mac & 1) != 0,
                         .ecn = timestamps && (mac & 2) != 0,
                         .timestamps = timestamps};
        if (mss == 0 && !timestamps) continue;  // no SYN counts as that
        in = fit_for_cookie(in);
        in.offered_scale = in.wscale == kNoScale ? kNoScale : std::uint8_t{7};
        const LayoutKey& key = timestamps ? keys.timestamps : keys.plain;
        ClientOptions out;
        const bool good =
            check_cookie(mac, key, make_cookie(mac, key, 1, in), timestamps, scale_set(7), out);
        if (!good || out.mss > in.mss || out.wscale != in.wscale || out.sack != in.sack ||
            out.ecn != in.ecn || (timestamps && out.mss != in.mss)) {
          FAIL() << "MSS " << mss << " scale " << unsigned{scale}
                 << (timestamps ? " with" : " without");
        }
      }
    }
  }
}

// A client cannot turn its cookie into a better one. Of all 128 option fields of a plain cookie
// only one opens a connection, and so does only one of all changes of up to two bits of a cookie
// with timestamps.
TEST(KnownFault, ClientCannotRaiseWhatItsCookieSays) {
  for (const bool timestamps : {false, true}) {
    ProxyHarness p;
    Session c(p, {.timestamps = timestamps, .client_scale = 2, .mss = 600});
    c.syn();
    const std::uint32_t cookie = c.cookie;
    const std::uint32_t tsval = c.our_tsval;
    std::uint64_t tried = 0;
    if (timestamps) {
      for (unsigned i = 0; i < 22; ++i) {
        for (unsigned j = 0; j < i; ++j) {
          for (const std::uint32_t flip : {1U << i, 1U << i | 1U << j}) {
            c.our_tsval = tsval ^ flip;
            EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
            ++tried;
          }
        }
      }
    } else {
      for (std::uint32_t flip = 1; flip < 128; ++flip, ++tried) {
        c.cookie = cookie ^ flip << 1;
        EXPECT_EQ(p.from_client(c.ack_frame()), Verdict::kDrop);
      }
    }
    EXPECT_EQ(p.count(Reason::cookie_invalid), tried);
    EXPECT_EQ(p.flows(), 0U);
    p.expect_quiet();
    c.cookie = cookie;
    c.our_tsval = tsval;
    EXPECT_EQ(c.ack().window_scale, 2);
  }
}

}  // namespace
}  // namespace synproxy
