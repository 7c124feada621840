// SPDX-License-Identifier: BSD-3-Clause
// The step `overload`: how well clients are served while more SYNs arrive than can be answered.
#pragma once

#include <nlohmann/json.hpp>

#include "stand.h"
#include "step.h"

namespace synproxy::generator {

[[nodiscard]] nlohmann::json run_overload(const Step& step, const Stand& stand);

}  // namespace synproxy::generator
