// SPDX-License-Identifier: BSD-3-Clause
// If the CPU can, SYNs in bursts are answered eight at a time. The results must be those of one at
// a time: the same frames, fed in bursts to one proxy and one by one to another, come back the same
// byte by byte, and are counted the same.
#include <gtest/gtest.h>

#include <random>

#include "burst/flow_key.h"
#include "burst/kernels.h"
#include "bursts_and_singles.h"
#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

PacketBuilder& add_options(PacketBuilder& b, std::mt19937& random) {
  constexpr std::array<std::uint16_t, 12> kMss{1460, 1460, 1459, 1440, 1439, 1220,
                                               1219, 536,  535,  0,    8960, 65535};
  const std::uint16_t mss = pick(random, kMss);
  const auto scale =
      static_cast<std::uint8_t>(seldom(random, 8) ? 14 + random() % 4 : random() % 15);
  const auto tsval = static_cast<std::uint32_t>(random());
  const auto byte = [&](unsigned shift) { return static_cast<std::uint8_t>(tsval >> shift); };
  const Bytes stamp{8, 10, byte(24), byte(16), byte(8), byte(0), 0, 0, 0, 0};
  switch (random() % 10) {
    case 0:
    case 1:
    case 2:
      return b.mss(mss).option({4, 2}).option(stamp).nop().option({3, 3, scale});
    case 3:
    case 4:
      return b.mss(mss).nop().option({3, 3, scale}).nop(2).option({4, 2});
    case 5:
    case 6:
      return b.mss(mss).nop().option({3, 3, scale}).nop(2).option(stamp).option({4, 2, 0, 0});
    case 7:
      return b.mss(mss).nop(2).option({4, 2}).nop().option({3, 3, scale});
    default:
      return b;
  }
}

// Also ends that no SYN can have, services that are not protected, and two services whose addresses
// have one digest.
void add_ipv6_ends(PacketBuilder& b, std::mt19937& random) {
  constexpr std::array<const char*, 8> kSources{
      "2001:db8:1::7", "fe80::9", "::1", "::", "ff02::1", "::2", "1::1", "2001:db8::10"};
  constexpr std::array<const char*, 4> kServers{"2001:db8::10",
                                                "2001:db8:10::", "2001:db8:0:10::", "2001:db8::11"};
  b.ip(seldom(random, 4) ? pick(random, kSources) : kSources[0],
       seldom(random, 3) ? pick(random, kServers) : kServers[0]);
  b.flow_label(static_cast<std::uint32_t>(random()) & 0xfffffU);
}

Bytes frame_at_random(std::mt19937& random, unsigned ipv6_of_8, bool tagged) {
  constexpr std::array<const char*, 7> kSources{"198.51.100.7",   "10.1.2.3",  "0.1.2.3",
                                                "127.0.0.1",      "224.0.0.9", "240.0.0.1",
                                                "255.255.255.255"};
  constexpr std::array<const char*, 3> kServers{"203.0.113.10", "203.0.113.11", "203.0.113.12"};
  constexpr std::array<std::uint16_t, 3> kPorts{80, 443, 8080};
  constexpr std::array<std::uint16_t, 9> kFlags{kSyn | kEce | kCwr, kSyn | kEce, kSyn | kAe,
                                                kSyn | kPsh,        kSyn | kUrg, kSyn | kFin,
                                                kSyn | kRst,        kSyn | kAck, kAck};
  PacketBuilder b;
  if (tagged ? !seldom(random, 6) : seldom(random, 30)) add_tags(b, random);
  if (random() % 8 < ipv6_of_8) {
    add_ipv6_ends(b, random);
  } else {
    b.ip(seldom(random, 4) ? pick(random, kSources) : kSources[0],
         seldom(random, 3) ? pick(random, kServers) : kServers[0]);
  }
  const auto port = static_cast<std::uint16_t>(random());
  b.ports(seldom(random, 40) ? 80 : port, seldom(random, 4) ? pick(random, kPorts) : 80)
      .seq(static_cast<std::uint32_t>(random()))
      .flags(seldom(random, 8) ? pick(random, kFlags) : kSyn)
      .window(static_cast<std::uint16_t>(random()))
      .ttl(static_cast<std::uint8_t>(random()))
      .ip_id(static_cast<std::uint16_t>(random()))
      .traffic_class(static_cast<std::uint8_t>(random()));
  add_options(b, random);
  if (seldom(random, 20))
    b.fragment(pick(random, std::array<std::uint16_t, 4>{0x2000, 1, 0x1000, 0x4000}));
  if (seldom(random, 20)) b.payload("GET /");
  if (seldom(random, 20)) b.break_ip_checksum();
  if (seldom(random, 20)) b.break_l4_checksum();
  if (seldom(random, 3)) b.pad_to(60 + random() % 40);
  Bytes frame = b.build();
  if (seldom(random, 20)) lie_about_length(frame, random);
  if (seldom(random, 8)) {
    frame[random() % frame.size()] ^= static_cast<std::uint8_t>(1U << random() % 8);
  }
  if (seldom(random, 20)) frame.resize(random() % (frame.size() + 1));
  return frame;
}

