// SPDX-License-Identifier: BSD-3-Clause
#include <array>

#include "burst/stages.h"

namespace synproxy {

void look_up(const FlowBook& flows, std::span<Context> burst) {
  std::array<Context*, kMaxBurst> maybe;
  std::size_t n = 0;
  for (Context& c : burst) {
    if (c.kind != Kind::kTcp && c.kind != Kind::kSynPlanned) continue;
    c.flow = kNoFlow;
    maybe[n] = &c;
    n += flows.prefetch_record(c.hash) ? 1U : 0U;
  }
  for (std::size_t i = 0; i < n; ++i) {
    Context& c = *maybe[i];
    c.flow = flows.find(c.key(), c.hash);
    // A SYN on a flow has to wait for its turn.
    if (c.flow != kNoFlow && c.kind == Kind::kSynPlanned) c.kind = Kind::kTcp;
  }
}

}  // namespace synproxy
