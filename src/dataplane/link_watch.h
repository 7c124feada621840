// SPDX-License-Identifier: BSD-3-Clause
// Remembers whether a link is up, counts its changes, and words the log lines.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace synproxy::dataplane {

class LinkWatch {
 public:
  // Call it once, before anybody asks.
  void begin(bool up) { up_ = up; }

  // For control's thread. A link that is down from the start gets a line too, but is no change.
  void observe(bool up, std::vector<std::string>& lines) {
    note(up);
    if (up == told_up_) return;
    told_up_ = up;
    lines.emplace_back(up ? "link is up" : "link is down");
  }
  // The same, if another line says why.
  void lost() {
    note(false);
    told_up_ = false;
  }

  [[nodiscard]] bool up() const { return up_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t changes() const { return changes_.load(std::memory_order_relaxed); }

 private:
  void note(bool up) {
    if (up_.exchange(up, std::memory_order_relaxed) != up) {
      changes_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  std::atomic<bool> up_{false};
  std::atomic<std::uint64_t> changes_{0};
  bool told_up_ = true;  // control's thread only
};

}  // namespace synproxy::dataplane
