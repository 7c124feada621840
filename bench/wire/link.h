// SPDX-License-Identifier: BSD-3-Clause
// The generator's end of a memif link, a shared-memory wire to another process. Our end listens
// (role server), so the other process may connect at any time.
#pragma once

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace synproxy::generator {

inline constexpr std::uint16_t kBurst = 32;

class Pool {
 public:
  // Puts `content` into every buffer once; it stays until somebody overwrites it. Throws
  // std::runtime_error.
  Pool(const std::string& name, unsigned buffers, std::uint16_t room,
       std::span<const std::uint8_t> content = {});
  ~Pool() { rte_mempool_free(pool_); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  [[nodiscard]] rte_mempool* get() const { return pool_; }

 private:
  rte_mempool* pool_;
};

struct LinkRequest {
  std::string name;    // of the device, after net_memif_
  std::string socket;  // path of the socket on which both ends meet
};

class Link {
 public:
  // Opens and starts the device. Throws std::runtime_error.
  explicit Link(const LinkRequest& request);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  [[nodiscard]] bool up() const;

  [[nodiscard]] std::uint16_t receive(std::array<rte_mbuf*, kBurst>& out) {
    return rte_eth_rx_burst(port_, 0, out.data(), kBurst);
  }
  // Returns how many frames, from the first on, the link accepted. The caller keeps the others.
  [[nodiscard]] std::uint16_t send(rte_mbuf** frames, std::uint16_t n) {
    return rte_eth_tx_burst(port_, 0, frames, n);
  }

 private:
  std::string device_;
  Pool pool_;  // for received frames
  std::uint16_t port_ = 0;
};

[[nodiscard]] inline std::span<const std::uint8_t> bytes_of(const rte_mbuf& m) {
  return {rte_pktmbuf_mtod(&m, const std::uint8_t*), m.data_len};
}

}  // namespace synproxy::generator
