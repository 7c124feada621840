// SPDX-License-Identifier: BSD-3-Clause
// What the recorder holds, as the JSON that the live page, `synproxy top` and `synproxy report`
// read:
//
//   {"name", "version", "now", "started", "headline", "mood", "max_flows", "ports": {"client":
//    {"name", "up"}, "server": {...}},
//    "limited": [{"source", "rule", "monitored", "refused"}],   as in `synproxy stat --json`
//    "times": [...],                     the end of each interval, Unix milliseconds
//    "rates": {"syn_received": [...]},   per second; only what has moved
//    "gauges": {"flows": [...]},
//    "drops": ["cookie_invalid", ...],   which of the rates are reasons of drops
//    "felt": {"handshake_ms": {"p50": [...], "p90": [...], "p99": [...]}, "first_byte_ms": {...},
//             "syn_repeats": [...]},     of the ten seconds before; null: nothing was measured
//    "felt_lately": [...],               by service, as "felt" in `synproxy stat --json`
//    "grown": {"syn_received": 12},      over the whole time
//    "workers": [{"cpu", "busy": [...], "cycles": [...]}],   share of the time, cycles per packet
//    "services": [{"name", "rates": {"syn_received": [...], ...}, "gauges": {"flows": [...],
//    ...}}]}
//                                        those with names; each column of service_columns()
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>

#include "control/headline.h"
#include "control/recorder.h"

namespace synproxy::control {

// The last `seconds`, or as many as there are.
[[nodiscard]] nlohmann::ordered_json history_document(const Recorder& recorder, const View& view,
                                                      std::size_t seconds);

// Between two rows; what a View says included.
[[nodiscard]] Load load_between(const Second& from, const Second& to, const View& view);

// Each as in "limited" above.
[[nodiscard]] nlohmann::ordered_json limited_sources(const View& view);

}  // namespace synproxy::control
