// SPDX-License-Identifier: BSD-3-Clause
// What --server-port host makes of the kernel's messages, and the file that says how to put them
// back. tests/e2e/cases_host.py moves real addresses.
#include "control/host_end.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <stdexcept>

#include "base/errors.h"
#include "control/confirmation.h"

namespace synproxy::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Bytes = std::vector<std::uint8_t>;

constexpr int kNic = 2;
constexpr int kOther = 3;
constexpr int kEnd = 9;

NetMessage sent(NetRequest request) {
  const nlmsghdr* h = request.header();
  return NetMessage(std::span(reinterpret_cast<const std::uint8_t*>(h), h->nlmsg_len));
}

Bytes raw(const auto& value) {
  const auto* at = reinterpret_cast<const std::uint8_t*>(&value);
  return {at, at + sizeof value};
}

NetMessage address(unsigned char family, const Bytes& bytes, unsigned char scope = 0) {
  ifaddrmsg fixed{};
  fixed.ifa_family = family;
  fixed.ifa_prefixlen = 24;
  fixed.ifa_scope = scope;
  fixed.ifa_index = kNic;
  const ifa_cacheinfo times{300, 600, 0, 0};
  return sent(NetRequest(RTM_NEWADDR, 0)
                  .fixed(fixed)
                  .put(IFA_LOCAL, bytes)
                  .put(IFA_LABEL, std::string_view("eth0:1"))
                  .put(IFA_CACHEINFO, raw(times)));
}

Bytes hops_of(std::initializer_list<int> indexes) {
  Bytes all;
  for (const int index : indexes) {
    rtnexthop hop{};
    hop.rtnh_len = sizeof hop + 8;
    hop.rtnh_ifindex = index;
    hop.rtnh_flags = RTNH_F_ONLINK | RTNH_F_LINKDOWN;
    const Bytes bytes = raw(hop);
    all.insert(all.end(), bytes.begin(), bytes.end());
    const Bytes gateway{8, 0, RTA_GATEWAY, 0, 10, 0, 0, static_cast<std::uint8_t>(index)};
    all.insert(all.end(), gateway.begin(), gateway.end());
  }
  return all;
}

NetMessage route(unsigned char family, std::uint16_t type, const Bytes& data) {
  rtmsg fixed{};
  fixed.rtm_family = family;
  fixed.rtm_table = RT_TABLE_MAIN;
  fixed.rtm_flags = RTNH_F_ONLINK | RTNH_F_LINKDOWN;
  return sent(NetRequest(RTM_NEWROUTE, 0).fixed(fixed).put(type, data));
}

const NetMessage::Attribute* find(const std::vector<NetMessage::Attribute>& all, int type) {
  for (const auto& a : all) {
    if (a.type == type) return &a;
  }
  return nullptr;
}

Bytes data_of(const NetMessage& m, std::size_t fixed, int type) {
  const auto all = m.attributes(fixed);
  const auto* found = find(all, type);
  return found == nullptr ? Bytes() : Bytes(found->data.begin(), found->data.end());
}

TEST(HostEnd, AnAddressMovesWithoutItsLabelAndItsLease) {
  const NetMessage m = address(AF_INET, {203, 0, 113, 10});
  EXPECT_EQ(message_text(m), "203.0.113.10/24");
  const NetMessage over = sent(address_request(m, {kNic, kEnd, true}));
  EXPECT_EQ(over.fixed<ifaddrmsg>().ifa_index, unsigned{kEnd});
  EXPECT_EQ(data_of(over, sizeof(ifaddrmsg), IFA_LOCAL), Bytes({203, 0, 113, 10}));
  EXPECT_TRUE(data_of(over, sizeof(ifaddrmsg), IFA_LABEL).empty());
  const Bytes forever(8, 0xff);
  const Bytes times = data_of(over, sizeof(ifaddrmsg), IFA_CACHEINFO);
  EXPECT_EQ(Bytes(times.begin(), times.begin() + 8), forever);
  // Back as it was.
  const NetMessage back = sent(address_request(m, {kNic, kNic, false}));
  EXPECT_EQ(back.fixed<ifaddrmsg>().ifa_index, unsigned{kNic});
  EXPECT_EQ(data_of(back, sizeof(ifaddrmsg), IFA_CACHEINFO),
            data_of(m, sizeof(ifaddrmsg), IFA_CACHEINFO));
  EXPECT_FALSE(data_of(back, sizeof(ifaddrmsg), IFA_LABEL).empty());
}

TEST(HostEnd, AnIpv6AddressKeepsItsLifetimes) {
  const NetMessage m = address(AF_INET6, Bytes(16, 0x20));
  const NetMessage over = sent(address_request(m, {kNic, kEnd, true}));
  EXPECT_EQ(data_of(over, sizeof(ifaddrmsg), IFA_CACHEINFO),
            data_of(m, sizeof(ifaddrmsg), IFA_CACHEINFO));
}

