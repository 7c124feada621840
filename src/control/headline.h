// SPDX-License-Identifier: BSD-3-Clause
// One line that says in words what is happening.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace synproxy::control {

// What is called a flood: more than a busy site has on a quiet day, and mostly forged. `arrived`:
// SYNs, or ACKs, a second; `valid`: valid cookies a second.
[[nodiscard]] constexpr bool is_flood(double arrived, double valid) {
  constexpr double kFew = 1000;
  constexpr double kForged = 10;  // times what turns out to be genuine
  return arrived >= kFew && arrived > kForged * std::max(valid, 1.0);
}
// Share of --max-flows from which on the table is nearly full.
inline constexpr double kNearlyFull = 0.8;

// Per second, over the last few seconds, all workers together. Shares are of 1.
struct Load {
  double packets = 0;      // received
  double syns = 0;         // answered ones and shed ones
  double synacks = 0;      // sent
  double valid = 0;        // cookies
  double invalid = 0;      // cookies, and ACKs that were shed
  double shed = 0;         // packets dropped because more came than can be looked at
  double junk = 0;         // other drops
  double established = 0;  // connections
  double timed_out = 0;    // connections whose server did not answer
  double refused = 0;      // connections that the server refused
  double limited = 0;      // connections refused by a limit
  double missed = 0;       // packets that a port lost before the proxy saw them
  double flows = 0;
  double max_flows = 1;
  double busiest = 0;  // the busiest worker's share of its time
  bool link_down = false;
  std::string syns_at{};     // the service with a name that most SYNs go to; empty: none has most
  std::string invalid_at{};  // likewise, of invalid cookies
};

enum class Mood : std::uint8_t { kCalm, kWatch, kAlarm };

struct Headline {
  Mood mood = Mood::kCalm;
  std::string text;
  bool attack = false;  // a flood of any kind
};

[[nodiscard]] Headline headline(const Load& load);

// "calm", "watch" or "alarm".
[[nodiscard]] std::string_view mood_text(Mood mood);
// "0", "35", "1.2 k", "3.4 M": for people.
[[nodiscard]] std::string short_number(double value);

}  // namespace synproxy::control
