// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/rss.h"

#include <rte_ethdev.h>
#include <rte_thash.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <system_error>
#include <utility>

namespace synproxy::dataplane {
namespace {

constexpr std::size_t kMinKeyBytes = 40;  // covers the 36 bytes of an IPv6 tuple and one word more
constexpr std::uint16_t kMaxPeriod = 128;
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

bool is_good(RssWord word) {
  const int ones = std::popcount(word);
  return ones == 7 || ones == 9;
}

RssWord draw_rss_word() {
  RssWord word = 0;
  while (!is_good(word)) {
    if (::getrandom(&word, sizeof word, 0) != sizeof word) {
      throw std::system_error(errno, std::generic_category(), "getrandom");
    }
  }
  return word;
}

bool is_symmetric(const std::vector<std::uint8_t>& key) {
  if (key.size() < kMinKeyBytes) return false;
  for (std::uint32_t sample = 1; sample <= 64; ++sample) {
    if (!symmetric_for<1>(key, sample) || !symmetric_for<4>(key, sample)) return false;
  }
  return true;
}

RssPlan plan_rss(const rte_eth_dev_info& info, RssWord word) {
  RssPlan plan;
  plan.hash_fields = info.flow_type_rss_offloads & kFields;
  if (info.max_rx_queues < 2 || plan.hash_fields == 0) return plan;
  for (std::size_t i = 0; i < info.hash_key_size; ++i) {
    plan.key.push_back(static_cast<std::uint8_t>(i % 2 == 0 ? word >> 8 : word));
  }
  plan.usable = is_symmetric(plan.key);
  return plan;
}

std::uint16_t reta_period(std::uint16_t size, std::uint16_t queues) {
  if (!std::has_single_bit(size) || size < queues) return 0;
  if (std::has_single_bit(queues)) return queues;
  const std::uint16_t period = std::min(size, kMaxPeriod);
  return period < queues ? std::uint16_t{0} : period;
}

std::vector<rte_eth_rss_reta_entry64> plan_reta(std::uint16_t size, std::uint16_t queues) {
  const unsigned period = reta_period(size, queues);
  std::vector<rte_eth_rss_reta_entry64> table((size + RTE_ETH_RETA_GROUP_SIZE - 1U) /
                                              RTE_ETH_RETA_GROUP_SIZE);
  for (unsigned i = 0; i < size && period != 0; ++i) {
    rte_eth_rss_reta_entry64& group = table[i / RTE_ETH_RETA_GROUP_SIZE];
    const unsigned place = i % RTE_ETH_RETA_GROUP_SIZE;
    group.mask |= RTE_BIT64(place);
    group.reta[place] = static_cast<std::uint16_t>(i % period % queues);
  }
  return table;
}

}  // namespace synproxy::dataplane
