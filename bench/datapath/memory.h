// SPDX-License-Identifier: BSD-3-Clause
// What ten million connections take: by calculation, and what the beds of this run have touched.
#pragma once

#include <vector>

#include "common/results.h"

namespace synproxy::bench {

[[nodiscard]] std::vector<Result> memory_results();

}  // namespace synproxy::bench
