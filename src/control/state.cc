// SPDX-License-Identifier: BSD-3-Clause
#include "control/state.h"

#include <unistd.h>

#include <algorithm>

#include "synproxy/proxy/engine.h"

namespace synproxy::control {

StoreShape store_shape(const Config& config, const ProtectSet& protect) {
  const auto workers =
      std::max<std::uint32_t>(1, static_cast<std::uint32_t>(config.workers.size()));
  const EngineShape engine = share_of(config.engine.shape, workers);
  return {.workers = workers,
          .max_flows = engine.max_flows,
          .replays_per_epoch = engine.replays_per_epoch,
          .epoch_ms = engine.epoch_ms,
          .region_bytes = Engine::store_bytes(engine, protect)};
}

std::unique_ptr<FlowStore> open_store(const Config& config, const ProtectSet& protect,
                                      std::optional<int> kept) {
  if (config.state_dir.empty() && !kept) return nullptr;
  const StoreShape shape = store_shape(config, protect);
  if (config.state_dir.empty()) return std::make_unique<FlowStore>(*kept, shape, config.fresh);
  if (kept && *kept >= 0) ::close(*kept);
  // What another process of the name has goes on in that one until it has handed it over.
  return std::make_unique<FlowStore>(config.state_dir, config.files_name(), shape,
                                     config.fresh || config.take_over);
}

std::string resumed_line(const Found& found) {
  return std::to_string(found.kept) +
         (found.kept == 1 ? " connection goes on, " : " connections go on, ") +
         std::to_string(found.dropped) +
         (found.dropped == 1 ? " record was dropped" : " records were dropped");
}

}  // namespace synproxy::control
