// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/eth_port.h"

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <string_view>
#include <system_error>

#include "base/errors.h"
#include "dataplane/complete_checksum.h"
#include "dataplane/restore_tags.h"
#include "dataplane/rss.h"

namespace synproxy::dataplane {
namespace {

constexpr std::uint16_t kDescriptors = 1024;  // a burst of 100 us at 10 M packets a second
constexpr std::uint64_t kRssTcp = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP;

void check(int result, const char* step) {
  if (result < 0) throw std::system_error(-result, std::generic_category(), step);
}

// net_e1000_em offers two queues even for the 82540 and 82545, which have only one: frames on the
// second never leave. At the 1 Gbit/s of these devices a lock costs nothing.
std::uint16_t transmit_queues(const rte_eth_dev_info& info) {
  return std::string_view(info.driver_name) == "net_e1000_em" ? std::uint16_t{1}
                                                              : info.max_tx_queues;
}

// A virtio device has queues in pairs, and fills the receive queue of every pair in use, with or
// without RSS. With fewer receive than transmit queues, it would fill some that nobody reads.
bool spreads_by_itself(const rte_eth_dev_info& info) {
  return std::string_view(info.driver_name) == "net_virtio";
}

}  // namespace

EthPort::EthPort(EthPortRequest request, rte_mempool* pool)
    : request_(std::move(request)),
      pool_(pool),
      port_id_(request_.port_id),
      open_(!request_.probe) {}

EthPort::~EthPort() { end(); }

void EthPort::open() {
  const std::lock_guard lock(asked_);
  if (open_) return;
  port_id_ = request_.probe();
  open_ = true;
  request_.log->forget();
  try {
    const QuietScope quiet(*request_.log);
    start();
  } catch (const std::system_error& error) {
    const std::string said = request_.log->last_line();
    end();
    throw RuntimeFailure(request_.who + ": the device does not start: " + error.what() +
                         (said.empty() ? "" : " (" + said + ")"));
  }
}

void EthPort::close() {
  const std::lock_guard lock(asked_);
  rte_eth_dev_info info{};
  const bool known = open_ && rte_eth_dev_info_get(port_id_, &info) == 0;
  end();
  // VFIO lets nobody else have the device while DPDK has it.
  if (known && request_.physical) static_cast<void>(rte_dev_remove(info.device));
}

void EthPort::end() {
  if (!open_) return;
  const QuietScope quiet(*request_.log);
  syn_rules_.reset();
  static_cast<void>(rte_eth_dev_stop(port_id_));
  static_cast<void>(rte_eth_dev_close(port_id_));
  if (!request_.vdev.empty()) static_cast<void>(rte_vdev_uninit(request_.vdev.c_str()));
  open_ = false;
}

void EthPort::start() {
  rte_eth_dev_info info{};
  check(rte_eth_dev_info_get(port_id_, &info), "device information");
  driver_ = info.driver_name;
  max_rx_queues_ = info.max_rx_queues;
  const auto workers = static_cast<std::uint16_t>(request_.workers);
  if (request_.physical) {
    tx_queues_ = std::min(workers, transmit_queues(info));
    rss_plan_ = plan_rss(info, request_.rss_word);
    rx_queues_ = rss_plan_.usable || spreads_by_itself(info) ? std::min(workers, info.max_rx_queues)
                                                             : std::uint16_t{1};
    offloads_ =
        info.rx_offload_capa & (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM |
                                RTE_ETH_RX_OFFLOAD_UDP_CKSUM);
  }
  rss_ = rx_queues_ > 1 && rss_plan_.usable;
  if (tx_queues_ < workers) locks_.resize(tx_queues_);
  own_flows_ = rte_flow_device(port_id_, driver_);
  flows_ = request_.flows != nullptr ? request_.flows : own_flows_.get();
  if (!may_have_syn_queues() || !start_with_syn_queues()) {
    set_up();
    bring_up();
  }
  link_.begin(has_link());
}

// If the device has only one queue per worker, RSS gets it, and SYNs get none.
bool EthPort::may_have_syn_queues() const {
  return request_.physical && request_.id == PortId::kClient &&
         flows_->matching() != SynMatching::kNone && rx_queues_ == request_.workers &&
         2U * rx_queues_ <= max_rx_queues_ &&
         (!rss_ || (rss_plan_.hash_fields & kRssTcp) == kRssTcp);
}

// False: set the device up anew, without these queues. No message says so: the device then works as
// devices without rules do. The rules are validated before the start, because a start may take the
// link down for seconds.
bool EthPort::start_with_syn_queues() {
  syn_queues_ = rx_queues_;
  syn_rules_ = std::make_unique<SynRules>(
      *flows_, plan_syn_rules(flows_->matching(),
                              {rx_queues_, syn_queues_, rss_plan_.hash_fields, rss_plan_.key},
                              request_.protect));
  try {
    set_up();
    if (syn_rules_->acceptable()) {
      bring_up();
      // A redirection table that still names all queues would put other frames into the SYN queues.
      if ((!rss_ || spread_.period != 0) && syn_rules_->install()) return true;
    }
  } catch (const std::system_error&) {
    // If the cause persists without SYN queues, the plain start reports it.
  }
  static_cast<void>(rte_eth_dev_stop(port_id_));
  syn_rules_.reset();
  syn_queues_ = 0;
  spread_ = {};
  return false;
}

// Everything that comes before the start.
void EthPort::set_up() {
  const std::uint16_t id = port_id_;
  rte_eth_dev_info info{};
  check(rte_eth_dev_info_get(id, &info), "device information");
  rte_eth_conf conf{};
  conf.rxmode.offloads = offloads_;
  if (rss_) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_key = rss_plan_.key.data();
    conf.rx_adv_conf.rss_conf.rss_key_len = static_cast<std::uint8_t>(rss_plan_.key.size());
    conf.rx_adv_conf.rss_conf.rss_hf = rss_plan_.hash_fields;
    // Some devices report the hash only when asked.
    conf.rxmode.offloads |= info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH;
  }
  check(rte_eth_dev_configure(id, receive_queues(), tx_queues_, &conf), "configuring the device");
  // A proxy in the wire must pass what the wire carries: take the largest frames that the device
  // can. Most virtual devices have no limit and no such setting.
  if (request_.mtu != 0) {
    static_cast<void>(rte_eth_dev_set_mtu(id, std::min(request_.mtu, info.max_mtu)));
  }
  rx_descriptors_ = kDescriptors;
  std::uint16_t tx_descriptors = kDescriptors;
  check(rte_eth_dev_adjust_nb_rx_tx_desc(id, &rx_descriptors_, &tx_descriptors), "ring sizes");
  const int socket = rte_eth_dev_socket_id(id);
  const auto node = static_cast<unsigned>(socket);  // SOCKET_ID_ANY is -1 and stays so
  rte_eth_rxconf rx = info.default_rxconf;
  rx.offloads = conf.rxmode.offloads;
  for (std::uint16_t q = 0; q < receive_queues(); ++q) {
    // Otherwise, on Intel's devices, a full queue blocks the device's buffer for all other queues.
    if (is_syn_queue(q)) rx.rx_drop_en = 1;
    check(rte_eth_rx_queue_setup(id, q, rx_descriptors_, node, &rx, pool_), "receive queue");
  }
  for (std::uint16_t q = 0; q < tx_queues_; ++q) {
    check(rte_eth_tx_queue_setup(id, q, tx_descriptors, node, &info.default_txconf),
          "transmit queue");
  }
}

