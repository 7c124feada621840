// SPDX-License-Identifier: BSD-3-Clause
// Blocks of a pcapng file (draft-ietf-opsawg-pcapng), in the byte order of this machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace synproxy::control::pcapng {

// What a file begins with. `program`: who writes it.
[[nodiscard]] std::string section(std::string_view program);
// Interfaces count from 0, in the order in which they stand in the file. Ethernet, nanoseconds.
[[nodiscard]] std::string interface(std::string_view name, std::string_view description,
                                    std::uint32_t snaplen);

struct Packet {
  std::uint32_t interface = 0;
  std::uint64_t unix_ns = 0;
  std::uint32_t length = 0;  // of the whole frame
  std::span<const std::uint8_t> bytes{};
  std::string_view comment{};
  bool outbound = false;
};
void append(std::string& out, const Packet& packet);

// What stands at the end: how many frames an interface saw that are not in the file.
[[nodiscard]] std::string statistics(std::uint32_t interface, std::uint64_t unix_ns,
                                     std::uint64_t missed);

}  // namespace synproxy::control::pcapng