Bytes random_frame(std::mt19937& random, unsigned ipv6_of_8) {
  return frame_at_random(random, ipv6_of_8, false);
}
Bytes tagged_frame(std::mt19937& random, unsigned ipv6_of_8) {
  return frame_at_random(random, ipv6_of_8, true);
}

HarnessOptions several_services(Offer sack, Offer timestamps) {
  HarnessOptions h;
  h.protect = {"203.0.113.10:80",   "203.0.113.10:443",   "203.0.113.11:80",
               "[2001:db8::10]:80", "[2001:db8::10]:443", "[2001:db8:0:10::]:80"};
  h.engine.tuning.offer.sack = sack;
  h.engine.tuning.offer.timestamps = timestamps;
  return h;
}

class SynBurst : public WithKernels {};

TEST_P(SynBurst, IsAnsweredAsEachOfItsSynsAlone) {
  for (const Offer sack : {Offer::kOn, Offer::kOff}) {
    for (const Offer timestamps : {Offer::kOn, Offer::kOff}) {
      expect_alike_at_random(several_services(sack, timestamps), 11, 600, random_frame);
    }
  }
}

TEST_P(SynBurst, BehindTagsIsAnsweredAsEachOfItsSynsAlone) {
  for (const Offer timestamps : {Offer::kOn, Offer::kOff}) {
    expect_alike_at_random(several_services(Offer::kOn, timestamps), 12, 1200, tagged_frame);
  }
}

// Every VLAN at random has a service of its own, and none of them is known.
TEST_P(SynBurst, InAnyVlanIsAnsweredAsEachOfItsSynsAlone) {
  const auto syn = [](std::mt19937& random, unsigned ipv6_of_8) {
    PacketBuilder b;
    b.vlan(static_cast<std::uint16_t>(random()), kEtherTypeQinQ);
    b.vlan(static_cast<std::uint16_t>(random()));
    if (random() % 8 < ipv6_of_8) b.ip("2001:db8:1::7", "2001:db8::10");
    b.ports(static_cast<std::uint16_t>(random()), seldom(random, 9) ? 81 : 80);
    b.seq(static_cast<std::uint32_t>(random())).flags(kSyn);
    return add_options(b, random).build();
  };
  expect_alike_at_random(several_services(Offer::kOn, Offer::kAuto), 13, 600, syn);
}

