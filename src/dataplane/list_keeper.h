// SPDX-License-Identifier: BSD-3-Clause
// Keeps the lists of sources alive for as long as a worker may look into them.
//
// A worker gets its lists with its tuning, uses them for whole bursts, and tells which version of
// the tuning it has taken over. So lists that a later version has replaced are free once every
// worker has told of that version or a later one. For the control thread alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "synproxy/policy/source_lists.h"

namespace synproxy::dataplane {

class ListKeeper {
 public:
  using Version = std::uint64_t;

  [[nodiscard]] const SourceLists* current() const { return current_.get(); }
  [[nodiscard]] bool keeps_old() const { return !old_.empty(); }

  // `version`: of the tuning that brings `next` to the workers.
  void replace(std::unique_ptr<const SourceLists> next, Version version) {
    old_.emplace_back(version, std::exchange(current_, std::move(next)));
  }
  // `all_have`: the oldest version that a worker uses.
  void free_before(Version all_have) {
    std::erase_if(old_, [&](const auto& one) { return one.first <= all_have; });
  }

 private:
  std::unique_ptr<const SourceLists> current_ = std::make_unique<SourceLists>();
  // Each with the version that has replaced it.
  std::vector<std::pair<Version, std::unique_ptr<const SourceLists>>> old_;
};

}  // namespace synproxy::dataplane
