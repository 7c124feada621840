// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/flow/mapping.h"

#include <sys/mman.h>

#include <cstdint>
#include <limits>
#include <new>

namespace synproxy {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t rounded_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

}  // namespace

Mapping::Mapping(std::size_t bytes, Kind kind) : bytes_(bytes) {
  if (bytes == 0) return;
  if (bytes > std::numeric_limits<std::ptrdiff_t>::max() - 2 * kHugePage) throw std::bad_alloc();
  const bool huge = bytes >= kHugePage;
  // Older kernels do not align by themselves: map one hugepage more and give back both ends.
  const std::size_t kept = rounded_up(bytes, huge ? kHugePage : 4096);
  const std::size_t asked = huge ? kept + kHugePage : kept;
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (kind == Kind::kSparse ? MAP_NORESERVE : 0);
  void* const raw = ::mmap(nullptr, asked, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (raw == MAP_FAILED) throw std::bad_alloc();
  auto* start = static_cast<std::uint8_t*>(raw);
  if (huge) {
    const auto misaligned = reinterpret_cast<std::uintptr_t>(raw) % kHugePage;
    const std::size_t head = misaligned == 0 ? 0 : kHugePage - misaligned;
    if (head != 0) ::munmap(start, head);
    start += head;
    if (head != kHugePage) ::munmap(start + kept, kHugePage - head);
    ::madvise(start, kept, MADV_HUGEPAGE);
  }
  data_ = start;
}

Mapping::~Mapping() {
  if (data_ != nullptr && own_) {
    ::munmap(data_, rounded_up(bytes_, bytes_ >= kHugePage ? kHugePage : 4096));
  }
}

}  // namespace synproxy
