// SPDX-License-Identifier: BSD-3-Clause
// The port that a frame came in or leaves by. Who sent the frame is its Role; the Topology connects
// the two.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace synproxy {

enum class PortId : std::uint8_t { kClient = 0, kServer = 1 };  // named after their flags
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
