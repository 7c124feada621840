// SPDX-License-Identifier: BSD-3-Clause
// Switches transparent hugepages off for a while.
#pragma once

#include <sys/prctl.h>

namespace synproxy::bench {

// While it lives, newly touched memory comes in ordinary pages, whatever was advised.
class NoHugePages {
 public:
  explicit NoHugePages(bool on) : on_(on) {
    if (on_) ::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  }
  ~NoHugePages() {
    if (on_) ::prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
  }
  NoHugePages(const NoHugePages&) = delete;
  NoHugePages& operator=(const NoHugePages&) = delete;

 private:
  bool on_;
};

}  // namespace synproxy::bench
