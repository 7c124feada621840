// SPDX-License-Identifier: BSD-3-Clause
// The filters in the kernel: a frame that is written into one end of a pair of sockets comes out of
// the other if the filter there takes it.
#include "dataplane/syn_filter.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <random>
#include <set>
#include <stdexcept>
#include <string>

#include "support/packet_builder.h"
#include "synproxy/policy/syn_look.h"
#include "synproxy/wire/bytes.h"

namespace synproxy::dataplane {
namespace {

using test::Bytes;
using test::PacketBuilder;

class Filtered {
 public:
  explicit Filtered(const SocketFilter& filter) {
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends_.data()), 0);
    sock_fprog all{static_cast<unsigned short>(filter.size()),
                   const_cast<sock_filter*>(filter.data())};
    EXPECT_EQ(::setsockopt(ends_[1], SOL_SOCKET, SO_ATTACH_FILTER, &all, sizeof all), 0);
  }
  ~Filtered() {
    for (const int end : ends_) ::close(end);
  }
  Filtered(const Filtered&) = delete;
  Filtered& operator=(const Filtered&) = delete;

  [[nodiscard]] bool takes(const Bytes& frame) const {
    static_cast<void>(::send(ends_[0], frame.data(), frame.size(), 0));
    std::array<std::uint8_t, 2048> room;
    const ssize_t got = ::recv(ends_[1], room.data(), room.size(), MSG_DONTWAIT);
    EXPECT_TRUE(got < 0 || static_cast<std::size_t>(got) == frame.size()) << "cut to " << got;
    return got >= 0;
  }

 private:
  std::array<int, 2> ends_{};
};

std::vector<ProtectRule> rules(std::initializer_list<const char*> texts) {
  std::vector<ProtectRule> all;
  for (const char* text : texts) all.push_back(parse_protect_rule(text));
  return all;
}

PacketBuilder to(const char* address, std::uint16_t port, std::uint16_t flags = kSyn) {
  const bool ipv6 = std::string(address).find(':') != std::string::npos;
  return PacketBuilder()
      .ip(ipv6 ? "2001:db8::1" : "198.51.100.7", address)
      .ports(4000, port)
      .flags(flags);
}

enum class Goes : std::uint8_t { kAsSyn, kAsOther, kNowhere, kBoth };

Goes way_of(const Bytes& frame, const std::vector<ProtectRule>& protect) {
  const bool syn = Filtered(syn_filter(protect, {})).takes(frame);
  const bool other = Filtered(all_but_syns_filter(protect)).takes(frame);
  return syn && other ? Goes::kBoth : syn ? Goes::kAsSyn : other ? Goes::kAsOther : Goes::kNowhere;
}

TEST(SynFilter, ASynToWhatIsProtectedGoesItsOwnWayAndAllElseTheOther) {
  const auto protect = rules({"203.0.113.10:80", "203.0.113.64/26", "198.51.100.0/24:8000-8099",
                              "[2001:db8::80]:443", "2001:db8:5::/48"});
  const auto way = [&](const PacketBuilder& frame) { return way_of(frame.build(), protect); };
  for (const std::uint16_t flags : {kSyn, std::uint16_t{kSyn | kEce | kCwr}}) {
    EXPECT_EQ(way(to("203.0.113.10", 80, flags)), Goes::kAsSyn);
    EXPECT_EQ(way(to("203.0.113.127", 9, flags)), Goes::kAsSyn);
    EXPECT_EQ(way(to("198.51.100.255", 8000, flags)), Goes::kAsSyn);
    EXPECT_EQ(way(to("198.51.100.0", 8099, flags)), Goes::kAsSyn);
    EXPECT_EQ(way(to("2001:db8::80", 443, flags)), Goes::kAsSyn);
    EXPECT_EQ(way(to("2001:db8:5:ffff::1", 1, flags)), Goes::kAsSyn);
  }
  EXPECT_EQ(way(to("203.0.113.10", 81)), Goes::kAsOther);
  EXPECT_EQ(way(to("203.0.113.128", 80)), Goes::kAsOther);
  EXPECT_EQ(way(to("198.51.100.1", 7999)), Goes::kAsOther);
  EXPECT_EQ(way(to("198.51.100.1", 8100)), Goes::kAsOther);
  EXPECT_EQ(way(to("2001:db8::81", 443)), Goes::kAsOther);
  EXPECT_EQ(way(to("2001:db8:6::", 443)), Goes::kAsOther);
  for (const std::uint16_t flags : {kAck, std::uint16_t{kSyn | kAck}, std::uint16_t{kSyn | kRst},
                                    std::uint16_t{kSyn | kFin}, std::uint16_t{0}}) {
    EXPECT_EQ(way(to("203.0.113.10", 80, flags)), Goes::kAsOther) << flags;
    EXPECT_EQ(way(to("2001:db8::80", 443, flags)), Goes::kAsOther) << flags;
  }
}