TEST_P(SynBurst, WithOneOddFrameInAnyPlaceIsAnsweredAsEachOfItsSynsAlone) {
  ProxyHarness bursts(several_services(Offer::kOn, Offer::kAuto));
  ProxyHarness singles(several_services(Offer::kOn, Offer::kAuto));
  bursts.checksums_must_be_good = singles.checksums_must_be_good = false;
  std::mt19937 random(17);
  const auto syn = [&](bool ipv6, const std::vector<std::uint16_t>& tags) {
    PacketBuilder b;
    if (ipv6) b.ip("2001:db8:1::7", "2001:db8::10");
    for (const std::uint16_t tag : tags) b.vlan(tag);
    b.ports(static_cast<std::uint16_t>(random()), 80).seq(static_cast<std::uint32_t>(random()));
    return b.flags(kSyn).mss(1460).nop().option({3, 3, 8}).nop(2).option({4, 2}).build();
  };
  expect_alike_with_one_other(bursts, singles, syn);
}

void expect_syns_left_to_their_flow(bool ipv6) {
  HarnessOptions h;
  ProxyHarness bursts(h);
  ProxyHarness singles(h);
  const auto segment = [ipv6] {
    PacketBuilder b;
    if (ipv6) b.ip("2001:db8:1::7", "2001:db8::10");
    return b;
  };
  const auto syn = [&](std::uint16_t port, std::uint32_t isn) {
    PacketBuilder b = segment();
    b.ports(port, 80).seq(isn).flags(kSyn);
    return b.mss(1460)
        .option({4, 2})
        .option({8, 10, 0, 0, 0, 9, 0, 0, 0, 0})
        .nop()
        .option({3, 3, 7});
  };
  for (ProxyHarness* p : {&bursts, &singles}) {
    for (std::uint16_t port = 1000; port < 1016; ++port) {
      ASSERT_EQ(p->from_client(syn(port, port).build()), Verdict::kReply);
      const DecodedFrame syn_ack = p->take_client();
      PacketBuilder ack = segment();
      ack.ports(port, 80).seq(port + 1U).ack(syn_ack.seq + 1);
      p->from_client(ack.timestamps(10, syn_ack.tsval()).build());
    }
    EXPECT_EQ(p->flows(), 16U);
    p->to_server.clear();
  }
  std::vector<Bytes> burst;  // every other one has a flow
  for (std::uint16_t port = 1000; port < 1032; ++port) {
    burst.push_back(syn(static_cast<std::uint16_t>(port % 2 == 0 ? port : port + 500), 77).build());
  }
  const std::vector<Verdict> verdicts = bursts.feed_burst(Role::kClient, burst);
  EXPECT_EQ(verdicts, std::vector<Verdict>(burst.size(), Verdict::kReply));
  for (const Bytes& frame : burst) singles.from_client(frame);
  ASSERT_EQ(bursts.to_client, singles.to_client);
  // This shows only later: the SYN has left its mark on the flow, and its cookie replaces the flow.
  for (ProxyHarness* p : {&bursts, &singles}) {
    const DecodedFrame syn_ack = p->take_client();
    ASSERT_EQ(syn_ack.destination_port, 1000);
    PacketBuilder ack = segment();
    ack.ports(1000, 80).seq(78).ack(syn_ack.seq + 1);
    p->from_client(ack.timestamps(10, syn_ack.tsval()).build());
    EXPECT_EQ(p->count(Reason::conn_reopened), 1U);
    p->to_client.clear();
    p->to_server.clear();
  }
}

TEST_P(SynBurst, LeavesSynsOfLiveConnectionsToTheirFlow) {
  for (const bool ipv6 : {false, true}) expect_syns_left_to_their_flow(ipv6);
}

TEST_P(SynBurst, NeedsRoomForWhatItTouches) {
  HarnessOptions h;
  ProxyHarness bursts(h);
  ProxyHarness singles(h);
  for (const bool ipv6 : {false, true}) {
    PacketBuilder b;
    if (ipv6) b.ip("2001:db8:1::7", "2001:db8::10");
    const Bytes bare = b.seq(1).flags(kSyn).build();
    const auto touched = static_cast<std::uint32_t>(columns::kMostRead + shift_of(ipv6));
    ASSERT_LT(bare.size(), touched);
    for (auto room = static_cast<std::uint32_t>(bare.size()); room <= touched; ++room) {
      bursts.room = singles.room = room;  // the buffers are allocated to the byte
      expect_alike(bursts, singles, std::vector<Bytes>(kMaxBurst, bare));
    }
  }
}

