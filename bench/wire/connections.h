// SPDX-License-Identifier: BSD-3-Clause
// The step `connections`: whole short connections, a given number at a time, as fast as they go.
#pragma once

#include <nlohmann/json.hpp>

#include "stand.h"
#include "step.h"

namespace synproxy::generator {

[[nodiscard]] nlohmann::json run_connections(const Step& step, const Stand& stand);

}  // namespace synproxy::generator
