// SPDX-License-Identifier: BSD-3-Clause
// Memory for rte_hash out of the same kind of pages as the flow table's own, on machines that have
// reserved no hugepages for DPDK too.
#pragma once

#include <cstddef>

#include "synproxy/flow/mapping.h"

namespace synproxy::bench {

class ExternalHeap {
 public:
  // EAL runs. Throws std::runtime_error.
  ExternalHeap(const char* name, std::size_t bytes);
  // What DPDK's functions take for a socket.
  [[nodiscard]] int socket() const { return socket_; }

 private:
  Mapping memory_;
  int socket_;
};

}  // namespace synproxy::bench
