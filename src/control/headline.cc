// SPDX-License-Identifier: BSD-3-Clause
#include "control/headline.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace synproxy::control {
namespace {

constexpr double kBusy = 0.95;
// So many connections in a hundred fail at the server.
constexpr double kFailing = 0.2;

std::string percent(double share) {
  std::array<char, 16> text;
  const double value = 100 * share;
  static_cast<void>(std::snprintf(text.data(), text.size(),
                                  value >= 10 || value == 0 ? "%.0f %%" : "%.2g %%", value));
  return text.data();
}

std::string a_second(double value) { return short_number(value) + "/s"; }

std::string on(const std::string& service) { return service.empty() ? "" : " on " + service; }

// What comes in, the worst first.
Headline attack(const Load& l) {
  if (is_flood(l.syns, l.valid)) {
    return {Mood::kAlarm,
            "SYN flood" + on(l.syns_at) + ", " + a_second(l.syns) + ", " +
                percent(l.valid / l.syns) + " of them prove their address",
            true};
  }
  if (is_flood(l.invalid, l.valid)) {
    return {Mood::kAlarm,
            "ACK flood" + on(l.invalid_at) + ", " + a_second(l.invalid) + " without a valid cookie",
            true};
  }
  if (is_flood(l.junk, 0) && l.junk > l.packets / 2) {
    return {Mood::kAlarm, "flood of junk, " + a_second(l.junk) + " dropped", true};
  }
  if (l.packets < 1) return {Mood::kCalm, "nothing comes in", false};
  return {Mood::kCalm, "calm, " + a_second(l.packets) + " packets", false};
}

void add(Headline& line, Mood mood, const std::string& text) {
  line.mood = std::max(line.mood, mood);
  line.text += ", " + text;
}

}  // namespace

std::string short_number(double value) {
  static constexpr std::array<const char*, 5> kUnits{"", " k", " M", " G", " T"};
  std::size_t unit = 0;
  while (std::abs(value) >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  std::array<char, 32> text;
  const bool fraction = unit > 0 && value < 9.95;
  static_cast<void>(
      std::snprintf(text.data(), text.size(), fraction ? "%.1f%s" : "%.0f%s", value, kUnits[unit]));
  return text.data();
}

std::string_view mood_text(Mood mood) {
  static constexpr std::array<std::string_view, 3> kTexts{"calm", "watch", "alarm"};
  return kTexts[static_cast<std::size_t>(mood)];
}

Headline headline(const Load& l) {
  Headline line = attack(l);
  if (l.link_down) add(line, Mood::kAlarm, "a port has no link");
  if (l.shed >= 1 && l.busiest >= kBusy) {
    add(line, Mood::kAlarm, "more than can be looked at: " + a_second(l.shed) + " shed");
  } else if (l.busiest >= kBusy) {
    add(line, Mood::kWatch, "a worker is busy all the time");
  }
  if (l.missed >= 1) add(line, Mood::kWatch, a_second(l.missed) + " lost before they were seen");
  if (l.flows >= kNearlyFull * l.max_flows) {
    add(line, Mood::kAlarm, "the table is " + percent(l.flows / l.max_flows) + " full");
  }
  const double failed = l.timed_out + l.refused;
  if (failed >= 1 && failed > kFailing * (failed + l.established)) {
    add(line, Mood::kAlarm,
        l.timed_out >= l.refused ? "a server is silent: " + a_second(l.timed_out) + " given up"
                                 : "a server refuses " + a_second(l.refused));
  }
  if (l.limited >= 1) add(line, Mood::kWatch, "limits refuse " + a_second(l.limited));
  if (line.mood != Mood::kCalm || l.established >= 0.5) {
    add(line, Mood::kCalm, a_second(l.established) + " connections made");
  }
  return line;
}

}  // namespace synproxy::control