TEST(HostEnd, ARouteLeavesByTheOtherInterfaceWithAllThatItCarries) {
  const NetMessage m = route(AF_INET, RTA_OIF, raw(std::uint32_t{kNic}));
  const NetMessage over = sent(route_request(m, {kNic, kEnd, true}));
  EXPECT_EQ(data_of(over, sizeof(rtmsg), RTA_OIF), raw(std::uint32_t{kEnd}));
  EXPECT_EQ(over.fixed<rtmsg>().rtm_flags, unsigned{RTNH_F_ONLINK})
      << "link state is not asked for";
  EXPECT_EQ(message_text(m), "default");
}

TEST(HostEnd, OfSeveralHopsOnlyTheInterfacesOwnMove) {
  const Rewrite rewrite{kNic, kEnd, true};
  const auto indexes = [](const Bytes& hops) {
    std::vector<int> all;
    for (std::size_t at = 0; at + sizeof(rtnexthop) <= hops.size();) {
      rtnexthop hop{};
      std::memcpy(&hop, &hops[at], sizeof hop);
      all.push_back(hop.rtnh_ifindex);
      EXPECT_EQ(hop.rtnh_flags, RTNH_F_ONLINK);
      at += hop.rtnh_len;
    }
    return all;
  };
  const Bytes both = hops_of({kNic, kOther});
  const NetMessage v4 = sent(route_request(route(AF_INET, RTA_MULTIPATH, both), rewrite));
  EXPECT_THAT(indexes(data_of(v4, sizeof(rtmsg), RTA_MULTIPATH)), ElementsAre(kEnd, kOther));
  const NetMessage v6 = sent(route_request(route(AF_INET6, RTA_MULTIPATH, both), rewrite));
  EXPECT_THAT(indexes(data_of(v6, sizeof(rtmsg), RTA_MULTIPATH)), ElementsAre(kEnd))
      << "of IPv6 each hop is a route";
}

TEST(HostEnd, AnIpv6RouteKeepsTheRestOfItsLife) {
  rta_cacheinfo times{};
  times.rta_expires = static_cast<int>(100 * ::sysconf(_SC_CLK_TCK));
  const NetMessage m = route(AF_INET6, RTA_CACHEINFO, raw(times));
  const NetMessage over = sent(route_request(m, {kNic, kEnd, true}));
  EXPECT_EQ(data_of(over, sizeof(rtmsg), RTA_EXPIRES), raw(std::uint32_t{100}));
  EXPECT_TRUE(data_of(over, sizeof(rtmsg), RTA_CACHEINFO).empty());
}

TEST(HostEnd, ANeighbourThatIsAskedForIsStale) {
  ndmsg fixed{};
  fixed.ndm_ifindex = kNic;
  fixed.ndm_state = NUD_PROBE;
  const NetMessage m = sent(NetRequest(RTM_NEWNEIGH, 0).fixed(fixed));
  const auto over = sent(neighbour_request(m, {kNic, kEnd, true})).fixed<ndmsg>();
  EXPECT_EQ(over.ndm_state, NUD_STALE);
  EXPECT_EQ(over.ndm_ifindex, kEnd);
}

TEST(HostEnd, ALinkLocalAddressIsNone) {
  Addressing all;
  all.addresses.push_back(address(AF_INET6, Bytes(16, 0xfe), RT_SCOPE_LINK));
  EXPECT_FALSE(all.has_address());
  all.addresses.push_back(address(AF_INET, {203, 0, 113, 10}));
  EXPECT_TRUE(all.has_address());
  EXPECT_EQ(all.text(), "203.0.113.10/24");
}

TEST(HostEnd, ItsNamesFitAnInterface) {
  EXPECT_EQ(end_name("eth0"), "syn-eth0");
  EXPECT_EQ(wire_name("enx001122334455"), "syw-01122334455");
  EXPECT_EQ(wire_name("enx001122334455").size(), 15U);
}

HostState some_state() {
  HostState s;
  s.proxy = "web";
  s.interface = "eth0";
  s.index = kNic;
  s.end = "syn-eth0";
  s.wire = "syw-eth0";
  s.disable_ipv6 = "0";
  s.saved.addresses.push_back(address(AF_INET, {203, 0, 113, 10}));
  s.saved.routes.push_back(route(AF_INET, RTA_OIF, raw(std::uint32_t{kNic})));
  return s;
}

TEST(HostState, IsReadAsItWasWritten) {
  const HostState s = some_state();
  const HostState read = parse_state(state_text(s));
  EXPECT_EQ(read, s);
  EXPECT_EQ(read.saved.addresses, s.saved.addresses);
  EXPECT_EQ(read.saved.routes, s.saved.routes);
  EXPECT_THAT(state_text(s), HasSubstr("203.0.113.10/24")) << "for people";
}

