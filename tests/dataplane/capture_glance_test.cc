// SPDX-License-Identifier: BSD-3-Clause
// The glance spares most packets the look, and never one that a capture is about.
#include "dataplane/capture_glance.h"

#include <gtest/gtest.h>

#include <vector>

#include "capture_frames.h"
#include "support/fragments.h"

namespace synproxy::dataplane {
namespace {

using test::Bytes;
using test::PacketBuilder;

// Whether the glance lets a frame through to matches().
bool glances(const CaptureFilter& filter, Role sender, Bytes frame) {
  const CaptureGlance glance(filter);
  // In the last place of a burst of others.
  Bytes other = PacketBuilder().ip("192.0.2.1", "192.0.2.2").ports(1, 2).flags(kAck).build();
  std::vector<Packet> burst(5);
  for (Packet& p : burst) p = {.data = other.data(), .length = 54, .room = 54};
  burst[4] = {.data = frame.data(), .length = static_cast<std::uint32_t>(frame.size())};
  const std::uint32_t found = glance.may_match(sender, burst);
  EXPECT_EQ(found & 15U, 0U) << "others";
  return found != 0;
}

TEST(CaptureGlance, RefusesNothingThatMatches) {
  std::vector<CaptureFilter> filters;
  for (const char* client : {static_cast<const char*>(nullptr), kClient4, kClient6, kServer4,
                             "198.51.100.0/25", "198.51.96.0/19", "2001:db8::/47", "::/0"}) {
    for (const char* server : {static_cast<const char*>(nullptr), kServer4, kServer6, kClient4,
                               "203.0.113.10:80", "[2001:db8::10]:80", "2001:db8::/63"}) {
      if (client == nullptr && server == nullptr) continue;
      for (const bool either_way : {false, true}) {
        filters.push_back(filter_of(client, server, either_way));
      }
    }
  }
  filters.push_back(filter_of(kClient4, nullptr));  // several rules, as of a service
  for (const char* more : {"198.51.100.4/30", "2001:db8:1::4/126", "10.0.0.0/8"}) {
    filters.back().client.push_back(parse_protect_rule(more));
  }
  std::vector<Bytes> frames;
  for (const bool ipv6 : {false, true}) {
    for (const Bytes& quoted : {up(ipv6).build_packet(), down(ipv6).build_packet()}) {
      PacketBuilder error;
      error.ip(ipv6 ? "2001:db8:9::1" : "192.0.2.1", ipv6 ? "2001:db8:9::2" : "192.0.2.2");
      frames.push_back(error.icmp_error(ipv6 ? 2 : 3, ipv6 ? 0 : 4, 1280, quoted).build());
    }
    for (PacketBuilder b : {up(ipv6), down(ipv6)}) {
      frames.push_back(b.build());
      frames.push_back(b.protocol(17).build());
      frames.push_back(b.vlan(5).build());
      frames.push_back(b.vlan(7).build());
    }
    for (const Bytes& part : test::cut(up(ipv6).payload(Bytes(100)).build(), 48)) {
      frames.push_back(part);
    }
    for (std::size_t bytes = 12; bytes < 60; ++bytes) {
      frames.push_back(up(ipv6).build());
      frames.back().resize(bytes);
    }
  }
  std::size_t matched = 0;
  std::size_t refused = 0;
  for (const CaptureFilter& filter : filters) {
    for (const Bytes& frame : frames) {
      for (const Role sender : {Role::kClient, Role::kServer}) {
        const bool wanted = matches(filter, sender, frame);
        const bool let_through = glances(filter, sender, frame);
        EXPECT_GE(let_through, wanted) << &filter - filters.data() << " " << &frame - frames.data();
        matched += wanted ? 1 : 0;
        refused += let_through ? 0 : 1;
      }
    }
  }
  EXPECT_GT(matched, 1000U);
  EXPECT_GT(refused, 5'000U);
}

TEST(CaptureGlance, RefusesWhatHasOtherAddresses) {
  for (const bool ipv6 : {false, true}) {
    const CaptureFilter filter = filter_of(ipv6 ? kClient6 : kClient4, nullptr);
    EXPECT_TRUE(glances(filter, Role::kClient, up(ipv6).build()));
    EXPECT_TRUE(glances(filter, Role::kServer, down(ipv6).build()));
    EXPECT_FALSE(glances(filter, Role::kServer, up(ipv6).build()));
    EXPECT_FALSE(glances(filter, Role::kClient, up(!ipv6).build())) << "of the other family";
    EXPECT_FALSE(glances(filter, Role::kServer, up(ipv6).vlan(5).vlan(7).build()));
    EXPECT_TRUE(glances(filter, Role::kClient, up(ipv6).vlan(5).vlan(7).build()));
  }
  EXPECT_FALSE(glances(filter_of(kClient4, "203.0.113.11:80", true), Role::kClient, up().build()));
}

}  // namespace
}  // namespace synproxy::dataplane
