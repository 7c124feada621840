// SPDX-License-Identifier: BSD-3-Clause
// The services of one worker whose SYNs are answered with cookies because of an attack, for control
// to read.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "synproxy/base/published.h"
#include "synproxy/flow/key.h"

namespace synproxy {

struct ActiveService {
  AddressBytes address{};
  std::uint32_t vlan = 0;   // VlanStack::packed
  std::uint32_t value = 0;  // of what has begun it: half-open connections, or SYNs a second
  std::uint16_t port = 0;
  std::uint16_t cell = 0;  // Activation::cell_of()
  bool ipv6 = false;
  bool by_rate = false;
  std::uint8_t named = 0;  // NamedServiceId: whose marks were passed
  bool monitored = false;  // it would have cookies

  [[nodiscard]] bool same_service(const ActiveService& o) const {
    return address == o.address && vlan == o.vlan && port == o.port && ipv6 == o.ipv6;
  }
};

struct ActiveList {
  static constexpr std::size_t kMost = 32;  // more are counted and not named
  std::array<ActiveService, kMost> services{};
  std::uint64_t count = 0;

  [[nodiscard]] std::span<const ActiveService> all() const { return {services.data(), count}; }
};

class ActiveServices {
 public:
  void add(const ActiveService& service) {
    if (list_.count == ActiveList::kMost) return;
    list_.services[list_.count++] = service;
    published_.publish(list_);
  }
  void remove(std::uint16_t cell) {
    const auto end = list_.services.begin() + static_cast<std::ptrdiff_t>(list_.count);
    const auto kept =
        std::remove_if(list_.services.begin(), end,
                       [cell](const ActiveService& service) { return service.cell == cell; });
    list_.count = static_cast<std::uint64_t>(kept - list_.services.begin());
    published_.publish(list_);
  }
  void clear() {
    list_.count = 0;
    published_.publish(list_);
  }
  [[nodiscard]] const Published<ActiveList>& published() const { return published_; }

 private:
  ActiveList list_;
  Published<ActiveList> published_{ActiveList{}};
};

}  // namespace synproxy
