// SPDX-License-Identifier: BSD-3-Clause
#include "control/recorder.h"

#include <algorithm>

#include "control/counter_list.h"
#include "control/service_counts.h"

namespace synproxy::control {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr std::size_t kPerWorker = 2;
// Two histograms and the repeats.
constexpr std::size_t kFeltColumns = 2 * kFeltRanges + 1;
// A share of a thousand: its sum over the workers says nothing.
constexpr std::string_view kLargest = "syn_shed_share";

std::uint64_t summed(const View& view, const IoInfo& info) {
  std::uint64_t sum = 0;
  for (const WorkerView& w : view.workers) {
    const std::uint64_t value = info.of(*w.io).get();
    sum = info.name == kLargest ? std::max(sum, value) : sum + value;
  }
  return sum;
}

std::uint64_t packets_of(const dataplane::IoCounters& io) {
  return io.rx_packets[0].get() + io.rx_packets[1].get() + io.taken_over.get();
}

}  // namespace

const std::vector<Column>& columns() {
  static const std::vector<Column> all = [] {
    std::vector<Column> made;
    made.reserve(kReasons.size() + kGauges.size() + kIoCounters.size());
    for (const ReasonInfo& r : kReasons) {
      made.push_back({r.name, Column::Kind::kCounter, r.kind == ReasonKind::DROP});
    }
    for (const GaugeInfo& g : kGauges) made.push_back({g.name, Column::Kind::kGauge});
    for (const IoInfo& io : kIoCounters) {
      made.push_back(
          {io.name, io.name == kLargest ? Column::Kind::kGauge : Column::Kind::kCounter});
    }
    made.push_back({"rx_missed_client", Column::Kind::kCounter});
    made.push_back({"rx_missed_server", Column::Kind::kCounter});
    made.insert(made.end(), kFeltColumns, {"", Column::Kind::kFelt});
    return made;
  }();
  return all;
}

std::size_t column_of(std::string_view name) {
  const auto it = std::ranges::find(columns(), name, &Column::name);
  return static_cast<std::size_t>(it - columns().begin());
}

FeltSum felt_between(const Second& from, const Second& to) {
  std::size_t column = columns().size() - kFeltColumns;
  const auto grown = [&] {
    const std::uint64_t n = to.values[column] - from.values[column];
    ++column;
    return n;
  };
  FeltSum felt;
  for (std::uint64_t& n : felt.handshake.ranges) n = grown();
  for (std::uint64_t& n : felt.first_byte.ranges) n = grown();
  felt.syn_repeats = grown();
  return felt;
}

Recorder::Recorder(std::size_t workers, std::size_t services)
    : workers_(workers),
      services_(services),
      width_(1 + columns().size() + kPerWorker * workers + service_columns().size() * services),
      cells_(new std::atomic<std::uint64_t>[kRows * width_]) {}

void Recorder::record(const View& view, std::uint64_t unix_ms) {
  last_ms_ = unix_ms;
  const std::uint64_t number = written_.load(kRelaxed);
  begun_.store(number + 1, kRelaxed);
  std::atomic_thread_fence(std::memory_order_release);
  std::atomic<std::uint64_t>* cell = row(number);
  const auto put = [&cell](std::uint64_t value) { (cell++)->store(value, kRelaxed); };
  put(unix_ms);
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    std::uint64_t sum = 0;
    for (const WorkerView& w : view.workers) sum += w.counters->by_reason[i].get();
    put(sum);
  }
  for (const GaugeInfo& g : kGauges) {
    std::uint64_t sum = 0;
    for (const WorkerView& w : view.workers) sum += g.of(*w.counters).get();
    put(sum);
  }
  for (const IoInfo& io : kIoCounters) put(summed(view, io));
  for (const PortId id : kAllPorts) put(view.ports[id].rx_missed);
  const FeltSum felt = felt_by_all(view.felt_source());
  for (const std::uint64_t n : felt.handshake.ranges) put(n);
  for (const std::uint64_t n : felt.first_byte.ranges) put(n);
  put(felt.syn_repeats);
  for (const WorkerView& w : view.workers) {
    put(w.io->busy_cycles.get());
    put(packets_of(*w.io));
  }
  std::vector<const Counters*> workers;
  for (const WorkerView& w : view.workers) workers.push_back(w.counters);
  for (std::size_t service = 0; service < services_; ++service) {
    for (const ServiceColumn& column : service_columns()) put(column.of(workers, service));
  }
  written_.store(number + 1, std::memory_order_release);
  felt_.note(view.felt_source(), unix_ms);
}

std::vector<Second> Recorder::last(std::size_t seconds) const {
  const std::uint64_t end = written_.load(std::memory_order_acquire);
  const std::uint64_t count = std::min<std::uint64_t>(end, std::min(seconds, kSeconds) + 1);
  std::vector<Second> rows;
  rows.reserve(count);
  for (std::uint64_t number = end - count; number < end; ++number) {
    const std::atomic<std::uint64_t>* cell = row(number);
    Second second{.unix_ms = cell[0].load(kRelaxed), .values = {}};
    second.values.reserve(width_ - 1);
    for (std::size_t i = 1; i < width_; ++i) second.values.push_back(cell[i].load(kRelaxed));
    std::atomic_thread_fence(std::memory_order_acquire);
    if (begun_.load(kRelaxed) - number <= kRows) rows.push_back(std::move(second));
  }
  return rows;
}

}  // namespace synproxy::control
