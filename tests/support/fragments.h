// SPDX-License-Identifier: BSD-3-Clause
// Cuts frames into IP fragments as a router or an IPv6 host does, and puts them together as a host
// does. Shares no code with src/core/.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "support/packet_builder.h"

namespace synproxy::test {

// The fragments of an IPv4 or IPv6 frame, in order, `each` bytes of data in all but the last. A
// fragment header goes directly behind the IPv6 header.
[[nodiscard]] std::vector<Bytes> cut(const Bytes& frame, std::size_t each, std::uint32_t id = 77);

// One fragment: the bytes of the packet's data from `begin` to `end`.
[[nodiscard]] Bytes piece(const Bytes& frame, std::size_t begin, std::size_t end, bool more,
                          std::uint32_t id = 77);

[[nodiscard]] bool is_fragment(const Bytes& frame);

// The frame that the fragments make. Nothing if they do not fit together, or a checksum of an IPv4
// header is wrong.
[[nodiscard]] std::optional<Bytes> join(std::span<const Bytes> fragments);

}  // namespace synproxy::test
