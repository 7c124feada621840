// SPDX-License-Identifier: BSD-3-Clause
// Which established flows may have nobody behind them.
#pragma once

#include <cstdint>

#include "synproxy/flow/record.h"

namespace synproxy {

// A flow on which a segment passed within this time is never evicted. A client whose first data was
// lost sends it again after 1 and 3 s.
inline constexpr std::uint32_t kLatelyMs = 5000;

// What a silent server says before it forgets a connection, or what a silent client never said. A
// server that closes sends FIN; one that waits for a request may also leave without a word; and one
// whose data nobody acknowledges repeats it until it gives up, and says nothing then.
// What a server has opened itself it knows best, so there only the FINs and repeats count.
[[nodiscard]] inline bool is_doubtful(const FlowRecord& f) {
  const bool never_spoke = f.client_nxt == f.client_isn + 1 && !f.opened_by_server();
  return never_spoke || f.has(kFlowClientFin | kFlowServerFin | kFlowRepeated);
}

}  // namespace synproxy
