// SPDX-License-Identifier: BSD-3-Clause
// Rules that make a device put SYNs into receive queues of their own (rte_flow).
//
// Theory of operation. A flood fills the queue that it arrives by, and other frames of that queue
// are lost with it. If the device can tell a SYN from other segments, each worker has a second
// queue for SYNs alone, and polls it last. An overflow then loses only SYNs, and loses them in the
// device. A rule decides where a frame waits, never what becomes of it: a frame of a SYN queue is
// parsed, steered and shed like any other (steering.h, syn_lane.h). A SYN can be overtaken by a
// later ACK. That changes nothing: the SYN of that ACK was answered before the ACK could exist, and
// the proxy keeps nothing of it. A late repeat is just one more SYN.
//
// Only drivers whose source was read get rules. rte_flow_validate() alone is not enough: ixgbe, igb
// and igc accept the RSS action with any pattern, and then move all traffic.
#pragma once

#include <rte_flow.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "synproxy/policy/protect.h"

namespace synproxy::dataplane {

enum class SynMatching : std::uint8_t {
  kNone,
  kFilter,  // every segment with SYN, SYN-ACKs too, of every address, into one queue
  kFlags,   // SYN without ACK, by address and port, spread over queues
};
[[nodiscard]] SynMatching syn_matching_of(std::string_view driver);

// The queues for SYNs, and how SYNs are spread over them: like ordinary frames, so that a SYN comes
// to its owner.
struct SynQueues {
  std::uint16_t first = 0;
  std::uint16_t count = 0;
  std::uint64_t hash_fields = 0;  // RTE_ETH_RSS_*
  std::vector<std::uint8_t> key;
};

// One rule, with everything that its pointers point to.
class SynRule {
 public:
  explicit SynRule(std::uint16_t queue);  // for a SYN filter
  SynRule(const ProtectRule& to, const SynQueues& queues);
  SynRule(const SynRule&) = delete;
  SynRule& operator=(const SynRule&) = delete;

  [[nodiscard]] const rte_flow_attr& attributes() const { return attributes_; }
  [[nodiscard]] const rte_flow_item* pattern() const { return pattern_.data(); }
  [[nodiscard]] const rte_flow_action* actions() const { return actions_.data(); }

 private:
  void go_to(const SynQueues& queues, bool ipv6);

  rte_flow_attr attributes_{};
  rte_flow_item_ipv4 ipv4_[2] = {};  // spec and mask
  rte_flow_item_ipv6 ipv6_[2] = {};
  rte_flow_item_tcp tcp_[2] = {};
  std::array<rte_flow_item, 4> pattern_{};
  std::vector<std::uint16_t> queues_;
  std::vector<std::uint8_t> key_;
  rte_flow_action_queue queue_{};
  rte_flow_action_rss rss_{};
  std::array<rte_flow_action, 2> actions_{};
};
using SynRuleSet = std::vector<std::unique_ptr<SynRule>>;

// Sets of rules to be tried, the best first; one of them is enough. A port range counts as all
// ports of its address: SYNs to other ports then wait needlessly, but are served all the same.
[[nodiscard]] std::vector<SynRuleSet> plan_syn_rules(SynMatching matching, const SynQueues& queues,
                                                     std::span<const ProtectRule> protect);

// The questions to a device; a test brings its own.
class FlowDevice {
 public:
  virtual ~FlowDevice() = default;
  [[nodiscard]] virtual SynMatching matching() const = 0;
  [[nodiscard]] virtual bool accepts(const SynRule& rule) = 0;
  [[nodiscard]] virtual void* add(const SynRule& rule) = 0;  // nullptr: refused
  virtual void remove(void* handle) = 0;
};
[[nodiscard]] std::unique_ptr<FlowDevice> rte_flow_device(std::uint16_t port_id,
                                                          std::string_view driver);

// Keeps rules in a device for as long as it lives. The device outlives it.
class SynRules {
 public:
  SynRules(FlowDevice& device, std::vector<SynRuleSet> plans)
      : device_(device), plans_(std::move(plans)) {}
  ~SynRules() { remove(); }
  SynRules(const SynRules&) = delete;
  SynRules& operator=(const SynRules&) = delete;

  // Whether the device, whose queues are set up, would take one of the sets. It need not be
  // started.
  [[nodiscard]] bool acceptable() const;
  // For a started device. False: no set could be installed whole, and no rule is left in the
  // device.
  [[nodiscard]] bool install();

 private:
  [[nodiscard]] bool accepts(const SynRuleSet& rules) const;
  void remove();

  FlowDevice& device_;
  std::vector<SynRuleSet> plans_;
  std::vector<void*> installed_;
};

}  // namespace synproxy::dataplane
