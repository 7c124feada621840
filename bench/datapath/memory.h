// SPDX-License-Identifier: BSD-3-Clause
// The memory of ten million connections: by calculation, and as touched by the beds of this run.
#pragma once

#include <vector>

#include "common/results.h"

namespace synproxy::bench {

[[nodiscard]] std::vector<Result> memory_results();

}  // namespace synproxy::bench
