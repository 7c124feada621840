// SPDX-License-Identifier: BSD-3-Clause
// The steps `flood` and `latency`: SYNs as fast as the link takes them, or at a rate.
#pragma once

#include <nlohmann/json.hpp>

#include "stand.h"
#include "step.h"

namespace synproxy::generator {

// The result of the step. Its "faults" are empty if everything was right.
[[nodiscard]] nlohmann::json run_flood(const Step& step, const Stand& stand);

}  // namespace synproxy::generator