TEST_P(SynBurst, BehindTagsNeedsRoomForWhatItTouches) {
  HarnessOptions h;
  ProxyHarness bursts(h);
  ProxyHarness singles(h);
  for (const bool ipv6 : {false, true}) {
    PacketBuilder b;
    if (ipv6) b.ip("2001:db8:1::7", "2001:db8::10");
    const Bytes bare = b.vlan(5).vlan(6).seq(1).flags(kSyn).build();
    const auto most = static_cast<std::uint32_t>(columns::kMostRead + shift_of(ipv6) + 9);
    for (auto room = static_cast<std::uint32_t>(bare.size()); room <= most; ++room) {
      bursts.room = singles.room = room;  // the buffers are allocated to the byte
      ASSERT_NO_FATAL_FAILURE(expect_alike(bursts, singles, std::vector<Bytes>(kMaxBurst, bare)));
    }
  }
}

// Their names are equal, and only one of them has an offer in the cache.
TEST_P(SynBurst, ServicesOfIpv6WhoseAddressesHaveOneDigestAreToldApart) {
  HarnessOptions h;
  h.protect = {"[2001:db8::10]:80", "[2001:db8:0:10::]:80"};
  h.engine.tuning.offer.timestamps = Offer::kAuto;
  ProxyHarness bursts(h);
  ProxyHarness singles(h);
  const auto syn = [](const char* server, std::uint16_t port) {
    PacketBuilder b;
    b.ip("2001:db8:1::7", server).ports(port, 80).seq(port).flags(kSyn);
    return b.mss(1440).nop().option({3, 3, 8}).nop(2).option({4, 2}).build();
  };
  for (const char* first : {"2001:db8::10", "2001:db8:0:10::"}) {
    expect_alike(bursts, singles, {syn(first, 999)});  // now this one has it
    std::vector<Bytes> burst;
    for (std::uint16_t port = 1000; port < 1000 + kMaxBurst; ++port) {
      burst.push_back(syn(port % 2 == 0 ? "2001:db8::10" : "2001:db8:0:10::", port));
    }
    ASSERT_NO_FATAL_FAILURE(expect_alike(bursts, singles, burst));
  }
}

TEST_P(SynBurst, TheReplyCapCountsIpv6AlikeInColumns) {
  HarnessOptions h;
  h.engine.tuning.limits.reply = {.per_second = 400, .mask = {}};
  ProxyHarness bursts(h);
  ProxyHarness singles(h);
  std::mt19937 random(3);
  for (int round = 0; round < 40; ++round) {
    std::vector<Bytes> burst;
    for (std::size_t i = 0; i < kMaxBurst; ++i) {
      PacketBuilder b;
      b.ip(seldom(random, 3) ? "2001:db8:7::1" : "2001:db8:1::7", "2001:db8::10");
      b.ports(static_cast<std::uint16_t>(1024 + random() % 60000), 80);
      burst.push_back(b.seq(static_cast<std::uint32_t>(random())).flags(kSyn).build());
    }
    ASSERT_NO_FATAL_FAILURE(expect_alike(bursts, singles, burst));
    bursts.advance(10);
    singles.advance(10);
  }
  EXPECT_GT(bursts.count(Reason::reply_capped), kMaxBurst);
  EXPECT_GT(bursts.count(Reason::synack_sent), kMaxBurst);
}

TEST_P(SynBurst, WhatThePortSaysOfTheChecksumCounts) {
  for (const ChecksumHint hint :
       {ChecksumHint::kUnknown, ChecksumHint::kGood, ChecksumHint::kTcpGood, ChecksumHint::kBad}) {
    for (const bool damaged : {false, true}) {
      HarnessOptions h;
      ProxyHarness bursts(h);
      ProxyHarness singles(h);
      PacketBuilder b;
      b.seq(5).flags(kSyn);
      expect_alike(bursts, singles, {b.build()});  // the service is known from here on
      if (damaged) b.break_l4_checksum();
      bursts.checksum_hint = singles.checksum_hint = hint;
      expect_alike(bursts, singles, std::vector<Bytes>(kMaxBurst, b.build()));
    }
  }
}

