// SPDX-License-Identifier: BSD-3-Clause
// The packet buffers of a port.
#pragma once

#include <rte_errno.h>
#include <rte_mbuf.h>

#include <cstdint>
#include <string>

#include "base/errors.h"
#include "dataplane/memory_plan.h"

namespace synproxy::dataplane {

class Pool {
 public:
  Pool(const char* name, const PoolPlan& plan)
      : pool_(plan.buffers == 0
                  ? nullptr
                  : rte_pktmbuf_pool_create(name, plan.buffers, plan.cache, plan.private_area,
                                            plan.data_room, SOCKET_ID_ANY)) {
    if (pool_ != nullptr || plan.buffers == 0) return;
    throw RuntimeFailure("no memory for " + std::to_string(plan.buffers) + " packet buffers of " +
                         std::to_string(plan.data_room) + " bytes: " + rte_strerror(rte_errno));
  }
  ~Pool() { rte_mempool_free(pool_); }  // takes nullptr
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  [[nodiscard]] rte_mempool* get() const { return pool_; }  // nullptr: its plan was empty
  [[nodiscard]] std::uint64_t in_use() const {
    return pool_ == nullptr ? 0 : rte_mempool_in_use_count(pool_);
  }
  [[nodiscard]] std::uint64_t size() const { return pool_ == nullptr ? 0 : pool_->size; }

 private:
  rte_mempool* pool_;
};

}  // namespace synproxy::dataplane
