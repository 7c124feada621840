// SPDX-License-Identifier: BSD-3-Clause
// What a table, a replay filter and an arena make of the memory of a dead process.
#include <gtest/gtest.h>

#include <cstring>
#include <new>
#include <optional>

#include "synproxy/flow/arena.h"
#include "synproxy/flow/replay_filter.h"
#include "synproxy/flow/table.h"
#include "unit/flow/random_keys.h"

namespace synproxy {
namespace {

using test::ipv4_key;
using test::ipv6_key;

constexpr std::uint32_t kFlows = 16;
constexpr IndexKey kKey{1, 2, 3, 4};

std::uint64_t hashed(const FlowKey& key) { return index_hash(kKey, key); }
std::span<std::byte> bytes_of(const Mapping& memory) {
  return {static_cast<std::byte*>(memory.data()), memory.bytes()};
}

// One process after the other in the same memory.
class FlowRestore : public ::testing::Test {
 protected:
  FlowRestore() { next(); }
  Found next() {
    table.reset();
    Arena arena(bytes());
    table.emplace(kFlows, &arena);
    return table->restore(kKey, [](FlowIndex) { return true; });
  }
  std::span<std::byte> bytes() { return bytes_of(memory); }
  // What the next process would find if this one were killed now.
  Found killed(const FlowKey& gone) {
    const Mapping copy(memory.bytes(), Mapping::Kind::kSparse);
    std::memcpy(copy.data(), memory.data(), memory.bytes());
    Arena arena(bytes_of(copy));
    FlowTable other(kFlows, &arena);
    const Found found = other.restore(kKey, [](FlowIndex) { return true; });
    EXPECT_EQ(other.find(gone, hashed(gone)), kNoFlow);
    return found;
  }
  FlowIndex add(const FlowKey& key) {
    const FlowIndex i = table->insert(key, hashed(key));
    (*table)[i].become_spliced(FlowState::kEstablished, {});
    return i;
  }
  FlowIndex find(const FlowKey& key) { return table->find(key, hashed(key)); }

