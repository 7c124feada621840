// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include "synproxy/policy/protect.h"

namespace synproxy::control {

// A rule as --protect takes it, in its shortest form.
[[nodiscard]] std::string rule_text(const ProtectRule& rule);

}  // namespace synproxy::control