TEST(HostState, WhatIsNoneIsRefused) {
  const std::string good = state_text(some_state());
  for (std::size_t size = 0; size + 2 < good.size(); size += 7) {
    EXPECT_THROW(static_cast<void>(parse_state(good.substr(0, size))), std::invalid_argument);
  }
  std::string odd = good;
  odd.replace(odd.find("\"version\": 1"), 12, "\"version\": 2");
  EXPECT_THROW(static_cast<void>(parse_state(odd)), std::invalid_argument);
  odd = good;
  odd.replace(odd.find("\"addresses\""), 11, "\"adresses\"");
  EXPECT_THROW(static_cast<void>(parse_state(odd)), std::invalid_argument);
}

class HostFileTest : public testing::Test {
 protected:
  ~HostFileTest() override { std::filesystem::remove_all(directory_); }

  const std::filesystem::path directory_ =
      std::filesystem::temp_directory_path() / ("synproxy-host-" + std::to_string(::getpid()));
};

TEST_F(HostFileTest, IsLeftBehindByAProcessThatIsGone) {
  {
    const HostStateFile file(some_state(), directory_);
    EXPECT_TRUE(HostStateFile::left_behind(directory_).empty()) << "its owner lives";
    ASSERT_EQ(HostStateFile::in_use(directory_).size(), 1U);
    EXPECT_EQ(HostStateFile::in_use(directory_).front(), some_state());
  }
  EXPECT_TRUE(HostStateFile::in_use(directory_).empty());
  {
    auto left = HostStateFile::left_behind(directory_);
    ASSERT_EQ(left.size(), 1U);
    EXPECT_EQ(left.front().state, some_state());
    EXPECT_TRUE(HostStateFile::left_behind(directory_).empty()) << "one takes care of it";
    left.front().file.remove();
  }
  EXPECT_TRUE(HostStateFile::left_behind(directory_).empty());
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_F(HostFileTest, StaysForAnotherTryUntilAllIsBack) {
  { const HostStateFile file(some_state(), directory_); }
  {
    const auto left = HostStateFile::left_behind(directory_);
    ASSERT_EQ(left.size(), 1U);
    EXPECT_FALSE(left.front().state.incomplete);
    left.front().file.keep(left.front().state);
  }
  HostState incomplete = some_state();
  incomplete.incomplete = true;
  const auto left = HostStateFile::left_behind(directory_);
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left.front().state, incomplete);
  EXPECT_EQ(state_text(incomplete).size(), state_text(some_state()).size())
      << "it is written over the other one";
}

TEST_F(HostFileTest, IsNotWrittenWhereOthersMayWrite) {
  std::filesystem::create_directories(directory_);
  std::filesystem::permissions(directory_, std::filesystem::perms::all);
  EXPECT_THROW(HostStateFile(some_state(), directory_), RuntimeFailure);
}

TEST_F(HostFileTest, WhoManagesTheInterfaceSaysSo) {
  const auto write = [&](const std::string& file, const std::string& text) {
    const auto path = directory_ / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  };
  EXPECT_EQ(manager_of(2, "eth0", directory_), "");
  write("systemd/netif/links/2", "# private\nADMIN_STATE=unmanaged\n");
  EXPECT_EQ(manager_of(2, "eth0", directory_), "");
  write("systemd/netif/links/2", "# private\nADMIN_STATE=configured\nOPER_STATE=routable\n");
  EXPECT_THAT(manager_of(2, "eth0", directory_), HasSubstr("systemd-networkd manages eth0"));
  EXPECT_EQ(manager_of(3, "eth1", directory_), "");
  write("NetworkManager/devices/3", "[device]\nmanaged=true\n");
  EXPECT_THAT(manager_of(3, "eth1", directory_), HasSubstr("nmcli device set eth1 managed no"));
  write("NetworkManager/devices/3", "[device]\nmanaged=false\n");
  EXPECT_EQ(manager_of(3, "eth1", directory_), "");
}

TEST(Confirmation, LapsesUnlessSomebodyConfirms) {
  Confirmation asked(60);
  asked.begin(1000);
  EXPECT_FALSE(asked.lapsed(60'999));
  EXPECT_TRUE(asked.lapsed(61'000));
  EXPECT_TRUE(asked.confirm());
  EXPECT_FALSE(asked.confirm()) << "once";
  EXPECT_FALSE(asked.lapsed(61'000));
  Confirmation none(0);
  none.begin(1000);
  EXPECT_FALSE(none.lapsed(1'000'000));
  EXPECT_FALSE(none.confirm());
}

}  // namespace
}  // namespace synproxy::control
