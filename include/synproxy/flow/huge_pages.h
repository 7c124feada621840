// SPDX-License-Identifier: BSD-3-Clause
// Pages of 2 MB for memory that the kernel gives in pages of 4 KB by itself: that of a file in a
// tmpfs, or of memory without a name. With a million flows at random, small pages cost a packet
// more than its record does.
#pragma once

#include <cstddef>
#include <span>

namespace synproxy {

// Puts what is there into huge pages, and keeps its content; memory of which nothing is there stays
// as it is. The memory begins where a huge page does. True: all of it is in huge pages now. False:
// an older kernel (before Linux 6.1), not enough memory in one piece, or memory of another kind.
bool hold_in_huge_pages(std::span<std::byte> memory);

}  // namespace synproxy
