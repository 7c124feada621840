// SPDX-License-Identifier: BSD-3-Clause
// What `synproxy capture` asks for, from its flags.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "control/commands.h"

namespace synproxy::control {

// The request (capture_wire.h) that --src, --service, --flow, --drop-reason and --snaplen mean.
// Throws UsageError.
[[nodiscard]] nlohmann::ordered_json capture_request(const CommandLine& line);

// The names that --drop-reason takes, in lines for --help.
[[nodiscard]] std::string drop_reasons();

}  // namespace synproxy::control
