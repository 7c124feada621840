// SPDX-License-Identifier: BSD-3-Clause
// What `synproxy top` shows, as lines of text: of the document of control/history.h, for a screen
// of any size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace synproxy::control {

enum class Tint : std::uint8_t { kPlain, kFaint, kTitle, kCalm, kWatch, kAlarm };

// A run of text in one tint. `columns`: what it takes on the screen; its bytes may be more.
struct Run {
  Tint tint = Tint::kPlain;
  std::string text;
  std::size_t columns = 0;
};
using ScreenLine = std::vector<Run>;

struct Screen {
  std::size_t columns = 80;
  std::size_t lines = 24;  // 0: as many as there is to show, and no line of keys
  bool utf8 = true;        // otherwise ASCII
};

// No line is wider than the screen, and there are no more than it has. Throws
// nlohmann::json::exception if the document is not one.
[[nodiscard]] std::vector<ScreenLine> top_lines(const nlohmann::ordered_json& history,
                                                const Screen& screen);

// For a script.
[[nodiscard]] std::string plain_text(const std::vector<ScreenLine>& lines);

}  // namespace synproxy::control