void EthPort::bring_up() {
  const std::uint16_t id = port_id_;
  check(rte_eth_dev_start(id), "starting the device");
  // Virtual devices that pass everything lack these two settings.
  static_cast<void>(rte_eth_promiscuous_enable(id));
  static_cast<void>(rte_eth_allmulticast_enable(id));
  if (rss_) {
    spread_ = {rx_queues_, fill_redirection_table(), (rss_plan_.hash_fields & kRssTcp) == kRssTcp};
  }
  // igc counts the drops of a queue only if the queue is mapped to a counter.
  for (std::uint16_t q = rx_queues_; q < receive_queues() && q < RTE_ETHDEV_QUEUE_STAT_CNTRS; ++q) {
    static_cast<void>(rte_eth_dev_set_rx_queue_stats_mapping(id, q, static_cast<std::uint8_t>(q)));
  }
}

// Call it after the start, when no driver resets the table any more; its size may depend on the
// number of queues. Returns the period, or 0 if the device does not keep the table it was given.
std::uint16_t EthPort::fill_redirection_table() const {
  rte_eth_dev_info info{};
  if (rte_eth_dev_info_get(port_id_, &info) != 0) return 0;
  const std::uint16_t period = reta_period(info.reta_size, rx_queues_);
  if (period == 0) return 0;
  auto wanted = plan_reta(info.reta_size, rx_queues_);
  if (rte_eth_dev_rss_reta_update(port_id_, wanted.data(), info.reta_size) != 0) return 0;
  auto found = wanted;
  for (auto& group : found) std::fill(std::begin(group.reta), std::end(group.reta), UINT16_MAX);
  if (rte_eth_dev_rss_reta_query(port_id_, found.data(), info.reta_size) != 0) return 0;
  for (unsigned i = 0; i < info.reta_size; ++i) {
    const unsigned group = i / RTE_ETH_RETA_GROUP_SIZE;
    const unsigned place = i % RTE_ETH_RETA_GROUP_SIZE;
    if (found[group].reta[place] != wanted[group].reta[place]) return 0;
  }
  return period;
}

