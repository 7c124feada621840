// SPDX-License-Identifier: BSD-3-Clause
// A wire into the proxy: two veth interfaces in a network namespace of the test's own.
#pragma once

#include <string>

namespace synproxy::tests {

// Moves this process into a network namespace of its own, once. False: not allowed to.
[[nodiscard]] bool own_network_namespace();

// Runs `ip` with these arguments; false when it fails.
bool ip(const std::string& arguments);

class VethPair {
 public:
  // Both ends up, offloads of the far end off.
  VethPair(std::string near, std::string far, unsigned mtu = 1500);
  ~VethPair();
  VethPair(const VethPair&) = delete;
  VethPair& operator=(const VethPair&) = delete;

  void make() const;
  void remove() const;
  [[nodiscard]] const std::string& near() const { return near_; }
  [[nodiscard]] const std::string& far() const { return far_; }

 private:
  std::string near_;
  std::string far_;
  unsigned mtu_;
};

}  // namespace synproxy::tests
