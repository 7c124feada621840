// SPDX-License-Identifier: BSD-3-Clause
// What outlives the process: what --state-dir and a service manager mean for a start.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/config.h"
#include "base/flow_store.h"
#include "synproxy/flow/arena.h"
#include "synproxy/policy/protect.h"

namespace synproxy::control {

// What the next process has to share. Without --workers it is one.
[[nodiscard]] StoreShape store_shape(const Config& config, const ProtectSet& protect);

// A file in --state-dir, else memory of the manager, else nullptr. `kept`: memory_of_manager(),
// which is taken over. The workers of `config` are settled. Throws UsageError.
[[nodiscard]] std::unique_ptr<FlowStore> open_store(const Config& config, const ProtectSet& protect,
                                                    std::optional<int> kept = {});

// "3 connections go on, 1 record was dropped"
[[nodiscard]] std::string resumed_line(const Found& found);

}  // namespace synproxy::control