TEST(SynFilter, OptionsOfIpAndTcpDoNotHideASyn) {
  const auto protect = rules({"203.0.113.10:80"});
  for (std::size_t words = 1; words <= 10; ++words) {
    const auto syn = to("203.0.113.10", 80).ip_options(Bytes(4 * words, 1)).mss(1460).build();
    EXPECT_EQ(way_of(syn, protect), Goes::kAsSyn) << words;
  }
}

TEST(SynFilter, WhatIsNotPlainlyASynGoesWithTheOthers) {
  const auto protect = rules({"203.0.113.10:80", "[2001:db8::80]:443"});
  const auto way = [&](const PacketBuilder& frame) { return way_of(frame.build(), protect); };
  EXPECT_EQ(way(to("203.0.113.10", 80).fragment(0x2000)), Goes::kAsOther);
  EXPECT_EQ(way(to("203.0.113.10", 80).fragment(0x0001)), Goes::kAsOther);
  EXPECT_EQ(way(to("203.0.113.10", 80).fragment(0x4000)), Goes::kAsSyn) << "DF";
  EXPECT_EQ(way(to("2001:db8::80", 443).fragment(0)), Goes::kAsOther);
  EXPECT_EQ(way(to("203.0.113.10", 80).vlan(5)), Goes::kAsOther) << "behind the outermost tag";
}

TEST(SynFilter, CutAndRandomFramesAreTakenByExactlyOne) {
  const auto protect = rules({"203.0.113.0/24:80", "[2001:db8::80]:443", "0.0.0.0/0:1000-2000"});
  const Filtered syns(syn_filter(protect, {}));
  const Filtered others(all_but_syns_filter(protect));
  const Bytes whole[] = {to("203.0.113.10", 80).mss(1460).build(),
                         to("2001:db8::80", 443).mss(1460).build(),
                         to("203.0.113.10", 80).ip_options(Bytes(40, 1)).build()};
  for (const Bytes& frame : whole) {
    for (std::size_t length = kEthernetHeader; length <= frame.size(); ++length) {
      const Bytes cut(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(length));
      EXPECT_NE(syns.takes(cut), others.takes(cut)) << length;
    }
  }
  std::mt19937 random(7);  // NOLINT: the same frames in each run
  const ProtectSet set(protect);
  unsigned as_syn = 0;
  for (int i = 0; i < 20'000; ++i) {
    Bytes frame = whole[random() % 3];
    for (int n = 0; n < 2; ++n) {
      // Mostly what the filters look at.
      const std::size_t at = 12 + random() % (frame.size() - 12);
      frame[at] = static_cast<std::uint8_t>(random());
    }
    const bool syn = syns.takes(frame);
    EXPECT_NE(syn, others.takes(frame));
    as_syn += syn ? 1 : 0;
    // What the worker takes for a SYN when it looks closely comes by this way, unless it is odd.
    SynLook look(set);
    SynIdentity identity;
    if (synproxy::detail::is_usual_syn(frame.data(), frame.size()) &&
        look.is_syn(frame.data(), frame.size(), identity)) {
      EXPECT_TRUE(syn);
    }
  }
  EXPECT_GT(as_syn, 1000U);
}

TEST(SynFilter, TheWindowTakesItsShareOfSourcesAndTurnsOverAllOfThem) {
  const auto protect = rules({"203.0.113.10:80", "[2001:db8::80]:443"});
  constexpr unsigned kSources = 2000;
  for (const bool ipv6 : {false, true}) {
    SourceWindow window{{0x12345678, 0x9abcdef1, 0x31415927}, 0, SourceWindow::kWhole / 4};
    std::set<unsigned> met;
    for (unsigned turn = 0; turn < 4; ++turn) {
      window.edge = turn << 30;
      const Filtered filter(syn_filter(protect, window));
      unsigned inside = 0;
      for (unsigned i = 0; i < kSources; ++i) {
        const std::string source =
            ipv6 ? "2001:db8:1::" + std::to_string(i)
                 : "10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250);
        const Bytes syn = PacketBuilder()
                              .ip(source, ipv6 ? "2001:db8::80" : "203.0.113.10")
                              .ports(4000, ipv6 ? 443 : 80)
                              .flags(kSyn)
                              .build();
        if (!filter.takes(syn)) continue;
        ++inside;
        met.insert(i);
      }
      EXPECT_NEAR(inside, kSources / 4, kSources / 20) << turn;
    }
    EXPECT_EQ(met.size(), kSources) << "each is inside in one of the four places";
  }
}

TEST(SynFilter, MoreRulesThanItLooksAtAreRefused) {
  std::vector<ProtectRule> many;
  for (std::size_t i = 0; i < kMostFilterRules; ++i) {
    many.push_back(parse_protect_rule("[2001:db8::" + std::to_string(i) + "]:80-81"));
  }
  const Bytes syn = to("2001:db8::63", 81).build();
  EXPECT_EQ(way_of(syn, many), Goes::kAsSyn);
  many.push_back(many.back());
  EXPECT_THROW(static_cast<void>(syn_filter(many, {})), std::length_error);
  EXPECT_THROW(static_cast<void>(all_but_syns_filter(many)), std::length_error);
}

}  // namespace
}  // namespace synproxy::dataplane
