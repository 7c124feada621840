// SPDX-License-Identifier: BSD-3-Clause
// Receive-side scaling that puts both directions of a connection on one queue.
#pragma once

#include <cstdint>
#include <vector>

struct rte_eth_dev_info;

namespace synproxy::dataplane {

struct RssPlan {
  bool usable = false;            // else: one receive queue
  std::uint64_t hash_fields = 0;  // RTE_ETH_RSS_*
  std::vector<std::uint8_t> key;
};

// A Toeplitz hash under a key of period 16 bits gives the same for (a, b, p, q) and (b, a, q, p),
// because every exchanged pair stands a multiple of 16 bits apart. Devices whose key cannot be set
// or has an unknown length get no plan.
[[nodiscard]] RssPlan plan_rss(const rte_eth_dev_info& info);

// Computes sample tuples in software, both ways round, IPv4 and IPv6.
[[nodiscard]] bool is_symmetric(const std::vector<std::uint8_t>& key);

}  // namespace synproxy::dataplane
