// SPDX-License-Identifier: BSD-3-Clause
// What --state-dir means for a start.
#pragma once

#include <memory>
#include <string>

#include "base/config.h"
#include "base/flow_store.h"
#include "synproxy/flow/arena.h"
#include "synproxy/policy/protect.h"

namespace synproxy::control {

// nullptr without --state-dir. The workers of `config` are settled. Throws UsageError.
[[nodiscard]] std::unique_ptr<FlowStore> open_store(const Config& config,
                                                    const ProtectSet& protect);

// "3 connections go on, 1 record was dropped"
[[nodiscard]] std::string resumed_line(const Found& found);

}  // namespace synproxy::control
