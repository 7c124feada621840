// SPDX-License-Identifier: BSD-3-Clause
// `synproxy stat`: turns the replies of a running proxy into what the user reads.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace synproxy::control {

// Sends one telemetry command and returns what its reply holds; throws RuntimeFailure.
using Ask = std::function<nlohmann::ordered_json(const std::string& command)>;

// The whole state: {"name", "version", "uptime_seconds", "ports": {"client": {...}, "server":
// {...}}, "mbufs": {"in_use", "total"}, "cycles_per_second", "log": {"lines_lost"}, "limited":
// [{"source", "rule", "monitored", "refused"}, ...], "total": {"counters", "gauges",
// "io"}, "workers": [{"worker", "cpu", "counters", "gauges", "io"}, ...]}. Counters are found by
// name, because proxy and command may have different versions. Throws RuntimeFailure if the replies
// are not those of a proxy.
[[nodiscard]] nlohmann::ordered_json stat_document(const Ask& ask);

// The table of /proc/net/stat/synproxy. The kernel's `entries` is always 0; here it is the number
// of connection records in use.
[[nodiscard]] std::string stat_table(const nlohmann::ordered_json& document);

// Asks the proxy called `name`; returns the table or, with `json`, the document. Throws
// RuntimeFailure.
[[nodiscard]] std::string stat_text(const std::string& name, bool json);

}  // namespace synproxy::control
