// SPDX-License-Identifier: BSD-3-Clause
// The rows of flags(). Each file holds one or two groups.
#pragma once

#include <span>

#include "control/flags.h"

namespace synproxy::control {

[[nodiscard]] std::span<const Flag> port_rows();  // and protection
[[nodiscard]] std::span<const Flag> adaptive_rows();
[[nodiscard]] std::span<const Flag> offer_rows();
[[nodiscard]] std::span<const Flag> limit_rows();
[[nodiscard]] std::span<const Flag> source_rows();
[[nodiscard]] std::span<const Flag> list_rows();     // and junk
[[nodiscard]] std::span<const Flag> running_rows();  // and the rest

}  // namespace synproxy::control
