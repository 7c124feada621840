// SPDX-License-Identifier: BSD-3-Clause
#include "flow_table/external_heap.h"

#include <rte_errno.h>
#include <rte_malloc.h>

#include <stdexcept>
#include <string>

namespace synproxy::bench {

ExternalHeap::ExternalHeap(const char* name, std::size_t bytes)
    : memory_(bytes, Mapping::Kind::kSparse) {
  constexpr std::size_t kPage = std::size_t{2} << 20;
  if (rte_malloc_heap_create(name) != 0 ||
      rte_malloc_heap_memory_add(name, memory_.data(), bytes, nullptr,
                                 static_cast<unsigned>(bytes / kPage), kPage) != 0) {
    throw std::runtime_error(std::string("DPDK takes no memory from outside: ") +
                             rte_strerror(rte_errno));
  }
  socket_ = rte_malloc_heap_get_socket(name);
}

}  // namespace synproxy::bench
