// SPDX-License-Identifier: BSD-3-Clause
// `synproxy report`: an account of the last minutes for people, of the document of
// control/analysis.h.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace synproxy::control {

enum class ReportForm : std::uint8_t { kMarkdown, kHtml };

// Throws nlohmann::json::exception if the document is not one.
[[nodiscard]] std::string report_text(const nlohmann::ordered_json& analysis, ReportForm form);

// "90s", "30m", "1h", "90": seconds, 1 to the hour that is kept. Throws std::invalid_argument with
// what is wrong.
[[nodiscard]] unsigned parse_since(std::string_view text);

}  // namespace synproxy::control
