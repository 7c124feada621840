// SPDX-License-Identifier: BSD-3-Clause
// Which port a frame came by or leaves by. Not who sent it: that is its Role, and the Topology says
// what the one has to do with the other.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace synproxy {

enum class PortId : std::uint8_t { kClient = 0, kServer = 1 };  // by the flag that names it
inline constexpr std::size_t kPorts = 2;
inline constexpr std::array<PortId, kPorts> kAllPorts{PortId::kClient, PortId::kServer};

// An array with one element for each port.
template <typename T>
struct PerPort : std::array<T, kPorts> {
  using std::array<T, kPorts>::operator[];
  [[nodiscard]] T& operator[](PortId id) { return (*this)[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const T& operator[](PortId id) const {
    return (*this)[static_cast<std::size_t>(id)];
  }
};

}  // namespace synproxy