// Some devices choose their own size, and not all of them report it.
std::uint32_t EthPort::receive_ring(std::uint16_t queue) const {
  if (!open_) return rx_descriptors_;
  rte_eth_rxq_info info{};
  if (rte_eth_rx_queue_info_get(port_id_, queue, &info) == 0 && info.nb_desc != 0) {
    return info.nb_desc;
  }
  return rx_descriptors_;
}

std::uint16_t EthPort::receive(std::uint16_t queue, rte_mbuf** out, std::uint16_t n,
                               IoCounters& io) {
  const std::uint16_t got = rte_eth_rx_burst(port_id_, queue, out, n);
  std::uint16_t kept = 0;
  unsigned good = 0;
  unsigned missing = 0;
  unsigned restored = 0;
  for (std::uint16_t i = 0; i < got; ++i) {
    rte_mbuf* m = out[i];
    if (m->nb_segs > 1 && rte_pktmbuf_linearize(m) != 0) {
      oversize_.fetch_add(1, std::memory_order_relaxed);
      rte_pktmbuf_free(m);
      continue;
    }
    if ((m->ol_flags & kTagsStripped) != 0) [[unlikely]] {
      if (!restore_tags(*m)) {
        oversize_.fetch_add(1, std::memory_order_relaxed);
        rte_pktmbuf_free(m);
        continue;
      }
      ++restored;
    }
    const std::uint64_t l4 = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
    if (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD) ++good;
    if (l4 == RTE_MBUF_F_RX_L4_CKSUM_NONE) {
      ++missing;
      complete_checksum(*m);
    }
    out[kept++] = m;
  }
  if (good != 0) io.rx_checksum_good[request_.id].add(good);
  if (missing != 0) io.rx_checksum_missing[request_.id].add(missing);
  if (restored != 0) io.rx_tag_restored[request_.id].add(restored);
  return kept;
}

Sent EthPort::transmit(unsigned worker, rte_mbuf** frames, std::uint16_t n) {
  Sent sent;
  for (std::uint16_t i = 0; i < n; ++i) sent.bytes += frames[i]->pkt_len;
  const auto queue = static_cast<std::uint16_t>(worker % tx_queues_);
  rte_spinlock_t* lock = locks_.empty() ? nullptr : &locks_[queue].spin;
  if (lock != nullptr) rte_spinlock_lock(lock);
  const std::uint16_t accepted = rte_eth_tx_burst(port_id_, queue, frames, n);
  if (lock != nullptr) rte_spinlock_unlock(lock);
  sent.packets = accepted;
  if (accepted < n) {
    for (std::uint16_t i = accepted; i < n; ++i) sent.bytes -= frames[i]->pkt_len;
    rte_pktmbuf_free_bulk(frames + accepted, n - accepted);
  }
  return sent;
}

bool EthPort::has_link() const {
  rte_eth_link link{};
  return open_ && rte_eth_link_get_nowait(port_id_, &link) == 0 &&
         link.link_status == RTE_ETH_LINK_UP;
}

void EthPort::supervise(std::vector<std::string>& lines) {
  if (open_) link_.observe(has_link(), lines);
}

PortStatus EthPort::status() const {
  const std::lock_guard lock(asked_);
  PortStatus s;
  s.name = request_.typed;
  s.link_up = link_.up();
  rte_eth_stats stats{};
  if (open_ && rte_eth_stats_get(port_id_, &stats) == 0) {
    s.rx_missed = stats.imissed + stats.rx_nombuf;
    // Devices with a SYN filter count the drops of queues with rx_drop_en apart.
    if (syn_queues_ != 0 && flows_->matching() == SynMatching::kFilter) {
      for (const std::uint64_t dropped : stats.q_errors) s.rx_missed += dropped;
    }
  }
  s.rx_oversize = oversize_.load(std::memory_order_relaxed) + stats.ierrors;
  s.link_changes = link_.changes();
  s.driver = driver_;
  s.rx_queues = receive_queues();
  s.syn_queues = syn_queues_;
  s.tx_queues = tx_queues_;
  s.rss = rss_;
  s.rx_checksum = (offloads_ & RTE_ETH_RX_OFFLOAD_TCP_CKSUM) != 0;
  std::uint16_t mtu = 0;
  if (open_ && rte_eth_dev_get_mtu(port_id_, &mtu) == 0) s.mtu = mtu;
  return s;
}

}  // namespace synproxy::dataplane
