// SPDX-License-Identifier: BSD-3-Clause
// Questions to the kernel about one network interface, by ioctl: sysfs shows the interfaces of the
// namespace it was mounted in, which need not be ours.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace synproxy::dataplane {

struct NetdevFacts {
  int index = 0;
  unsigned mtu = 0;
  bool up = false;       // IFF_UP: switched on
  bool running = false;  // IFF_RUNNING: there is a carrier too
  bool promiscuous = false;
  bool loopback = false;
  bool ethernet = false;
  std::array<std::uint8_t, 6> mac{};  // of an Ethernet interface
};

struct QueueCounts {
  unsigned all = 1;  // that receive, send or both
  unsigned sending = 1;
};

class Netdev {
 public:
  // Throws std::system_error if it gets no socket. The interface need not exist.
  explicit Netdev(std::string name);
  ~Netdev();
  Netdev(const Netdev&) = delete;
  Netdev& operator=(const Netdev&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  // Nothing: no interface of that name at this moment.
  [[nodiscard]] std::optional<NetdevFacts> facts() const;
  // One that does both if the driver does not say.
  [[nodiscard]] QueueCounts queues() const;
  // True with an IPv4 address, or an IPv6 address that is not link-local: the host itself uses this
  // interface.
  [[nodiscard]] bool has_address() const;
  [[nodiscard]] bool set_up(bool up) const;
  void set_promiscuous(bool on) const;
  void set_mtu(unsigned mtu) const;

  // One of the ETHTOOL_G... / ETHTOOL_S... commands that carry a single word.
  [[nodiscard]] std::optional<std::uint32_t> ethtool_get(std::uint32_t command) const;
  bool ethtool_set(std::uint32_t command, std::uint32_t value) const;

 private:
  [[nodiscard]] bool set_flag(int flag, bool on) const;

  std::string name_;
  int fd_;
};

// CAP_NET_RAW and CAP_NET_ADMIN are both in the effective set of this process.
[[nodiscard]] bool may_open_raw_sockets();

}  // namespace synproxy::dataplane
