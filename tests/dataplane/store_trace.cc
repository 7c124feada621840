// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/store_trace.h"

#include <atomic>
#include <cstddef>
#include <cstring>

namespace synproxy::tests {
namespace {

constexpr std::size_t kSlots = std::size_t{1} << 18;

// Open addressing; a line stays where it was first put.
struct Lines {
  std::uintptr_t line[kSlots];
  const void* from[kSlots];
};
Lines stored[StoreTrace::kThreads];
Lines loaded[StoreTrace::kThreads];
std::atomic<bool> tracing{false};
thread_local unsigned who = StoreTrace::kThreads;  // nobody
thread_local unsigned paused = 0;

void note(Lines* tables, const volatile void* address, std::size_t bytes, const void* from) {
  if (who == StoreTrace::kThreads || paused != 0 || bytes == 0 ||
      !tracing.load(std::memory_order_relaxed)) {
    return;
  }
  Lines& mine = tables[who];
  const auto first = reinterpret_cast<std::uintptr_t>(address);
  for (std::uintptr_t line = first / 64; line <= (first + bytes - 1) / 64; ++line) {
    std::size_t at = line * 0x9e3779b97f4a7c15U >> 46;
    while (mine.line[at] != line && mine.line[at] != 0) at = (at + 1) % kSlots;
    if (mine.line[at] == line) continue;
    mine.line[at] = line;
    mine.from[at] = from;
  }
}

StoreTrace::Found found_in(const Lines& lines) {
  StoreTrace::Found found;
  for (std::size_t i = 0; i < kSlots; ++i) {
    if (lines.line[i] != 0) found[lines.line[i]] = lines.from[i];
  }
  return found;
}

}  // namespace

void StoreTrace::i_am(unsigned number) {
  if (who == kThreads) who = number;
}
void StoreTrace::begin() {
  std::memset(stored, 0, sizeof stored);
  std::memset(loaded, 0, sizeof loaded);
  tracing = true;
}
void StoreTrace::end() { tracing = false; }

StoreTrace::Found StoreTrace::written_by(unsigned number) { return found_in(stored[number]); }
StoreTrace::Found StoreTrace::read_by(unsigned number) { return found_in(loaded[number]); }

StoreTrace::Pause::Pause() { ++paused; }
StoreTrace::Pause::~Pause() { --paused; }

}  // namespace synproxy::tests

using synproxy::tests::loaded;
using synproxy::tests::note;
using synproxy::tests::stored;

#define WROTE(p, bytes) note(stored, p, bytes, __builtin_return_address(0))
#define READ(p, bytes) note(loaded, p, bytes, __builtin_return_address(0))
// The names are the compiler's.
// NOLINTBEGIN(clang-diagnostic-reserved-identifier,readability-identifier-naming)
extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void** p, void*) { WROTE(p, sizeof *p); }
void __tsan_vptr_read(void** p) { READ(p, sizeof *p); }
void __tsan_read_range(void* p, std::size_t n) { READ(p, n); }
void __tsan_write_range(void* p, std::size_t n) { WROTE(p, n); }

#define SYNPROXY_PLAIN(bytes)                                      \
  void __tsan_read##bytes(void* p) { READ(p, bytes); }             \
  void __tsan_write##bytes(void* p) { WROTE(p, bytes); }           \
  void __tsan_unaligned_read##bytes(void* p) { READ(p, bytes); }   \
  void __tsan_unaligned_write##bytes(void* p) { WROTE(p, bytes); } \
  void __tsan_volatile_read##bytes(void* p) { READ(p, bytes); }    \
  void __tsan_volatile_write##bytes(void* p) { WROTE(p, bytes); }
SYNPROXY_PLAIN(1)
SYNPROXY_PLAIN(2)
SYNPROXY_PLAIN(4)
SYNPROXY_PLAIN(8)
SYNPROXY_PLAIN(16)

#define SYNPROXY_ATOMIC(bits, type)                                                                \
  type __tsan_atomic##bits##_load(const volatile type* p, int) {                                   \
    READ(p, sizeof(type));                                                                         \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                   \
  }                                                                                                \
  void __tsan_atomic##bits##_store(volatile type* p, type v, int) {                                \
    WROTE(p, sizeof v);                                                                            \
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                                      \
  }                                                                                                \
  type __tsan_atomic##bits##_exchange(volatile type* p, type v, int) {                             \
    WROTE(p, sizeof v);                                                                            \
    return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                                            \
  }                                                                                                \
  type __tsan_atomic##bits##_fetch_add(volatile type* p, type v, int) {                            \
    WROTE(p, sizeof v);                                                                            \
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                             \
  }                                                                                                \
  type __tsan_atomic##bits##_fetch_sub(volatile type* p, type v, int) {                            \
    WROTE(p, sizeof v);                                                                            \
    return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST);                                             \
  }                                                                                                \
  type __tsan_atomic##bits##_fetch_and(volatile type* p, type v, int) {                            \
    WROTE(p, sizeof v);                                                                            \
    return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST);                                             \
  }                                                                                                \
  type __tsan_atomic##bits##_fetch_or(volatile type* p, type v, int) {                             \
    WROTE(p, sizeof v);                                                                            \
    return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST);                                              \
  }                                                                                                \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile type* p, type* expected, type v, int, \
                                                    int) {                                         \
    WROTE(p, sizeof v);                                                                            \
    return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }                                                                                                \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile type* p, type* expected, type v, int,   \
                                                  int) {                                           \
    WROTE(p, sizeof v);                                                                            \
    return __atomic_compare_exchange_n(p, expected, v, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);  \
  }
SYNPROXY_ATOMIC(8, std::uint8_t)
SYNPROXY_ATOMIC(16, std::uint16_t)
SYNPROXY_ATOMIC(32, std::uint32_t)
SYNPROXY_ATOMIC(64, std::uint64_t)
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

void* __real_memcpy(void*, const void*, std::size_t);
void* __real_memmove(void*, const void*, std::size_t);
void* __real_memset(void*, int, std::size_t);
void* __wrap_memcpy(void* to, const void* from, std::size_t n) {
  WROTE(to, n);
  READ(from, n);
  return __real_memcpy(to, from, n);
}
void* __wrap_memmove(void* to, const void* from, std::size_t n) {
  WROTE(to, n);
  READ(from, n);
  return __real_memmove(to, from, n);
}
void* __wrap_memset(void* to, int value, std::size_t n) {
  WROTE(to, n);
  return __real_memset(to, value, n);
}

}  // extern "C"
// NOLINTEND(clang-diagnostic-reserved-identifier,readability-identifier-naming)
