// SPDX-License-Identifier: BSD-3-Clause
// Anything that DPDK drives as a port: a PCI device or a virtual device.
#pragma once

#include <rte_spinlock.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "dataplane/link_watch.h"
#include "dataplane/log_capture.h"
#include "dataplane/port.h"
#include "dataplane/syn_rules.h"

namespace synproxy::dataplane {

struct EthPortRequest {
  std::string typed;
  std::string who;  // "--client-port net_tap0", as an error text begins
  PortId id = PortId::kClient;
  std::uint16_t port_id = 0;
  unsigned workers = 1;
  bool physical = false;  // a NIC, whose checksum verification and queues are worth using
  RssWord rss_word = 0;   // for its RSS key to repeat
  std::uint16_t mtu = 0;  // to be set if the device allows it; 0: left alone
  std::string vdev;       // a virtual device made for this port, which ends with it
  // Makes the device, or lets DPDK take it; returns its number. Empty: the device is there, as
  // `port_id`. Throws UsageError or RuntimeFailure.
  std::function<std::uint16_t()> probe;
  std::vector<ProtectRule> protect;  // whose SYNs may get queues of their own
  FlowDevice* flows = nullptr;       // a test brings its own
  LogCapture* log = nullptr;         // takes what drivers print as the port closes; outlives it
};

class EthPort final : public Port {
 public:
  // The device belongs to the port from now on. `pool` outlives the port.
  EthPort(EthPortRequest request, rte_mempool* pool);
  ~EthPort() override;  // stops and closes the device
  // Configures and starts the device. Throws std::system_error whose text names the step that
  // failed.
  void start();

  // Before open(), and after close(), it has as many queues as it will have: a virtual device.
  void open() override;
  void close() override;

  [[nodiscard]] std::uint16_t receive_queues() const override { return rx_queues_ + syn_queues_; }
  [[nodiscard]] bool is_syn_queue(std::uint16_t queue) const override {
    return queue >= rx_queues_;
  }
  [[nodiscard]] RssSpread spread() const override { return spread_; }
  [[nodiscard]] std::uint32_t receive_ring(std::uint16_t queue) const override;
  std::uint16_t receive(std::uint16_t queue, rte_mbuf** out, std::uint16_t n,
                        IoCounters& io) override;
  Sent transmit(unsigned worker, rte_mbuf** frames, std::uint16_t n) override;
  void supervise(std::vector<std::string>& lines) override;
  [[nodiscard]] PortStatus status() const override;
  [[nodiscard]] rte_mempool* pool() const override { return pool_; }
  [[nodiscard]] bool has_link() const override;

 private:
  [[nodiscard]] bool may_have_syn_queues() const;
  [[nodiscard]] bool start_with_syn_queues();
  void set_up();
  void bring_up();
  void end();
  [[nodiscard]] std::uint16_t fill_redirection_table() const;

  const EthPortRequest request_;
  rte_mempool* const pool_;
  std::uint16_t port_id_;
  bool open_ = false;
  std::uint16_t max_rx_queues_ = 1;
  std::uint16_t rx_queues_ = 1;   // ordinary ones, filled by RSS
  std::uint16_t syn_queues_ = 0;  // behind them; 0, or as many
  std::uint16_t tx_queues_ = 1;
  std::uint16_t rx_descriptors_ = 1024;  // of each queue: asked for, then got
  bool rss_ = false;
  RssPlan rss_plan_;
  RssSpread spread_;
  std::uint64_t offloads_ = 0;  // RTE_ETH_RX_OFFLOAD_*
  std::string driver_;
  struct alignas(64) Lock {
    rte_spinlock_t spin = RTE_SPINLOCK_INITIALIZER;
  };
  std::vector<Lock> locks_;  // by transmit queue; empty: each worker has its own queue
  std::unique_ptr<FlowDevice> own_flows_;
  FlowDevice* flows_ = nullptr;
  std::unique_ptr<SynRules> syn_rules_;

  mutable std::mutex asked_;  // status(), while the device comes or goes

  // These are written while workers read the members above.
  alignas(64) std::atomic<std::uint64_t> oversize_{0};  // by any worker, rarely
  alignas(64) LinkWatch link_;                          // by control's thread
};

}  // namespace synproxy::dataplane
