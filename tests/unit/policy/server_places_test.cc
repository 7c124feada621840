// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/server_places.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

namespace synproxy {
namespace {

constexpr ServerPlaces::Key kKey{0x243f6a8885a308d3ULL, 0x13198a2e03707344ULL,
                                 0xa4093822299f31d0ULL, 0x082efa98ec4e6c89ULL};
constexpr ServerBacklog kAuto{.connections = 0, .learned = true, .mask = {}};
ServerBacklog at_most(std::uint32_t n) { return {.connections = n, .learned = false, .mask = {}}; }

FlowKey service(std::uint8_t host, std::uint16_t port = 80, bool ipv6 = false) {
  FlowKey key;
  key.server = {203, 0, 113, host};
  key.client = {198, 51, 100, 7};
  key.server_port = port;
  key.ipv6 = ipv6;
  return key;
}

struct Table {
  ServerPlaces places{kKey};
  std::uint32_t slot = places.look(places.service_of(service(1)), 1000, kAuto).slot;
  [[nodiscard]] unsigned take_all(const ServerBacklog& bound) {
    unsigned n = 0;
    while (places.take(slot, 1000, bound)) ++n;
    return n;
  }
  void release(unsigned n) {
    while (n-- != 0) places.release(slot);
  }
};

TEST(ServerPlaces, AServiceIsAnAddressAPortAndAVlanWhateverTheClient) {
  const ServerPlaces places(kKey);
  FlowKey key = service(1);
  const std::uint64_t first = places.service_of(key);
  key.client = {10, 1, 2, 3};
  key.client_port = 999;
  EXPECT_EQ(places.service_of(key), first);
  std::set<std::uint64_t> others{first};
  key.server_port = 81;
  others.insert(places.service_of(key));
  key.server[3] = 9;
  others.insert(places.service_of(key));
  key.vlan.packed = 77;
  others.insert(places.service_of(key));
  key.ipv6 = true;
  others.insert(places.service_of(key));
  key.server[15] = 1;
  others.insert(places.service_of(key));
  key.server[7] = 1;
  others.insert(places.service_of(key));
  EXPECT_EQ(others.size(), 7U);
}

TEST(ServerPlaces, NoMoreAreTakenThanTheBoundWhateverItWasBefore) {
  Table t;
  EXPECT_EQ(t.take_all(at_most(5)), 5U);
  EXPECT_EQ(t.take_all(at_most(7)), 2U);
  EXPECT_EQ(t.take_all(at_most(3)), 0U);
  t.release(4);
  EXPECT_EQ(t.take_all(at_most(3)), 0U);
  t.release(1);
  EXPECT_EQ(t.take_all(at_most(3)), 1U);
  EXPECT_EQ(t.places.taken(t.slot), 3U);
}

TEST(ServerPlaces, AutoBeginsHalvesOnceForAllThatWereAskedAndIsRaisedByOne) {
  Table t;
  EXPECT_EQ(t.take_all(kAuto), ServerPlaces::kFirstBound);
  EXPECT_TRUE(t.places.silent(t.slot, 1000, 1600));
  EXPECT_FALSE(t.places.silent(t.slot, 1599, 2200)) << "was asked before that";
  EXPECT_EQ(t.places.bound_of(t.slot, kAuto), 64U);
  EXPECT_TRUE(t.places.silent(t.slot, 1600, 2300));
  t.places.raise(t.slot);
  EXPECT_EQ(t.places.bound_of(t.slot, kAuto), 33U);
  for (std::uint32_t ms = 3000; ms < 20'000; ms += 1000) {
    static_cast<void>(t.places.silent(t.slot, ms, ms + 600));
  }
  EXPECT_EQ(t.places.bound_of(t.slot, kAuto), ServerPlaces::kLeastBound);
  EXPECT_EQ(t.places.bound_of(t.slot, at_most(50)), 50U) << "what is set is not learned";
  EXPECT_EQ(t.places.taken(t.slot), ServerPlaces::kFirstBound);
  for (unsigned n = 0; n < 70'000; ++n) t.places.raise(t.slot);
  EXPECT_EQ(t.places.bound_of(t.slot, kAuto), ServerPlaces::kMostBound);
}

TEST(ServerPlaces, AnEntryInUseIsKeptAndAnIdleOneGivesWay) {
  ServerPlaces places(kKey);
  const auto name = [&](std::uint32_t n) {
    return places.service_of(
        service(static_cast<std::uint8_t>(n >> 16), static_cast<std::uint16_t>(n)));
  };
  const auto look = [&](std::uint32_t n, std::uint64_t now_ms) {
    return places.look(name(n), now_ms, at_most(9)).slot;
  };
  // Fill the line of the first one, and find one service more.
  const std::uint32_t first = look(0, 1000);
  std::uint32_t n = 0;
  const auto next_of_line = [&] {
    do ++n;
    while (name(n) % (ServerPlaces::kServices / ServerPlaces::kWays) !=
           first / ServerPlaces::kWays);
    return n;
  };
  for (std::size_t way = 1; way < ServerPlaces::kWays; ++way) {
    EXPECT_NE(look(next_of_line(), 1000), ServerPlaces::kServices);
  }
  const std::uint32_t more = next_of_line();
  EXPECT_EQ(look(more, 2000), ServerPlaces::kServices) << "all were used just now";
  EXPECT_TRUE(places.take_anyway(first, 2000));
  const std::uint32_t slot = look(more, 60'000);
  EXPECT_NE(slot, ServerPlaces::kServices);
  EXPECT_NE(slot, first) << "it has a connection";
  EXPECT_EQ(look(0, 60'000), first);
  EXPECT_EQ(places.taken(first), 1U);
}

TEST(ServerPlaces, ThreadsTakeNoMoreThanOneWould) {
  Table t;
  std::vector<std::thread> threads;
  std::atomic<std::uint32_t> taken{0};
  std::atomic<bool> over{false};
  for (unsigned n = 0; n < 3; ++n) {
    threads.emplace_back([&] {
      for (unsigned i = 0; i < 20'000; ++i) {
        if (!t.places.take(t.slot, 1000 + i, at_most(2))) continue;
        if (taken.fetch_add(1) >= 2) over = true;
        taken.fetch_sub(1);
        t.places.release(t.slot);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(over);
  EXPECT_EQ(t.places.taken(t.slot), 0U);
}

TEST(ServerPlaces, TheLevelOfASourceIsHowOftenItCameLately) {
  ServerPlaces places(kKey);
  const std::uint64_t name = places.service_of(service(1));
  const AddressBytes a{10, 0, 0, 1};
  const AddressBytes b{10, 0, 0, 2};
  const auto turn = [&](const AddressBytes& who, std::uint32_t now, SourceMask mask = {}) {
    return places.take_turn(name, who.data(), false, mask, now);
  };
  for (std::uint32_t n = 0; n < ServerPlaces::kLevels; ++n) EXPECT_EQ(turn(a, 1000), n);
  EXPECT_EQ(turn(a, 1000), ServerPlaces::kLevels - 1);
  EXPECT_EQ(turn(b, 1000), 0U);
  EXPECT_EQ(turn(b, 1000 + ServerPlaces::kTurnMs), 0U);
  EXPECT_EQ(places.take_turn(name + 1, b.data(), false, {}, 31'000), 0U) << "of another service";
  EXPECT_EQ(turn(b, 1000 + ServerPlaces::kTurnMs + 1), 1U);
  const SourceMask wide{.ipv4 = 24, .ipv6 = 48};
  EXPECT_EQ(turn(a, 1000, wide), 0U);
  EXPECT_EQ(turn(b, 1000, wide), 1U);
  // The time goes round.
  EXPECT_EQ(turn({10, 0, 0, 3}, 0xfffffff0U), 0U);
  EXPECT_EQ(turn({10, 0, 0, 3}, 5U), 1U);
  EXPECT_EQ(turn({10, 0, 0, 3}, 5U + 3 * ServerPlaces::kTurnMs), 0U);
}

TEST(ServerPlaces, AnIpv6SourceIsItsPrefix) {
  ServerPlaces places(kKey);
  const std::uint64_t name = places.service_of(service(1, 80, true));
  AddressBytes a{0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 3};
  EXPECT_EQ(places.take_turn(name, a.data(), true, {}, 1000), 0U);
  a[15] = 9;
  EXPECT_EQ(places.take_turn(name, a.data(), true, {}, 1000), 1U);
  EXPECT_EQ(places.take_turn(name, a.data(), true, {.ipv4 = 32, .ipv6 = 128}, 1000), 0U);
  a[7] = 3;
  EXPECT_EQ(places.take_turn(name, a.data(), true, {}, 1000), 0U);
}

}  // namespace
}  // namespace synproxy
