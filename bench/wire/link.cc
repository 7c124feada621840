// SPDX-License-Identifier: BSD-3-Clause
#include "link.h"

#include <rte_bus_vdev.h>
#include <rte_errno.h>

#include <cstring>
#include <stdexcept>

namespace synproxy::generator {
namespace {

constexpr unsigned kReceiveBuffers = 4095;
constexpr std::uint16_t kRoom = 2048 + RTE_PKTMBUF_HEADROOM;
constexpr unsigned kCache = 256;

void fill(rte_mempool* /*pool*/, void* content, void* object, unsigned /*index*/) {
  const auto& bytes = *static_cast<std::span<const std::uint8_t>*>(content);
  auto* m = static_cast<rte_mbuf*>(object);
  if (!bytes.empty()) std::memcpy(rte_pktmbuf_mtod(m, void*), bytes.data(), bytes.size());
}

void check(int result, const std::string& what) {
  if (result < 0) throw std::runtime_error(what + ": " + std::strerror(-result));
}

}  // namespace

Pool::Pool(const std::string& name, unsigned buffers, std::uint16_t room,
           std::span<const std::uint8_t> content)
    : pool_(rte_pktmbuf_pool_create(name.c_str(), buffers, kCache, 0, room, SOCKET_ID_ANY)) {
  if (pool_ == nullptr) {
    throw std::runtime_error("no memory for packet buffers (" + name +
                             "): " + rte_strerror(rte_errno));
  }
  rte_mempool_obj_iter(pool_, fill, &content);
}

Link::Link(const LinkRequest& request)
    : device_("net_memif_" + request.name), pool_("rx_" + request.name, kReceiveBuffers, kRoom) {
  const std::string arguments = "role=server,socket-abstract=no,socket=" + request.socket;
  check(rte_vdev_init(device_.c_str(), arguments.c_str()), request.socket);
  check(rte_eth_dev_get_port_by_name(device_.c_str(), &port_), device_);
  const rte_eth_conf conf{};
  check(rte_eth_dev_configure(port_, 1, 1, &conf), device_);
  check(rte_eth_rx_queue_setup(port_, 0, 1024, 0, nullptr, pool_.get()), device_);
  check(rte_eth_tx_queue_setup(port_, 0, 1024, 0, nullptr), device_);
  check(rte_eth_dev_start(port_), device_);
}

Link::~Link() {
  static_cast<void>(rte_eth_dev_stop(port_));
  static_cast<void>(rte_eth_dev_close(port_));
  static_cast<void>(rte_vdev_uninit(device_.c_str()));
}

bool Link::up() const {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(port_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

}  // namespace synproxy::generator
