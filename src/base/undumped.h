// SPDX-License-Identifier: BSD-3-Clause
// An object on pages of its own that no core dump holds (MADV_DONTDUMP).
#pragma once

#include <sys/mman.h>

#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace synproxy {

template <typename T>
struct Unmap {
  void operator()(T* object) const {
    object->~T();
    ::munmap(object, sizeof(T));
  }
};
template <typename T>
using Undumped = std::unique_ptr<T, Unmap<T>>;

// Throws std::bad_alloc, and what the constructor throws.
template <typename T, typename... Arguments>
[[nodiscard]] Undumped<T> make_undumped(Arguments&&... arguments) {
  static_assert(alignof(T) <= 4096);
  void* pages =
      ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  static_cast<void>(::madvise(pages, sizeof(T), MADV_DONTDUMP));
  try {
    return Undumped<T>(new (pages) T(std::forward<Arguments>(arguments)...));
  } catch (...) {
    ::munmap(pages, sizeof(T));
    throw;
  }
}

}  // namespace synproxy