// The columns of one shape hold what its frames say.
TEST_P(SynBurst, KernelsTellALaneThatFitsFromOneThatDoesNot) {
  constexpr std::size_t kWindows = 1;
  ASSERT_EQ(kSynShapes[kWindows].name, "Windows");
  constexpr std::size_t kRead = FramePattern{}.mask.size() + kIpv6Shift;
  std::array<std::array<std::uint8_t, kRead>, SynGroup::kLanes> buffers{};
  for (std::uint32_t bad = 0; bad < 512; ++bad) {
    const bool ipv6 = bad >= 256;
    SynGroup g;
    g.tight = g.tagged = false;
    for (std::size_t lane = 0; lane < SynGroup::kLanes; ++lane) {
      PacketBuilder b;
      if (ipv6) b.ip("2001:db8:1::7", "2001:db8::10");
      b.ports(static_cast<std::uint16_t>(2000 + lane), 80).seq(static_cast<std::uint32_t>(lane));
      b.flags(kSyn).mss(1460).nop().option({3, 3, 8}).nop(2).option({4, 2});
      if ((bad >> lane & 1U) != 0) b.break_l4_checksum();
      const Bytes windows = b.build();
      std::copy(windows.begin(), windows.end(), buffers[lane].begin());
      g.frames[lane] = buffers[lane].data();
    }
    const std::size_t fits = kWindows + (ipv6 ? kSynShapes.size() : 0);
    for (std::size_t row = 0; row < kernels_for(GetParam()).syns->size(); ++row) {
      const SynKernel& kernel = (*kernels_for(GetParam()).syns)[row];
      const std::uint32_t good = row == fits ? ~bad & 0xffU : 0;
      ASSERT_EQ(kernel.verify(g, 0xff), good);
      ASSERT_EQ(kernel.verify(g, 0x0f), good & 0x0fU);
    }
    for (const bool family : {false, true}) {
      const std::uint32_t good = family == ipv6 ? ~bad & 0xffU : 0;
      ASSERT_EQ((*kernels_for(GetParam()).mixed_syns)[family ? 1 : 0].verify(g, 0xff), good);
    }
    (*kernels_for(GetParam()).syns)[fits].verify(g, 0xff);
    for (std::size_t lane = 0; lane < SynGroup::kLanes; ++lane) {
      ASSERT_EQ(g.isn[lane], lane);
      ASSERT_EQ(g.ports[lane], (2000 + lane) | 80U << 16);
    }
  }
}

