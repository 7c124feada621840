// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/flow/huge_pages.h"

#include <sys/mman.h>

namespace synproxy {
namespace {

constexpr int kCollapse = 25;  // MADV_COLLAPSE, which older headers do not have

}  // namespace

bool hold_in_huge_pages(std::span<std::byte> memory) {
  return !memory.empty() && ::madvise(memory.data(), memory.size(), kCollapse) == 0;
}

}  // namespace synproxy
