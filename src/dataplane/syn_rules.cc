// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/syn_rules.h"

#include <rte_ethdev.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "dataplane/dpdk_version.h"

namespace synproxy::dataplane {
namespace {

// A device keeps its rules in a table, and in the worst case looks at each rule for each frame.
// More rules than this are not worth it: one rule per family then takes all SYNs.
constexpr std::size_t kMostRules = 64;

void set_prefix(std::uint8_t* mask, unsigned bits) {
  for (; bits >= 8; bits -= 8) *mask++ = 0xff;
  if (bits != 0) *mask = static_cast<std::uint8_t>(0xff << (8 - bits));
}

class RteFlow final : public FlowDevice {
 public:
  RteFlow(std::uint16_t port_id, std::string_view driver)
      : port_id_(port_id), matching_(syn_matching_of(driver)) {}

  [[nodiscard]] SynMatching matching() const override { return matching_; }
  [[nodiscard]] bool accepts(const SynRule& rule) override {
    rte_flow_error error{};
    return rte_flow_validate(port_id_, &rule.attributes(), rule.pattern(), rule.actions(),
                             &error) == 0;
  }
  [[nodiscard]] void* add(const SynRule& rule) override {
    rte_flow_error error{};
    return rte_flow_create(port_id_, &rule.attributes(), rule.pattern(), rule.actions(), &error);
  }
  void remove(void* handle) override {
    rte_flow_error error{};
    static_cast<void>(rte_flow_destroy(port_id_, static_cast<rte_flow*>(handle), &error));
  }

