// SPDX-License-Identifier: BSD-3-Clause
#include "control/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <optional>

#include "control/counter_list.h"
#include "control/metric_row.h"
#include "control/service_counts.h"
#include "synproxy/base/reasons.h"

namespace synproxy::control {
namespace {

using namespace metric;

constexpr std::array<std::string_view, kPorts> kSides{"client", "server"};

std::vector<const Counters*> counters_of(const View& view) {
  std::vector<const Counters*> all;
  for (const WorkerView& w : view.workers) all.push_back(w.counters);
  return all;
}

// What no rule says: the counter's name, the metric's, its unit, and its sentence in that unit.
struct Exception {
  std::string_view counter;
  std::string_view metric;
  Type type;
  double scale;
  std::string_view help;
};
constexpr auto kExceptions = std::to_array<Exception>({
    {"syn_shed_share", "syn_shed_ratio", Type::Gauge, 1e-3,
     "Share of the SYNs that come for the first time and are shed at the moment, 0 to 1; 0 while "
     "all are answered."},
    {"clock_ms", "worker_clock_seconds", Type::Gauge, 1e-3,
     "The worker's clock, seconds. Where it stands still, the worker hangs."},
    {"idle_us", "idle_seconds", Type::Counter, 1e-6,
     "Seconds that the worker has slept in all; 1 minus its rate is the most that the worker takes "
     "of its CPU."},
    {"busy_cycles", "busy_cycles", Type::Counter, 1,
     "Cycles of the time-stamp counter that the worker has spent in turns that brought packets. Its "
     "rate divided by that of synproxy_rx_packets_total and synproxy_taken_over_total gives the "
     "cycles per packet."},
});

const Exception* exception_of(std::string_view counter) {
  const auto it = std::ranges::find(kExceptions, counter, &Exception::counter);
  return it == kExceptions.end() ? nullptr : &*it;
}

// "rx_bytes_client" is the client's side of "rx_bytes".
std::string_view without_side(std::string_view name, std::string_view side) {
  const bool ends = name.ends_with(side) && name.size() > side.size() &&
                    name[name.size() - side.size() - 1] == '_';
  return ends ? name.substr(0, name.size() - side.size() - 1) : std::string_view();
}

std::string without(std::string text, std::string_view word) {
  const std::size_t at = text.find(word);
  return at == std::string::npos ? text : text.erase(at, word.size());
}

// A series for each worker. `value` is given a WorkerView.
template <typename Value>
Row per_worker(std::string_view name, Type type, std::string_view help, Value value) {
  return row(name, type, "worker", help, [type, value](const View& view, Samples& out) {
    for (std::size_t i = 0; i < view.workers.size(); ++i) {
      out.push_back(sample({{"worker", std::to_string(i)}}, type, value(view.workers[i])));
    }
  });
}

template <typename Value>
Row per_port(std::string_view name, Type type, std::string_view help, Value value) {
  return row(name, type, "side", help, [type, value](const View& view, Samples& out) {
    for (std::size_t i = 0; i < kPorts; ++i) {
      out.push_back(sample({{"side", std::string(kSides[i])}}, type, value(view.ports[i])));
    }
  });
}

template <typename Value>
Row once(std::string_view name, Type type, std::string_view help, Value value) {
  return row(name, type, "", help, [type, value](const View& view, Samples& out) {
    out.push_back(sample({}, type, value(view)));
  });
}

void add_reasons(std::vector<Row>& rows) {
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    rows.push_back(
        per_worker(kReasons[i].name, Type::Counter, kReasons[i].sentence,
                   [i](const WorkerView& w) { return number(w.counters->by_reason[i].get()); }));
  }
  rows.push_back(row(
      "drops", Type::Counter, "worker, reason",
      "Packets dropped, by reason, to add up over. Each reason is a counter of its own too, whose "
      "HELP says what it means.",
      [](const View& view, Samples& out) {
        for (std::size_t w = 0; w < view.workers.size(); ++w) {
          for (std::size_t i = 0; i < kReasonCount; ++i) {
            if (kReasons[i].kind != ReasonKind::DROP) continue;
            out.push_back(
                sample({{"worker", std::to_string(w)}, {"reason", std::string(kReasons[i].name)}},
                       Type::Counter, number(view.workers[w].counters->by_reason[i].get())));
          }
        }
      }));
}

// Both sides of one counter.
Row both_sides(std::string_view name, const IoInfo& client, const IoInfo& server) {
  return row(name, Type::Counter, "worker, side", without(std::string(client.sentence), "client "),
             [client, server](const View& view, Samples& out) {
               for (std::size_t w = 0; w < view.workers.size(); ++w) {
                 const auto& io = *view.workers[w].io;
                 for (const auto& [side, info] : {std::pair(0, client), std::pair(1, server)}) {
                   out.push_back(sample({{"worker", std::to_string(w)},
                                         {"side", std::string(kSides[side != 0 ? 1 : 0])}},
                                        Type::Counter, number(info.of(io).get())));
                 }
               }
             });
}

void add_io(std::vector<Row>& rows) {
  for (const IoInfo& info : kIoCounters) {
    if (!without_side(info.name, kSides[1]).empty()) continue;  // comes with the client's
    if (const auto stem = without_side(info.name, kSides[0]); !stem.empty()) {
      const auto server = std::ranges::find_if(kIoCounters, [&](const IoInfo& other) {
        return without_side(other.name, kSides[1]) == stem;
      });
      rows.push_back(both_sides(stem, info, *server));
      continue;
    }
    const Exception* other = exception_of(info.name);
    const double scale = other == nullptr ? 1.0 : other->scale;
    rows.push_back(per_worker(
        other == nullptr ? info.name : other->metric,
        other == nullptr ? Type::Counter : other->type,
        other == nullptr ? info.sentence : other->help,
        [info, scale](const WorkerView& w) { return number(info.of(*w.io).get()) * scale; }));
  }
}

void add_busy(std::vector<Row>& rows) {
  rows.push_back(row(
      "busy_seconds", Type::Counter, "worker",
      "The same time in seconds: its rate is the share of the time in which the worker is busy.",
      [](const View& view, Samples& out) {
        for (std::size_t i = 0; i < view.workers.size(); ++i) {
          out.push_back(sample({{"worker", std::to_string(i)}}, Type::Counter,
                               number(view.workers[i].io->busy_cycles.get()) /
                                   number(std::max<std::uint64_t>(view.cycles_per_second, 1))));
        }
      }));
}

void add_gauges(std::vector<Row>& rows) {
  for (const GaugeInfo& info : kGauges) {
    rows.push_back(per_worker(info.name, Type::Gauge, info.sentence, [info](const WorkerView& w) {
      return number(info.of(*w.counters).get());
    }));
  }
  rows.push_back(once("max_flows", Type::Gauge,
                      "Connections that there is room for (--max-flows), all workers together.",
                      [](const View& v) { return number(v.max_flows); }));
}

// A series for each service with a name, all workers together.
template <typename Value>
Row per_service(std::string name, Type type, std::string help, Value value) {
  return row(
      "service_" + std::move(name), type, "service", help,
      [type, value](const View& view, Samples& out) {
        const auto workers = counters_of(view);
        for (std::size_t s = 0; s < view.services.size(); ++s) {
          out.push_back(sample({{"service", view.services[s]}}, type, number(value(workers, s))));
        }
      });
}

void add_services(std::vector<Row>& rows) {
  constexpr auto kShown = std::to_array<Reason>(
      {Reason::syn_received, Reason::synack_sent, Reason::cookie_valid, Reason::cookie_invalid,
       Reason::translated, Reason::limit_rate, Reason::limit_conns, Reason::backlog_waited,
       Reason::conn_established, Reason::conn_watched, Reason::conn_refused, Reason::conn_timed_out,
       Reason::conn_reset});
  for (const Reason r : kShown) {
    const ReasonInfo& info = kReasons[static_cast<std::size_t>(r)];
    rows.push_back(
        per_service(std::string(info.name), Type::Counter,
                    "Of a service with a name, all workers together: " + std::string(info.sentence),
                    [r](PerWorker workers, std::size_t s) { return sum_of(workers, s, r); }));
  }
  rows.push_back(row("service_drops", Type::Counter, "service, reason",
                     "Packets of a service with a name that were dropped, by reason; those that "
                     "have no port of their own are in synproxy_drops_total alone.",
                     [](const View& view, Samples& out) {
                       const auto workers = counters_of(view);
                       for (std::size_t s = 0; s < view.services.size(); ++s) {
                         for (std::size_t i = 0; i < kReasonCount; ++i) {
                           const auto r = static_cast<Reason>(i);
                           if (kReasons[i].kind != ReasonKind::DROP || !counts_per_service(r))
                             continue;
                           out.push_back(sample({{"service", view.services[s]},
                                                 {"reason", std::string(kReasons[i].name)}},
                                                Type::Counter, number(sum_of(workers, s, r))));
                         }
                       }
                     }));
  for (const ServiceGaugeInfo& info : kServiceGauges) {
    rows.push_back(
        per_service(std::string(info.name), Type::Gauge, std::string(info.sentence),
                    [info](PerWorker workers, std::size_t s) { return sum_of(workers, s, info); }));
  }
}

void add_ports(std::vector<Row>& rows) {
  using Status = dataplane::PortStatus;
  rows.push_back(row("port_info", Type::Gauge, "side, device, driver",
                     "Always 1. The device of each side, and DPDK's driver, `socket` or `xdp`.",
                     [](const View& view, Samples& out) {
                       for (std::size_t i = 0; i < kPorts; ++i) {
                         out.push_back(sample({{"side", std::string(kSides[i])},
                                               {"device", view.ports[i].name},
                                               {"driver", view.ports[i].driver}},
                                              Type::Gauge, 1));
                       }
                     }));
  rows.push_back(per_port("port_up", Type::Gauge, "1: the device exists and has a carrier; else 0.",
                          [](const Status& s) { return s.link_up ? 1.0 : 0.0; }));
  rows.push_back(per_port("port_link_changes", Type::Counter, "How often the link went up or down.",
                          [](const Status& s) { return number(s.link_changes); }));
  rows.push_back(
      per_port("port_rx_missed_packets", Type::Counter,
               "Packets that the device or the kernel dropped before the proxy saw them.",
               [](const Status& s) { return number(s.rx_missed); }));
  rows.push_back(
      per_port("port_rx_oversize_packets", Type::Counter,
               "Packets longer than a frame of the port's MTU that are no super-frames, dropped.",
               [](const Status& s) { return number(s.rx_oversize); }));
}

void add_program(std::vector<Row>& rows) {
  rows.push_back(once("packet_buffers_in_use", Type::Gauge,
                      "Packet buffers in use, receive queues included.",
                      [](const View& v) { return number(v.mbufs_in_use); }));
  rows.push_back(once("packet_buffers", Type::Gauge, "Packet buffers there are.",
                      [](const View& v) { return number(v.mbufs_total); }));
  rows.push_back(once("log_lines_lost", Type::Counter,
                      "Lines of the log that a stream did not take: its reader has stalled or "
                      "left, or the disk is full.",
                      [](const View& v) { return number(v.log_lines_lost); }));
  rows.push_back(row("worker_info", Type::Gauge, "worker, cpu", "Always 1. The CPU of each worker.",
                     [](const View& view, Samples& out) {
                       for (std::size_t i = 0; i < view.workers.size(); ++i) {
                         out.push_back(sample({{"worker", std::to_string(i)},
                                               {"cpu", std::to_string(view.workers[i].cpu)}},
                                              Type::Gauge, 1));
                       }
                     }));
  rows.push_back(row("build_info", Type::Gauge, "version, dpdk, name",
                     "Always 1. The version of the program, that of DPDK, and the --name.",
                     [](const View& view, Samples& out) {
                       out.push_back(sample(
                           {{"version", view.version}, {"dpdk", view.dpdk}, {"name", view.name}},
                           Type::Gauge, 1));
                     }));
  Row start = once("", Type::Gauge,
                   "Start of the program, seconds since 1970. All counters begin at 0 there.",
                   [](const View& v) { return number(v.started_unix_ms) * 1e-3; });
  start.info.name = "process_start_time_seconds";  // the name that Prometheus knows
  rows.push_back(std::move(start));
}

const std::vector<Row>& rows() {
  static const std::vector<Row> all = [] {
    std::vector<Row> made;
    add_reasons(made);
    add_io(made);
    add_busy(made);
    add_gauges(made);
    add_services(made);
    add_clients(made);
    add_ports(made);
    add_program(made);
    return made;
  }();
  return all;
}

}  // namespace

