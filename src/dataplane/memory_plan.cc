// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/memory_plan.h"

#include <rte_mbuf_core.h>
#include <rte_mempool.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace synproxy::dataplane {
namespace {

// Frames in the hands of one worker: a burst of each side, what the engine makes from it
// (frames.h), the pool's cache, SYNs that wait (syn_lane.h), and two bursts being sorted.
constexpr std::uint32_t kWorkerFrames = 2 * 32 + 2 * 1024 + 2 * 256 + 1024 + 2 * 32;

// A connection's record with its place in the index, the look of its ends and its birth, as the
// engine reserves them.
constexpr std::uint64_t kFlowBytes = 84;

}  // namespace

std::uint16_t room_for(std::uint32_t frame_bytes) {
  // NICs take receive buffers in steps of 1,024 bytes.
  const std::uint32_t room = (frame_bytes + 1023) / 1024 * 1024;
  return static_cast<std::uint16_t>(std::max(room, 2048U) + RTE_PKTMBUF_HEADROOM);
}

std::size_t PoolPlan::bytes(std::size_t page_bytes) const {
  // Two more lines: objects are aligned, and spread over the memory channels.
  const std::size_t one = sizeof(rte_mbuf) + private_area + data_room + sizeof(rte_mempool_objhdr) +
                          2 * std::size_t{RTE_CACHE_LINE_SIZE};
  if (one > page_bytes) return buffers * ((one + page_bytes - 1) / page_bytes * page_bytes);
  const std::size_t per_page = page_bytes / one;
  return (buffers + per_page - 1) / per_page * page_bytes;
}

std::uint32_t buffers_for(unsigned workers, std::uint32_t device_frames) {
  const std::uint32_t rings = workers > 1 ? workers * kHandOverSlots : 0;
  return workers * kWorkerFrames + rings + device_frames;
}

std::uint32_t cache_within(std::uint32_t buffers, unsigned workers) {
  constexpr std::uint32_t kBurst = 32;  // more does not come at once
  return std::min(kBurst, buffers * 3 / 8 / std::max(workers, 1U));
}

std::string no_memory_for(const EngineShape& totals) {
  if (totals.early_data_memory > totals.max_flows * kFlowBytes) {
    return "--early-data-memory " + std::to_string(totals.early_data_memory) +
           ": not enough memory for what clients send early; ask for less";
  }
  return "--max-flows " + std::to_string(totals.max_flows) +
         ": not enough memory for the table of connections; ask for fewer";
}

std::size_t free_hugepage_bytes() {
  std::size_t best = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", error)) {
    const std::string name = entry.path().filename();  // hugepages-2048kB
    const auto dash = name.find('-');
    if (dash == std::string::npos) continue;
    const std::size_t kilobytes = std::strtoull(name.c_str() + dash + 1, nullptr, 10);
    std::size_t pages = 0;
    std::ifstream(entry.path() / "free_hugepages") >> pages;
    best = std::max(best, pages * kilobytes * 1024);
  }
  return best;
}

}  // namespace synproxy::dataplane
