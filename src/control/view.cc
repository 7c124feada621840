// SPDX-License-Identifier: BSD-3-Clause
#include "control/view.h"

#include <rte_version.h>

#include "base/line_writer.h"
#include "control/help.h"

namespace synproxy::control {

View view_of(const dataplane::Dataplane& dataplane, const Config& config,
             std::uint64_t started_unix_ms) {
  View view{.name = config.name,
            .version = version_number(),
            .dpdk = rte_version(),
            .started_unix_ms = started_unix_ms,
            .max_flows = config.engine.shape.max_flows,
            .services = {},
            .workers = {},
            .ports = {{dataplane.port(PortId::kClient), dataplane.port(PortId::kServer)}},
            .refused = dataplane.refused(),
            .cycles_per_second = dataplane.cycles_per_second(),
            .mbufs_in_use = dataplane.mbufs_in_use(),
            .mbufs_total = dataplane.mbufs_total(),
            .log_lines_lost = LineWriter::lost(),
            .felt_lately = {}};
  for (const NamedService& service : config.services) view.services.push_back(service.name);
  for (unsigned i = 0; i < dataplane.workers(); ++i) {
    view.workers.push_back(
        {.cpu = dataplane.cpu_of(i), .counters = &dataplane.counters(i), .io = &dataplane.io(i)});
  }
  return view;
}

}  // namespace synproxy::control
