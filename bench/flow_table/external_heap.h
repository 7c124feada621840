// SPDX-License-Identifier: BSD-3-Clause
// Gives rte_hash memory in the same kind of pages as the flow table's, even on machines that have
// reserved no hugepages for DPDK.
#pragma once

#include <cstddef>

#include "synproxy/flow/mapping.h"

namespace synproxy::bench {

class ExternalHeap {
 public:
  // EAL must run. Throws std::runtime_error.
  ExternalHeap(const char* name, std::size_t bytes);
  // The socket number for DPDK's functions.
  [[nodiscard]] int socket() const { return socket_; }

 private:
  Mapping memory_;
  int socket_;
};

}  // namespace synproxy::bench