// What the parser and service_name() say of a frame, a lane says too.
TEST_P(SynBurst, KernelsReadTagsAsTheParserDoes) {
  constexpr std::array<std::uint16_t, 5> kTpid{kEtherTypeVlan, kEtherTypeVlan, kEtherTypeQinQ,
                                               kEtherTypeQinQ, 0x9100};
  constexpr std::array<std::uint16_t, 6> kTci{7, 7, 0x6007, 4095, 0, 0xe000};
  std::mt19937 random(19);
  int alike = 0;
  for (int round = 0; round < rounds(3000); ++round) {
    SynGroup g;
    g.tight = false;
    g.tagged = true;
    std::array<Bytes, SynGroup::kLanes> frames;
    std::array<VlanStack, SynGroup::kLanes> stacks;
    std::array<ServiceName, SynGroup::kLanes> names{};
    const bool ipv6 = seldom(random, 2);
    const std::size_t tags = random() % 3;
    bool one = true;
    for (std::size_t lane = 0; lane < SynGroup::kLanes; ++lane) {
      PacketBuilder b;
      if (ipv6) b.ip("2001:db8:1::7", seldom(random, 30) ? "2001:db8:0:10::" : "2001:db8::10");
      const std::size_t here = seldom(random, 30) ? random() % 4 : tags;
      for (std::size_t i = 0; i < here; ++i) {
        const bool usual = !seldom(random, 40);
        b.vlan(usual ? 7 : pick(random, kTci), usual ? kEtherTypeVlan : pick(random, kTpid));
      }
      b.ports(static_cast<std::uint16_t>(2000 + lane), seldom(random, 60) ? 443 : 80).flags(kSyn);
      frames[lane] = b.pad_to(columns::kMostRead + kIpv6Shift + 16).build();
      Segment s;
      parse_frame(frames[lane].data(), frames[lane].size(), s);
      g.starts[lane] = frames[lane].data();
      g.frames[lane] = frames[lane].data() + kVlanTag * std::min<std::size_t>(here, kMaxVlanTags);
      // Of more tags than a connection may have nothing is parsed.
      if (s.result != ParseResult::kTcp) continue;
      const KeyView key = key_view(s, Role::kClient);
      stacks[lane] = s.vlan;
      names[lane] = service_name(key.identity);
      ASSERT_EQ(frames[lane].data() + s.l3_offset, g.frames[lane] + kEthernetHeader);
    }
    static_cast<void>((*kernels_for(GetParam()).mixed_syns)[ipv6 ? 1 : 0].verify(g, 0xff));
    for (std::size_t lane = 0; lane < SynGroup::kLanes; ++lane) {
      if (names[lane] == 0) {
        one = g.one_service;  // anybody's guess
        continue;
      }
      ASSERT_EQ(g.vlan[lane], stacks[lane].packed) << lane;
      ASSERT_EQ(g.service[lane], names[lane]) << lane;
      const std::size_t server = ip_destination_at(ipv6) + kEthernetHeader;
      one = one && names[lane] == names[0] && stacks[lane] == stacks[0] &&
            std::equal(g.frames[lane] + server, g.frames[lane] + server + (ipv6 ? 16 : 4),
                       g.frames[0] + server);
    }
    if (std::find(names.begin(), names.end(), 0) == names.end()) {
      ASSERT_EQ(g.one_service, one);
      alike += one ? 1 : 0;
    }
  }
  EXPECT_GT(alike, rounds(300));
}

// Two stacks of tags whose digests are equal are two services.
TEST_P(SynBurst, KernelsTellStacksOfOneDigestApart) {
  const VlanStack first = VlanStack{}.pushed(kEtherTypeVlan, 1).pushed(kEtherTypeVlan, 1);
  std::uint16_t outer = 1;
  std::uint16_t inner = 2;
  const auto other = [&] {
    return VlanStack{}.pushed(kEtherTypeVlan, outer).pushed(kEtherTypeVlan, inner);
  };
  while (name_of_tags(other()) != name_of_tags(first)) {
    inner = static_cast<std::uint16_t>(inner % 4094 + 1);
    if (inner == 1) ++outer;
  }
  SynGroup g;
  g.tight = false;
  g.tagged = true;
  std::array<Bytes, SynGroup::kLanes> frames;
  for (const bool alike : {true, false}) {
    for (std::size_t lane = 0; lane < SynGroup::kLanes; ++lane) {
      const bool same = alike || lane != 5;
      PacketBuilder b;
      b.vlan(same ? 1 : outer).vlan(same ? 1 : inner).flags(kSyn);
      frames[lane] = b.pad_to(columns::kMostRead + 8).build();
      g.starts[lane] = frames[lane].data();
      g.frames[lane] = frames[lane].data() + 8;
    }
    ASSERT_EQ((*kernels_for(GetParam()).mixed_syns)[0].verify(g, 0xff), 0xffU);
    EXPECT_EQ(g.service[5], g.service[0]);
    EXPECT_EQ(g.one_service, alike);
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, SynBurst, kernels(), kernels_name);

}  // namespace
}  // namespace synproxy
