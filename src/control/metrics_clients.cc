// SPDX-License-Identifier: BSD-3-Clause
// What clients feel, as metrics.
#include <limits>

#include "control/felt.h"
#include "control/metric_row.h"

namespace synproxy::control::metric {
namespace {

Sample histogram(const std::string& service, const TimesSum& times) {
  Sample s;
  s.label.push_back({"service", service});
  s.histogram.sample_count = times.count();
  s.histogram.sample_sum = number(times.sum_ms) * 1e-3;
  std::uint64_t up_to = 0;
  for (std::size_t i = 0; i < kFeltRanges; ++i) {
    up_to += times.ranges[i];
    s.histogram.bucket.push_back({up_to, i < kFeltBoundsMs.size()
                                             ? kFeltBoundsMs[i] * 1e-3
                                             : std::numeric_limits<double>::infinity()});
  }
  return s;
}

// A histogram since the start, and gauges of the last minute.
void add_felt(std::vector<Row>& rows, const std::string& name, const std::string& what,
              TimesSum FeltSum::*times) {
  rows.push_back(row(name + "_seconds", Type::Histogram, "service",
                     what + " Of all services that are not named, `other`.",
                     [times](const View& view, Samples& out) {
                       for (const ServiceFelt& one : felt_by_service(view.felt_source())) {
                         out.push_back(histogram(one.service, one.felt.*times));
                       }
                     }));
  rows.push_back(row(name + "_within_seconds", Type::Gauge, "service, share",
                     "The same of the last minute: for that share of the clients it was over "
                     "within so many seconds; of all services together, `all`.",
                     [times](const View& view, Samples& out) {
                       for (const ServiceFelt& one : view.felt_lately) {
                         for (const FeltShare& share : kFeltShares) {
                           const auto ms = (one.felt.*times).within_ms(share.share);
                           if (!ms) continue;
                           std::string text = std::to_string(share.share);
                           text.erase(text.find_last_not_of('0') + 1);
                           out.push_back(sample({{"service", one.service}, {"share", text}},
                                                Type::Gauge, *ms * 1e-3));
                         }
                       }
                     }));
}

}  // namespace

void add_clients(std::vector<Row>& rows) {
  add_felt(rows, "client_handshake",
           "Seconds from a SYN-ACK of the proxy to the valid ACK, as proven clients felt it.",
           &FeltSum::handshake);
  add_felt(rows, "client_first_byte",
           "Seconds from a client's valid ACK to the server's first byte.", &FeltSum::first_byte);
  rows.push_back(row("client_syn_repeats", Type::Counter, "service",
                     "SYNs that those clients had sent again before their valid ACK.",
                     [](const View& view, Samples& out) {
                       for (const ServiceFelt& one : felt_by_service(view.felt_source())) {
                         out.push_back(sample({{"service", one.service}}, Type::Counter,
                                              number(one.felt.syn_repeats)));
                       }
                     }));
}

}  // namespace synproxy::control::metric
