// SPDX-License-Identifier: BSD-3-Clause
// Faults that SYN proxies had in the field, as tests: the cost of a packet of a flood. This counts
// locks, memory and output of an engine at work; the test core_symbols checks that its objects
// refer to no such thing at all.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "support/session.h"

namespace {

std::atomic<std::uint64_t> g_locks{0};
std::atomic<std::uint64_t> g_allocations{0};

void count(std::atomic<std::uint64_t>& counter) {
  if (synproxy::test::ProxyHarness::inside_engine > 0) ++counter;
}

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

void* allocate(std::size_t size, std::size_t alignment) {
  count(g_allocations);
  void* p = alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__
                ? std::malloc(size == 0 ? 1 : size)
                : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

}  // namespace

// Replaces the library's functions in this program.
extern "C" {
int pthread_mutex_lock(pthread_mutex_t* m) {
  static const auto real = next<int (*)(pthread_mutex_t*)>("pthread_mutex_lock");
  count(g_locks);
  return real(m);
}
int pthread_rwlock_rdlock(pthread_rwlock_t* l) {
  static const auto real = next<int (*)(pthread_rwlock_t*)>("pthread_rwlock_rdlock");
  count(g_locks);
  return real(l);
}
int pthread_rwlock_wrlock(pthread_rwlock_t* l) {
  static const auto real = next<int (*)(pthread_rwlock_t*)>("pthread_rwlock_wrlock");
  count(g_locks);
  return real(l);
}
int pthread_spin_lock(pthread_spinlock_t* l) {
  static const auto real = next<int (*)(pthread_spinlock_t*)>("pthread_spin_lock");
  count(g_locks);
  return real(l);
}
}

void* operator new(std::size_t size) { return allocate(size, 0); }
void* operator new[](std::size_t size) { return allocate(size, 0); }
void* operator new(std::size_t size, std::align_val_t a) {
  return allocate(size, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t size, std::align_val_t a) {
  return allocate(size, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace synproxy {
namespace {

using namespace test;

// Shows that the counting works.
TEST(KnownFaultCounting, SeesALockAndAnAllocation) {
  const std::uint64_t locks = g_locks;
  const std::uint64_t allocations = g_allocations;
  ++ProxyHarness::inside_engine;
  pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
  EXPECT_EQ(pthread_mutex_lock(&m), 0);
  EXPECT_EQ(pthread_mutex_unlock(&m), 0);
  ::operator delete(::operator new(8));
  --ProxyHarness::inside_engine;
  EXPECT_EQ(g_locks, locks + 1);
  EXPECT_EQ(g_allocations, allocations + 1);
}

std::vector<Bytes> syn_burst(std::uint32_t seed) {
  std::vector<Bytes> burst;
  for (std::uint32_t i = 0; i < kMaxBurst; ++i) {
    const std::uint32_t n = seed * std::uint32_t{kMaxBurst} + i;
    PacketBuilder b;
    if (n % 2 != 0) b.ip("2001:db8:1::7", "2001:db8::10");
    b.ports(static_cast<std::uint16_t>(1024 + n), 80).seq(n * 77777).flags(kSyn).mss(1460);
    if (n % 3 != 0) b.sack_permitted().timestamps(n, 0).window_scale(7);
    burst.push_back(b.build());
  }
  return burst;
}

TEST(KnownFault, NoSynTakesALock) {
  ProxyHarness p;
  const std::uint64_t locks = g_locks;
  const std::uint64_t allocations = g_allocations;
  for (std::uint32_t i = 0; i < 300; ++i) {
    p.feed_burst(Role::kClient, syn_burst(i));
    p.to_client.clear();
    if (i % 10 == 0) p.leap(1'000);  // through the rotation of keys too
  }
  EXPECT_EQ(p.count(Reason::synack_sent), 300 * kMaxBurst);
  EXPECT_EQ(g_locks, locks);
  EXPECT_EQ(g_allocations, allocations);
  EXPECT_EQ(p.flows(), 0U);
}

// An invalid ACK makes the engine write, send and keep nothing; one counter moves.
TEST(KnownFault, InvalidAckIsCountedAndCostsNothingMore) {
  ProxyHarness p;
  Session c(p);
  c.open();
  p.advance(1'000);
  p.to_server.clear();
  std::array<std::uint64_t, kReasonCount> before{};
  for (std::size_t r = 0; r < kReasonCount; ++r) before[r] = p.count(static_cast<Reason>(r));
  const std::uint64_t locks = g_locks;
  const std::uint64_t allocations = g_allocations;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  std::uint64_t sent = 0;
  for (std::uint32_t i = 0; i < 300; ++i) {
    std::vector<Bytes> burst;
    for (std::uint32_t k = 0; k < kMaxBurst; ++k, ++sent) {
      const auto n = static_cast<std::uint32_t>(sent);
      PacketBuilder b;
      if (n % 2 != 0) b.ip("2001:db8:1::7", "2001:db8::10");
      b.ports(static_cast<std::uint16_t>(1024 + n % 30'000), 80).seq(n * 999'983).ack(n * 7919);
      if (n % 3 != 0) b.timestamps(n, n * 31);
      if (n % 5 == 0) b.flags(kAck | kFin);
      burst.push_back(b.payload(std::string(n % 4 * 300, 'a')).build());
    }
    for (const Verdict v : p.feed_burst(Role::kClient, burst)) EXPECT_EQ(v, Verdict::kDrop);
  }
  (void)std::fflush(nullptr);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(g_locks, locks);
  EXPECT_EQ(g_allocations, allocations);
  p.expect_quiet();
  for (std::size_t r = 0; r < kReasonCount; ++r) {
    const auto reason = static_cast<Reason>(r);
    EXPECT_EQ(p.count(reason) - before[r], reason == Reason::cookie_invalid ? sent : 0)
        << info(reason).name;
  }
  EXPECT_EQ(p.flows(), 1U);
}

// The same holds for all other packets and timers, from the first SYN to the last tick.
TEST(KnownFault, NothingIsAllocatedAfterConstruction) {
  HarnessOptions h;
  h.engine.shape.max_flows = 64;
  h.engine.shape.early_data_memory = 32'768;
  ProxyHarness p(h);
  const std::uint64_t locks = g_locks;
  const std::uint64_t allocations = g_allocations;
  const std::string data(3000, 'd');
  for (std::uint32_t i = 0; i < 200; ++i) {
    SessionOptions o;
    o.ipv6 = i % 2 != 0;
    if (i % 5 == 1) o.tags = {{static_cast<std::uint16_t>(i), kEtherTypeVlan}};
    o.timestamps = i % 3 != 0;
    o.client_port = static_cast<std::uint16_t>(1000 + i % 90);
    o.client_isn = i * 0x01010101;
    Session c(p, o);
    c.syn();
    p.from_client(c.client().payload(data).build());
    if (i % 7 != 0) p.from_server(c.syn_ack_frame());
    c.client_nxt += 3000;
    for (int n = 0; n < 3; ++n) {
      p.from_client(c.client().nop(2).sack({{c.cookie, c.cookie + 9}}).payload(data).build());
      p.from_server(c.server().payload(data).build());
    }
    // The network on the client's side quotes frames that were sent to it.
    PacketBuilder lost = c.server();
    lost.seq(c.seen_by_client(c.server_nxt));
    PacketBuilder error;
    error.vlans(o.tags).ip(o.ipv6 ? "2001:db8:2::1" : "192.0.2.1", c.o.server);
    error.icmp_error(o.ipv6 ? 2 : 3, o.ipv6 ? 0 : 4, 1280, lost.build_packet(100));
    p.from_client(error.build());
    if (i % 4 == 0) p.from_client(c.client(kRst | kAck).build());
    if (i % 4 == 1) p.from_server(c.server(kFin | kAck).build());
    if (i % 4 == 2) p.from_client(c.client(kSyn).build());
    p.advance(i % 20 * 10);
    p.to_client.clear();  // keepalives too: the table is full
    p.to_server.clear();
  }
  EXPECT_GT(p.count(Reason::flow_evicted) + p.count(Reason::table_full), 0U);
  EXPECT_GT(p.count(Reason::icmp_translated), 0U);
  EXPECT_GT(p.count(Reason::early_released), 0U);
  p.to_client.clear();
  p.to_server.clear();
  p.advance(8'000'000);
  EXPECT_GT(p.count(Reason::keepalive_probe), 0U);
  EXPECT_GT(p.count(Reason::conn_idle), 0U);
  EXPECT_EQ(g_locks, locks);
  EXPECT_EQ(g_allocations, allocations);
}

}  // namespace
}  // namespace synproxy
