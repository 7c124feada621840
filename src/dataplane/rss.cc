// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/rss.h"

#include <rte_ethdev.h>
#include <rte_thash.h>

#include <array>
#include <cstddef>
#include <utility>

namespace synproxy::dataplane {
namespace {

constexpr std::size_t kMinKeyBytes = 40;  // covers the 36 bytes of an IPv6 tuple and one word more
constexpr std::uint64_t kFields = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;

// Words of a tuple: `address_words` source, as many destination, then both ports in one word.
template <std::size_t kAddressWords>
bool symmetric_for(const std::vector<std::uint8_t>& key, std::uint32_t seed) {
  std::array<std::uint32_t, 2 * kAddressWords + 1> there{};
  for (auto& word : there) word = seed = seed * 1664525U + 1013904223U;
  auto back = there;
  for (std::size_t i = 0; i < kAddressWords; ++i) std::swap(back[i], back[i + kAddressWords]);
  back.back() = there.back() << 16 | there.back() >> 16;
  return rte_softrss(there.data(), there.size(), key.data()) ==
         rte_softrss(back.data(), back.size(), key.data());
}

}  // namespace

bool is_symmetric(const std::vector<std::uint8_t>& key) {
  if (key.size() < kMinKeyBytes) return false;
  for (std::uint32_t sample = 1; sample <= 64; ++sample) {
    if (!symmetric_for<1>(key, sample) || !symmetric_for<4>(key, sample)) return false;
  }
  return true;
}

RssPlan plan_rss(const rte_eth_dev_info& info) {
  RssPlan plan;
  plan.hash_fields = info.flow_type_rss_offloads & kFields;
  if (info.max_rx_queues < 2 || plan.hash_fields == 0) return plan;
  for (std::size_t i = 0; i < info.hash_key_size; ++i) {
    plan.key.push_back(i % 2 == 0 ? 0x6d : 0x5a);
  }
  plan.usable = is_symmetric(plan.key);
  return plan;
}

}  // namespace synproxy::dataplane
