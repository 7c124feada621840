// SPDX-License-Identifier: BSD-3-Clause
#include "control/analysis.h"

#include <algorithm>
#include <cmath>

#include "control/headline.h"
#include "control/history.h"
#include "control/log.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;
using Rows = std::vector<Second>;

constexpr std::size_t kBefore = 60;  // seconds that an attack is compared with
constexpr std::size_t kMostSpans = 50;

// Rows `first` to `last`: the intervals between them.
struct Span {
  std::size_t first = 0;
  std::size_t last = 0;
};

std::uint64_t grown(const Rows& rows, const Span& span, std::size_t column) {
  return rows[span.last].values[column] - rows[span.first].values[column];
}

double seconds_of(const Rows& rows, const Span& span) {
  return std::max(1.0, static_cast<double>(rows[span.last].unix_ms - rows[span.first].unix_ms)) /
         1000;
}

double per_second(const Rows& rows, const Span& span, std::size_t column) {
  if (span.first == span.last) return 0;
  return std::round(10 * static_cast<double>(grown(rows, span, column)) / seconds_of(rows, span)) /
         10;
}

// The interval that ends at row `i` belongs to the last span, or begins one.
void extend(std::vector<Span>& spans, std::size_t i) {
  if (!spans.empty() && i - spans.back().last <= kPauseSeconds) {
    spans.back().last = i;
  } else {
    spans.push_back({i - 1, i});
  }
}

Json reasons_of(const Rows& rows, const Span& span) {
  Json reasons = Json::object();
  for (std::size_t c = 0; c < columns().size(); ++c) {
    const std::uint64_t n = columns()[c].drop ? grown(rows, span, c) : 0;
    if (n != 0) reasons[std::string(columns()[c].name)] = n;
  }
  return reasons;
}

Json attack_of(const Rows& rows, const Span& span, const View& view) {
  Load most;
  double bits = 0;
  double height = -1;
  std::string what;
  for (std::size_t i = span.first + 1; i <= span.last; ++i) {
    const Load load = load_between(rows[i - 1], rows[i], view);
    const double now = load.syns + load.invalid + load.junk;
    if (const Headline line = headline(load); line.attack && now > height) {
      height = now;
      what = line.text;
    }
    const Span one{i - 1, i};
    most.packets = std::max(most.packets, load.packets);
    most.syns = std::max(most.syns, load.syns);
    most.junk = std::max(most.junk, load.junk + load.shed + load.limited + load.invalid);
    bits = std::max(bits, 8 * (per_second(rows, one, column_of("rx_bytes_client")) +
                               per_second(rows, one, column_of("rx_bytes_server"))));
  }
  const std::size_t made = column_of(Reason::conn_established);
  const Span before{span.first - std::min(span.first, kBefore), span.first};
  return {{"from", rows[span.first].unix_ms},
          {"to", rows[span.last].unix_ms},
          {"what", what},
          {"packets", std::round(most.packets)},
          {"bits", std::round(bits)},
          {"syns", std::round(most.syns)},
          {"dropped", std::round(most.junk)},
          {"reasons", reasons_of(rows, span)},
          {"connections", per_second(rows, span, made)},
          {"before", per_second(rows, before, made)},
          {"felt", felt_json(felt_between(rows[span.first], rows[span.last]))},
          {"felt_before", felt_json(felt_between(rows[before.first], rows[before.last]))},
          {"failed", grown(rows, span, column_of(Reason::conn_timed_out)) +
                         grown(rows, span, column_of(Reason::conn_refused))}};
}

Json trouble_of(const Rows& rows, const Span& span, const View& view) {
  const Load load = load_between(rows[span.first], rows[span.last], view);
  return {{"from", rows[span.first].unix_ms},
          {"to", rows[span.last].unix_ms},
          {"what", headline(load).text}};
}

}  // namespace

Json analysis_document(const Recorder& recorder, const View& view, std::size_t seconds) {
  const Rows rows = recorder.last(seconds);
  std::vector<Span> attacks;
  std::vector<Span> troubles;
  double flows = 0;
  double busy = 0;
  Headline now;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const Load load = load_between(rows[i - 1], rows[i], view);
    now = headline(load);
    if (now.attack) {
      extend(attacks, i);
    } else if (now.mood == Mood::kAlarm) {
      extend(troubles, i);
    }
    flows = std::max(flows, load.flows);
    busy = std::max(busy, load.busiest);
  }
  Json document{
      {"name", view.name},
      {"version", view.version},
      {"from", rows.empty() ? view.started_unix_ms : rows.front().unix_ms},
      {"to", rows.empty() ? view.started_unix_ms : rows.back().unix_ms},
      {"started", view.started_unix_ms},
      {"headline", now.text},
      {"attacks", Json::array()},
      {"troubles", Json::array()},
      {"felt", felt_json(rows.empty() ? FeltSum{} : felt_between(rows.front(), rows.back()))},
      {"total", Json::object()},
      {"drops", Json::array()},
      {"most", {{"flows", flows}, {"busy", std::round(1000 * busy) / 1000}}},
      {"max_flows", view.max_flows},
      {"limited", limited_sources(view)}};
  const auto latest = [](std::vector<Span>& spans) {
    if (spans.size() > kMostSpans) spans.erase(spans.begin(), spans.end() - kMostSpans);
  };
  latest(attacks);
  latest(troubles);
  for (const Span& span : attacks) document["attacks"].push_back(attack_of(rows, span, view));
  for (const Span& span : troubles) document["troubles"].push_back(trouble_of(rows, span, view));
  if (rows.size() > 1) {
    const Span all{0, rows.size() - 1};
    for (std::size_t c = 0; c < columns().size(); ++c) {
      if (columns()[c].kind != Column::Kind::kCounter || grown(rows, all, c) == 0) continue;
      const std::string name(columns()[c].name);
      document["total"][name] = grown(rows, all, c);
      if (columns()[c].drop) document["drops"].push_back(name);
    }
  }
  document["said"] = Json::array();
  // All that there is includes the start, which is a moment older than the first row.
  const std::uint64_t since = rows.size() > seconds ? rows.front().unix_ms : view.started_unix_ms;
  for (const Said& line : recently_said()) {
    if (line.unix_ms >= since) {
      document["said"].push_back({{"at", line.unix_ms}, {"text", line.text}});
    }
  }
  return document;
}

}  // namespace synproxy::control
