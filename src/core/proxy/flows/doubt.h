// SPDX-License-Identifier: BSD-3-Clause
// Which established flows may have nobody behind them.
#pragma once

#include <cstdint>

#include "synproxy/flow/record.h"

namespace synproxy {

// A flow on which a segment passed within this time is never evicted. A client whose first data was
// lost sends it again after 1 and 3 s.
inline constexpr std::uint32_t kLatelyMs = 5000;

// Whether the server of a silent flow may have forgotten it, by what was seen last. A server that
// closes sends FIN. One that waits for a request may leave without a word, so a client that never
// sent data counts. One whose data nobody acknowledges repeats it until it gives up, and then says
// nothing. A connection that the server has opened itself is the server's own business, so there
// only the FINs and repeats count.
[[nodiscard]] inline bool is_doubtful(const FlowRecord& f) {
  const bool never_spoke = f.client_nxt == f.client_isn + 1 && !f.opened_by_server();
  return never_spoke || f.has(kFlowClientFin | kFlowServerFin | kFlowRepeated);
}

}  // namespace synproxy