  Mapping memory{FlowTable::store_bytes(kFlows), Mapping::Kind::kSparse};
  std::optional<FlowTable> table;
};

TEST_F(FlowRestore, EmptyMemoryIsAnEmptyTable) {
  EXPECT_EQ(table->size(), 0U);
  EXPECT_EQ(table->high_water(), 0U);
}

TEST_F(FlowRestore, RecordsAreFoundAndFreeOnesAreUsedAgain) {
  for (unsigned n = 0; n < 10; ++n) add(n % 2 == 0 ? ipv4_key(n) : ipv6_key(n));
  for (const unsigned n : {2U, 3U, 8U}) {
    const FlowKey key = n % 2 == 0 ? ipv4_key(n) : ipv6_key(n);
    table->erase(find(key), hashed(key));
  }
  const Found found = next();
  EXPECT_EQ(found.kept, 7U);
  EXPECT_EQ(found.dropped, 0U);
  EXPECT_EQ(table->size(), 7U);
  EXPECT_EQ(table->high_water(), 10U);
  for (unsigned n = 0; n < 10; ++n) {
    const bool gone = n == 2 || n == 3 || n == 8;
    EXPECT_EQ(find(n % 2 == 0 ? ipv4_key(n) : ipv6_key(n)), gone ? kNoFlow : n);
  }
  for (unsigned n = 20; n < 29; ++n) EXPECT_LT(add(ipv4_key(n)), kFlows);
  EXPECT_EQ(table->insert(ipv4_key(40), hashed(ipv4_key(40))), kNoFlow) << "all are in use";
  for (unsigned n = 20; n < 29; ++n) table->erase(find(ipv4_key(n)), hashed(ipv4_key(n)));
  EXPECT_EQ(table->size(), 7U);
}

TEST_F(FlowRestore, RecordCountsFromItsStateOn) {
  ASSERT_EQ(table->insert(ipv4_key(1), hashed(ipv4_key(1))), 0U);  // killed before the state
  const Found found = next();
  EXPECT_EQ(found.kept + found.dropped, 0U);
  EXPECT_EQ(add(ipv4_key(2)), 0U);
}

TEST_F(FlowRestore, RecordThatWasBeingChangedIsDropped) {
  add(ipv4_key(1));
  const FlowIndex i = add(ipv4_key(2));
  {
    const FlowTable::Change change(*table, i);
    const Found found = killed(ipv4_key(2));
    EXPECT_EQ(found.kept, 1U);
    EXPECT_EQ(found.dropped, 1U);
  }
  EXPECT_EQ(next().kept, 2U) << "the change was over";
}

TEST_F(FlowRestore, ChangeWithinAChangeEndsWithTheOuterOne) {
  add(ipv4_key(1));
  const FlowTable::Change outer(*table, 0);
  { const FlowTable::Change inner(*table, 0); }
  EXPECT_EQ(killed(ipv4_key(1)).dropped, 1U);
}

TEST_F(FlowRestore, WhatNoTableCanHaveWrittenIsDropped) {
  struct Row {
    const char* what;
    void (*damage)(FlowRecord&);
  };
  const Row rows[] = {
      {"a state that is none", [](FlowRecord& r) { r.progress |= kFlowStateMask; }},
      {"bits above the VLANs", [](FlowRecord& r) { r.vlan_and_family |= 1U << 28; }},
      {"three tags", [](FlowRecord& r) { r.vlan_and_family |= 3U << 24; }},
      {"a tag without a number", [](FlowRecord& r) { r.vlan_and_family |= 1U << 24; }},
      {"a number without a tag", [](FlowRecord& r) { r.vlan_and_family |= 5; }},
      {"a service bit without a tag", [](FlowRecord& r) { r.vlan_and_family |= 1U << 26; }},
      {"another digest of an address", [](FlowRecord& r) { r.client_address ^= 1; }},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    std::memset(bytes().data(), 0, bytes().size());
    next();
    row.damage((*table)[add(ipv6_key(1))]);
    const Found found = next();
    EXPECT_EQ(found.kept, 0U);
    EXPECT_EQ(found.dropped, 1U);
    EXPECT_EQ(table->size(), 0U);
    EXPECT_EQ(add(ipv6_key(2)), 0U);
  }
}

TEST_F(FlowRestore, SecondRecordOfAConnectionIsDropped) {
  (*table)[add(ipv4_key(1))].cookie = 1;
  (*table)[add(ipv4_key(2))] = (*table)[0];
  const Found found = next();
  EXPECT_EQ(found.kept, 1U);
  EXPECT_EQ(found.dropped, 1U);
  EXPECT_EQ(find(ipv4_key(1)), 0U);
}

TEST_F(FlowRestore, CallerMayRefuseARecord) {
  add(ipv4_key(1));
  add(ipv4_key(2));
  Arena arena(bytes());
  FlowTable other(kFlows, &arena);
  EXPECT_EQ(other.restore(kKey, [](FlowIndex i) { return i != 0; }).dropped, 1U);
  EXPECT_EQ(other.size(), 1U);
}

TEST(Arena, GivesPiecesInOrderAndNeverMoreThanItHas) {
  const Mapping memory(3 * 4096, Mapping::Kind::kSparse);
  auto* const begin = static_cast<std::byte*>(memory.data());
  Arena arena({begin, memory.bytes()});
  EXPECT_EQ(arena.take(1).data(), begin);
  EXPECT_EQ(arena.take(4097).data(), begin + 4096);
  EXPECT_THROW(static_cast<void>(arena.take(1)), std::bad_alloc);
  EXPECT_EQ(arena.take(0).bytes(), 0U);
}

TEST(ReplayFilter, NextProcessStillKnowsWhatWasUsed) {
  constexpr std::uint32_t kExpected = 1000;
  const Mapping memory(ReplayFilter::store_bytes(kExpected), Mapping::Kind::kSparse);
  const std::span<std::byte> bytes(static_cast<std::byte*>(memory.data()), memory.bytes());
  const auto mixed = [](std::uint64_t i) { return i * 0x9e3779b97f4a7c15U; };
  {
    Arena arena(bytes);
    ReplayFilter filter(kExpected, &arena);
    // The last ones are still waiting for their lines.
    for (std::uint64_t i = 1; i <= 100; ++i) filter.insert(50 + i % 2, mixed(i));
  }
  Arena arena(bytes);
  ReplayFilter filter(kExpected, &arena);
  filter.restore(50);
  for (std::uint64_t i = 1; i <= 100; ++i) EXPECT_TRUE(filter.contains(50 + i % 2, mixed(i)));
  EXPECT_FALSE(filter.contains(50, 12345));
}

TEST(ReplayFilter, EpochThatCannotHaveBeenKeepsNoSlot) {
  constexpr std::uint32_t kExpected = 1000;
  const Mapping memory(ReplayFilter::store_bytes(kExpected), Mapping::Kind::kSparse);
  const std::span<std::byte> bytes(static_cast<std::byte*>(memory.data()), memory.bytes());
  {
    Arena arena(bytes);
    ReplayFilter(kExpected, &arena).insert(3'000'000'000, 7);
  }
  Arena arena(bytes);
  ReplayFilter filter(kExpected, &arena);
  filter.restore(300);
  filter.insert(300, 8);
  EXPECT_TRUE(filter.contains(300, 8));
}

}  // namespace
}  // namespace synproxy
