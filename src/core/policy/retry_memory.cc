// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/retry_memory.h"

#include <algorithm>

namespace synproxy {
namespace {

constexpr std::uint32_t kAllSources = 0xffffffffU;
// Never so narrow that nobody is noted.
constexpr std::uint32_t kNarrowest = kAllSources / 1024;
constexpr std::uint64_t kPaceMs = 10;

}  // namespace

RetryMemory::RetryMemory(std::size_t lines)
    : lines_(lines), memory_(lines * sizeof(Line), Mapping::Kind::kSparse) {
  for (Window& w : noted_) w.width = kAllSources;
}

void RetryMemory::set_time(std::uint64_t now_ms, bool behind) {
  if (now_ms <= now_ms_) return;
  now_ms_ = now_ms;
  pace(behind);
  const std::uint64_t generation = now_ms / kGenerationMs;
  if (generation == generation_) return;
  generation_ = generation;
  noted_[2] = noted_[1];
  noted_[1] = noted_[0];
  if (noted_[0].width != kAllSources) noted_[0].begin += noted_[0].width;
}

// The window follows what was noted in the last 10 ms: it narrows at once and widens slowly.
void RetryMemory::pace(bool behind_now) {
  ++ticks_;
  behind_ += behind_now ? 1 : 0;
  const std::uint64_t elapsed = std::min(now_ms_ - paced_ms_, kGenerationMs);
  const std::uint64_t a_generation = lines_ * kEntriesPerLine;
  if (elapsed < kPaceMs && fresh_ * kGenerationMs <= a_generation * kPaceMs) return;
  const std::uint64_t budget = 1 + a_generation * elapsed / kGenerationMs;
  const bool behind = 2 * behind_ > ticks_;
  std::uint32_t& width = noted_[0].width;
  if (behind) width = std::max(kNarrowest, width / 2);
  if (fresh_ > budget) {
    width = std::max(kNarrowest, static_cast<std::uint32_t>(width * budget / fresh_));
  } else if (!behind && width != kAllSources) {
    width += std::min(width / 16 + 1, kAllSources - width);
  }
  fresh_ = 0;
  ticks_ = behind_ = 0;
  paced_ms_ = now_ms_;
}

// No branch depends on a hash: in a flood, every second one would be mispredicted.
bool RetryMemory::asked_again(std::uint32_t place, std::uint64_t mark) {
  Line& line = *line_of(mark);
  const unsigned first = 16 + static_cast<unsigned>((mark & 0xffffU) * 48 >> 16);
  const unsigned second = mark >> 16 & 63U;
  const auto is_of = [](const Block& b, std::uint64_t generation) {
    return static_cast<std::uint64_t>(static_cast<std::uint16_t>(b.stamp_and_bits) ==
                                      static_cast<std::uint16_t>(generation));
  };
  const auto holds = [&](std::uint64_t generation) {
    const Block& b = line.of[generation % 4];
    return b.stamp_and_bits >> first & b.bits >> second & is_of(b, generation);
  };
  const std::uint64_t again = holds(generation_ - 1) | holds(generation_ - 2);
  Block& b = line.of[generation_ % 4];
  const std::uint64_t kept = 0 - is_of(b, generation_);
  const std::uint64_t noted = noted_[0].has(place) ? 1 : 0;
  b.stamp_and_bits =
      (b.stamp_and_bits & kept) | static_cast<std::uint16_t>(generation_) | noted << first;
  b.bits = (b.bits & kept) | noted << second;
  fresh_ += noted;
  return (again & 1U) != 0;
}

}  // namespace synproxy
