// SPDX-License-Identifier: BSD-3-Clause
#include "control/history.h"

#include <algorithm>
#include <cmath>

#include "control/limit_text.h"
#include "control/service_counts.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

// The headline speaks of the last few seconds: one alone is too nervous.
constexpr std::size_t kNow = 5;

double grown(const Second& from, const Second& to, std::size_t column) {
  return static_cast<double>(to.values[column] - from.values[column]);
}

double seconds_between(const Second& from, const Second& to) {
  return std::max(1.0, static_cast<double>(to.unix_ms - from.unix_ms)) / 1000;
}

// Three digits are enough for a curve.
double rounded(double value) {
  if (value >= 100) return std::round(value);
  return std::round(value * 100) / 100;
}

std::size_t cycles_column(std::size_t worker) { return columns().size() + 2 * worker; }
std::size_t packets_column(std::size_t worker) { return cycles_column(worker) + 1; }

double busy_share(const Second& from, const Second& to, std::size_t worker,
                  std::uint64_t cycles_per_second) {
  const double all = seconds_between(from, to) * static_cast<double>(cycles_per_second);
  return all <= 0 ? 0 : std::min(1.0, grown(from, to, cycles_column(worker)) / all);
}

std::size_t service_column(const View& view, std::size_t service, std::size_t column) {
  return columns().size() + 2 * view.workers.size() + service * service_columns().size() + column;
}
std::size_t service_column(const View& view, std::size_t service, std::string_view name) {
  const auto all = service_columns();
  const auto it = std::ranges::find(all, name, &ServiceColumn::name);
  return service_column(view, service, static_cast<std::size_t>(it - all.begin()));
}

// Whose the most of it is. Empty: nobody's, or nobody has as much as half of `all`.
std::string most_of(const Second& from, const Second& to, const View& view, std::string_view name,
                    double all) {
  std::string whose;
  double most = all / 2;
  for (std::size_t s = 0; s < view.services.size(); ++s) {
    const double part = grown(from, to, service_column(view, s, name));
    if (part <= most) continue;
    most = part;
    whose = view.services[s];
  }
  return whose;
}

Json ports(const View& view) {
  Json all;
  for (const PortId id : kAllPorts) {
    all[id == PortId::kClient ? "client" : "server"] = {{"name", view.ports[id].name},
                                                        {"up", view.ports[id].link_up}};
  }
  return all;
}

void add_series(Json& document, const std::vector<Second>& rows) {
  Json rates = Json::object();
  Json gauges = Json::object();
  Json drops = Json::array();
  Json total = Json::object();
  for (std::size_t c = 0; c < columns().size(); ++c) {
    const Column& column = columns()[c];
    if (column.kind == Column::Kind::kFelt) continue;
    const bool gauge = column.kind == Column::Kind::kGauge;
    if (!gauge && (rows.empty() || grown(rows.front(), rows.back(), c) == 0)) continue;
    Json values = Json::array();
    for (std::size_t i = 1; i < rows.size(); ++i) {
      if (gauge) {
        values.push_back(rows[i].values[c]);
      } else {
        values.push_back(
            rounded(grown(rows[i - 1], rows[i], c) / seconds_between(rows[i - 1], rows[i])));
      }
    }
    const std::string name(column.name);
    (gauge ? gauges : rates)[name] = std::move(values);
    if (column.drop) drops.push_back(name);
    if (!gauge) total[name] = rows.back().values[c] - rows.front().values[c];
  }
  document["rates"] = std::move(rates);
  document["gauges"] = std::move(gauges);
  document["drops"] = std::move(drops);
  document["grown"] = std::move(total);
}

// Half a dozen clients a second say little about quantiles, so each point looks back a while.
Json felt_series(const std::vector<Second>& rows) {
  constexpr std::size_t kBack = 10;
  Json felt{{"handshake_ms", Json::object()}, {"first_byte_ms", Json::object()}};
  felt["syn_repeats"] = Json::array();
  for (const auto& [name, times] : felt.items()) {
    if (times.is_array()) continue;
    for (const FeltShare& share : kFeltShares) times[share.name] = Json::array();
  }
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const FeltSum sum = felt_between(rows[i - std::min(i, kBack)], rows[i]);
    for (const auto& [name, times] : {std::pair("handshake_ms", times_json(sum.handshake)),
                                      std::pair("first_byte_ms", times_json(sum.first_byte))}) {
      for (const FeltShare& share : kFeltShares) {
        felt[name][share.name].push_back(times.at(share.name));
      }
    }
    felt["syn_repeats"].push_back(sum.syn_repeats);
  }
  return felt;
}