std::vector<MetricInfo> metric_list() {
  std::vector<MetricInfo> list;
  for (const Row& row : rows()) list.push_back(row.info);
  return list;
}

std::string metrics_text(const View& view) {
  std::vector<prometheus::MetricFamily> families;
  for (const Row& row : rows()) {
    families.push_back(
        {.name = row.info.name, .help = row.info.help, .type = row.type, .metric = {}});
    row.fill(view, families.back().metric);
    if (families.back().metric.empty()) families.pop_back();  // no service has a name
  }
  return prometheus::TextSerializer().Serialize(families);
}

std::string open_metrics(std::string_view metrics_text) {
  constexpr std::string_view kTotal = "_total";
  std::string out;
  out.reserve(metrics_text.size() + metrics_text.size() / 16);
  while (!metrics_text.empty()) {
    const std::string_view line = metrics_text.substr(0, metrics_text.find('\n'));
    metrics_text.remove_prefix(std::min(line.size() + 1, metrics_text.size()));
    const bool help = line.starts_with("# HELP ");
    if (help || line.starts_with("# TYPE ")) {
      const std::size_t end = std::min(line.find(' ', 7), line.size());
      const std::string_view name = line.substr(0, end);
      out += name.substr(0, name.size() - (name.ends_with(kTotal) ? kTotal.size() : 0));
      for (const char c : line.substr(end)) {
        if (help && c == '"') out += '\\';
        out += c;
      }
    } else {
      out += line;
    }
    out += '\n';
  }
  return out + "# EOF\n";
}

}  // namespace synproxy::control