 private:
  const std::uint16_t port_id_;
  const SynMatching matching_;
};

}  // namespace

// As of DPDK 22.11. ixgbe, igb, igc and txgbe have one filter (SYNQF): cons_parse_syn_filter()
// takes a TCP item whose mask is SYN and nothing else, with the action QUEUE. mlx5 matches any
// flags if it has DV (flow_dv_validate()). i40e, ice, iavf, hns3, cxgbe and bnxt's own parser
// refuse flags.
SynMatching syn_matching_of(std::string_view driver) {
  if (driver == "mlx5_pci") return SynMatching::kFlags;
  for (const char* one : {"net_ixgbe", "net_e1000_igb", "net_igc", "net_txgbe"}) {
    if (driver == one) return SynMatching::kFilter;
  }
  return SynMatching::kNone;
}

SynRule::SynRule(std::uint16_t queue) {
  attributes_.ingress = 1;
  tcp_[0].hdr.tcp_flags = tcp_[1].hdr.tcp_flags = RTE_TCP_SYN_FLAG;
  pattern_[0] = {RTE_FLOW_ITEM_TYPE_TCP, &tcp_[0], nullptr, &tcp_[1]};
  pattern_[1].type = RTE_FLOW_ITEM_TYPE_END;
  go_to({queue, 1, 0, {}}, false);
}

SynRule::SynRule(const ProtectRule& to, const SynQueues& queues) {
  attributes_.ingress = 1;
  const bool any = to.prefix_length == 0;
  pattern_[0].type = RTE_FLOW_ITEM_TYPE_ETH;
  if (to.ipv6) {
    std::memcpy(bytes_of(ipv6_[0].hdr.dst_addr), to.address.data(), 16);
    set_prefix(bytes_of(ipv6_[1].hdr.dst_addr), to.prefix_length);
    pattern_[1] = {RTE_FLOW_ITEM_TYPE_IPV6, any ? nullptr : &ipv6_[0], nullptr,
                   any ? nullptr : &ipv6_[1]};
  } else {
    std::array<std::uint8_t, 4> mask{};
    set_prefix(mask.data(), to.prefix_length);
    std::memcpy(&ipv4_[0].hdr.dst_addr, to.address.data(), 4);
    std::memcpy(&ipv4_[1].hdr.dst_addr, mask.data(), 4);
    pattern_[1] = {RTE_FLOW_ITEM_TYPE_IPV4, any ? nullptr : &ipv4_[0], nullptr,
                   any ? nullptr : &ipv4_[1]};
  }
  // A SYN may carry ECE and CWR (RFC 3168 section 6.1.1), so the mask has only these two flags.
  tcp_[0].hdr.tcp_flags = RTE_TCP_SYN_FLAG;
  tcp_[1].hdr.tcp_flags = RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG;
  if (to.first_port == to.last_port) {
    tcp_[0].hdr.dst_port = rte_cpu_to_be_16(to.first_port);
    tcp_[1].hdr.dst_port = 0xffff;
  }
  pattern_[2] = {RTE_FLOW_ITEM_TYPE_TCP, &tcp_[0], nullptr, &tcp_[1]};
  pattern_[3].type = RTE_FLOW_ITEM_TYPE_END;
  go_to(queues, to.ipv6);
}

void SynRule::go_to(const SynQueues& queues, bool ipv6) {
  actions_[1].type = RTE_FLOW_ACTION_TYPE_END;
  if (queues.count == 1) {
    queue_.index = queues.first;
    actions_[0] = {RTE_FLOW_ACTION_TYPE_QUEUE, &queue_};
    return;
  }
  queues_.resize(queues.count);
  std::iota(queues_.begin(), queues_.end(), queues.first);
  key_ = queues.key;
  rss_.func = RTE_ETH_HASH_FUNCTION_DEFAULT;  // Toeplitz, as for ordinary frames
  rss_.types =
      queues.hash_fields & (ipv6 ? RTE_ETH_RSS_NONFRAG_IPV6_TCP : RTE_ETH_RSS_NONFRAG_IPV4_TCP);
  rss_.key_len = static_cast<std::uint32_t>(key_.size());
  rss_.key = key_.data();
  rss_.queue_num = queues.count;
  rss_.queue = queues_.data();
  actions_[0] = {RTE_FLOW_ACTION_TYPE_RSS, &rss_};
}

std::vector<SynRuleSet> plan_syn_rules(SynMatching matching, const SynQueues& queues,
                                       std::span<const ProtectRule> protect) {
  std::vector<SynRuleSet> plans;
  // One queue for several workers would make one of them read and hand over everybody's SYNs.
  // Devices with such a filter carry at most 10 Gbit/s; without it, each worker sheds its own
  // share.
  if (matching == SynMatching::kFilter && queues.count == 1) {
    plans.emplace_back().push_back(std::make_unique<SynRule>(queues.first));
  }
  if (matching != SynMatching::kFlags) return plans;
  if (!protect.empty() && protect.size() <= kMostRules) {
    SynRuleSet& exact = plans.emplace_back();
    for (const ProtectRule& to : protect) exact.push_back(std::make_unique<SynRule>(to, queues));
  }
  SynRuleSet& all = plans.emplace_back();
  for (const bool ipv6 : {false, true}) {
    ProtectRule any;
    any.prefix_length = 0;
    any.ipv6 = ipv6;
    all.push_back(std::make_unique<SynRule>(any, queues));
  }
  return plans;
}

std::unique_ptr<FlowDevice> rte_flow_device(std::uint16_t port_id, std::string_view driver) {
  return std::make_unique<RteFlow>(port_id, driver);
}

bool SynRules::accepts(const SynRuleSet& rules) const {
  return std::all_of(rules.begin(), rules.end(),
                     [this](const auto& rule) { return device_.accepts(*rule); });
}

bool SynRules::acceptable() const {
  return std::any_of(plans_.begin(), plans_.end(),
                     [this](const SynRuleSet& rules) { return accepts(rules); });
}

bool SynRules::install() {
  for (const SynRuleSet& rules : plans_) {
    if (!accepts(rules)) continue;
    for (const auto& rule : rules) {
      void* handle = device_.add(*rule);
      if (handle == nullptr) break;
      installed_.push_back(handle);
    }
    if (installed_.size() == rules.size()) return true;
    remove();
  }
  return false;
}

void SynRules::remove() {
  for (auto handle = installed_.rbegin(); handle != installed_.rend(); ++handle) {
    device_.remove(*handle);
  }
  installed_.clear();
}

}  // namespace synproxy::dataplane