Json workers(const std::vector<Second>& rows, const View& view) {
  Json all = Json::array();
  for (std::size_t w = 0; w < view.workers.size(); ++w) {
    Json busy = Json::array();
    Json cycles = Json::array();
    for (std::size_t i = 1; i < rows.size(); ++i) {
      busy.push_back(
          std::round(1000 * busy_share(rows[i - 1], rows[i], w, view.cycles_per_second)) / 1000);
      const double packets = grown(rows[i - 1], rows[i], packets_column(w));
      cycles.push_back(
          packets == 0 ? 0 : std::round(grown(rows[i - 1], rows[i], cycles_column(w)) / packets));
    }
    all.push_back({{"cpu", view.workers[w].cpu}, {"busy", busy}, {"cycles", cycles}});
  }
  return all;
}

Json services(const std::vector<Second>& rows, const View& view) {
  Json all = Json::array();
  for (std::size_t s = 0; s < view.services.size(); ++s) {
    Json rates = Json::object();
    Json gauges = Json::object();
    for (std::size_t c = 0; c < service_columns().size(); ++c) {
      const ServiceColumn& column = service_columns()[c];
      const std::size_t at = service_column(view, s, c);
      Json values = Json::array();
      for (std::size_t i = 1; i < rows.size(); ++i) {
        const double rate = grown(rows[i - 1], rows[i], at) / seconds_between(rows[i - 1], rows[i]);
        values.push_back(column.gauge ? Json(rows[i].values[at]) : Json(rounded(rate)));
      }
      (column.gauge ? gauges : rates)[std::string(column.name)] = std::move(values);
    }
    all.push_back({{"name", view.services[s]}, {"rates", rates}, {"gauges", gauges}});
  }
  return all;
}

}  // namespace

Json limited_sources(const View& view) {
  Json all = Json::array();
  for (const RefusedSource& source : view.refused) {
    all.push_back({{"source", prefix_text(source)},
                   {"rule", source.by_rate ? "limit-rate" : "limit-conns"},
                   {"monitored", source.monitored},
                   {"refused", source.count}});
  }
  return all;
}

Load load_between(const Second& from, const Second& to, const View& view) {
  Load load;
  load.max_flows = static_cast<double>(std::max<std::uint64_t>(view.max_flows, 1));
  const double seconds = seconds_between(from, to);
  const auto of = [&](Reason r) { return grown(from, to, column_of(r)) / seconds; };
  const auto named = [&](std::string_view name) {
    return grown(from, to, column_of(name)) / seconds;
  };
  load.packets = named("rx_packets_client") + named("rx_packets_server");
  load.syns = of(Reason::syn_received) + of(Reason::syn_shed);
  load.synacks = of(Reason::synack_sent);
  load.valid = of(Reason::cookie_valid) + of(Reason::conn_watched);
  load.invalid = of(Reason::cookie_invalid) + of(Reason::ack_shed);
  load.shed = of(Reason::syn_shed) + of(Reason::ack_shed) + of(Reason::icmp_shed) +
              of(Reason::fragment_shed);
  load.limited = of(Reason::limit_rate) + of(Reason::limit_conns);
  for (std::size_t c = 0; c < columns().size(); ++c) {
    if (columns()[c].drop) load.junk += grown(from, to, c) / seconds;
  }
  load.junk -= load.shed + load.limited + of(Reason::cookie_invalid);
  load.established = of(Reason::conn_established);
  load.timed_out = of(Reason::conn_timed_out);
  load.refused = of(Reason::conn_refused);
  load.missed = named("rx_missed_client") + named("rx_missed_server");
  load.syns_at =
      most_of(from, to, view, "syn_received", grown(from, to, column_of(Reason::syn_received)));
  load.invalid_at =
      most_of(from, to, view, "cookie_invalid", grown(from, to, column_of(Reason::cookie_invalid)));
  load.flows = static_cast<double>(to.values[column_of("flows")]);
  for (std::size_t w = 0; w < view.workers.size(); ++w) {
    load.busiest = std::max(load.busiest, busy_share(from, to, w, view.cycles_per_second));
  }
  return load;
}

Json history_document(const Recorder& recorder, const View& view, std::size_t seconds) {
  const std::vector<Second> rows = recorder.last(seconds);
  Load load;
  if (!rows.empty()) {
    load = load_between(rows[rows.size() - std::min(rows.size(), kNow + 1)], rows.back(), view);
  }
  load.link_down = !view.ports[PortId::kClient].link_up || !view.ports[PortId::kServer].link_up;
  const Headline line = headline(load);
  Json document{{"name", view.name},
                {"version", view.version},
                {"now", rows.empty() ? view.started_unix_ms : rows.back().unix_ms},
                {"started", view.started_unix_ms},
                {"headline", line.text},
                {"mood", mood_text(line.mood)},
                {"max_flows", view.max_flows},
                {"ports", ports(view)},
                {"limited", limited_sources(view)}};
  Json times = Json::array();
  for (std::size_t i = 1; i < rows.size(); ++i) times.push_back(rows[i].unix_ms);
  document["times"] = std::move(times);
  add_series(document, rows);
  document["felt"] = felt_series(rows);
  document["felt_lately"] = felt_json(recorder.felt().now(view.felt_source()));
  document["workers"] = workers(rows, view);
  document["services"] = services(rows, view);
  return document;
}

}  // namespace synproxy::control
