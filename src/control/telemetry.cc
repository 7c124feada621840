// SPDX-License-Identifier: BSD-3-Clause
#include "control/telemetry.h"

#include <rte_telemetry.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <iomanip>
#include <mutex>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/errors.h"
#include "base/line_writer.h"
#include "control/counter_list.h"
#include "control/help.h"
#include "control/limit_text.h"
#include "control/service_counts.h"
#include "dataplane/dpdk_version.h"

namespace synproxy::control {
namespace {

// A global, because DPDK's callbacks carry no context and cannot be unregistered.
struct Source {
  std::mutex mutex;
  const dataplane::Dataplane* dataplane = nullptr;
  const ProgramClock* clock = nullptr;
  const FeltLately* felt = nullptr;
  std::string name;
  std::vector<std::string> services;
};

Source& source() {
  static Source instance;
  return instance;
}

// Cuts long strings, because DPDK refuses them. A vdev may have a long socket path.
std::string cut(const std::string& text) { return text.substr(0, RTE_TEL_MAX_STRING_LEN - 1); }

int add(rte_tel_data* out, std::string_view name, std::uint64_t value) {
  return dataplane::add_to_dict(out, std::string(name).c_str(), value);
}

int add(rte_tel_data* out, std::string_view name, const std::string& value) {
  return rte_tel_data_add_dict_string(out, std::string(name).c_str(), cut(value).c_str());
}

int fill_info(const Source& from, std::string_view, rte_tel_data* out) {
  int bad = rte_tel_data_start_dict(out);
  bad |= add(out, "name", from.name);
  bad |= add(out, "version", version_number());
  bad |= add(out, "uptime_seconds", from.clock->now_ms() / 1000);
  bad |= add(out, "log_lines_lost", LineWriter::lost());
  bad |= add(out, "workers", std::uint64_t{from.dataplane->workers()});
  rte_tel_data* cpus = rte_tel_data_alloc();
  if (cpus == nullptr) {
    return -1;
  }
  bad |= rte_tel_data_start_array(cpus, dataplane::kTelemetryUint);
  for (unsigned i = 0; i < from.dataplane->workers(); ++i) {
    bad |= dataplane::add_to_array(cpus, from.dataplane->cpu_of(i));
  }
  bad |= rte_tel_data_add_dict_container(out, "cpus", cpus, 0);
  bad |= add(out, "cycles_per_second", from.dataplane->cycles_per_second());
  bad |= add(out, "mbufs_in_use", from.dataplane->mbufs_in_use());
  bad |= add(out, "mbufs_total", from.dataplane->mbufs_total());
  return bad == 0 ? 0 : -1;
}

int fill_port(const Source& from, std::string_view which, rte_tel_data* out) {
  if (which != "client" && which != "server") {
    return -1;
  }
  const auto status = from.dataplane->port(which == "client" ? PortId::kClient : PortId::kServer);
  int bad = rte_tel_data_start_dict(out);
  bad |= add(out, "name", status.name);
  bad |= add(out, "link_up", std::uint64_t{status.link_up ? 1U : 0U});
  bad |= add(out, "rx_missed", status.rx_missed);
  bad |= add(out, "rx_oversize", status.rx_oversize);
  bad |= add(out, "link_changes", status.link_changes);
  bad |= add(out, "driver", status.driver);
  bad |= add(out, "rx_queues", std::uint64_t{status.rx_queues});
  bad |= add(out, "syn_queues", std::uint64_t{status.syn_queues});
  bad |= add(out, "tx_queues", std::uint64_t{status.tx_queues});
  bad |= add(out, "rss", std::uint64_t{status.rss ? 1U : 0U});
  bad |= add(out, "rss_owner", std::uint64_t{status.rss_owner ? 1U : 0U});
  bad |= add(out, "rx_checksum", std::uint64_t{status.rx_checksum ? 1U : 0U});
  bad |= add(out, "mtu", std::uint64_t{status.mtu});
  return bad == 0 ? 0 : -1;
}

std::optional<unsigned> worker_index(const Source& from, std::string_view text) {
  unsigned index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error != std::errc() || end != text.data() + text.size() ||
      index >= from.dataplane->workers()) {
    return std::nullopt;
  }
  return index;
}

int fill_counters(const Source& from, std::string_view which, rte_tel_data* out) {
  const auto index = worker_index(from, which);
  if (!index) {
    return -1;
  }
  const Counters& counters = from.dataplane->counters(*index);
  int bad = rte_tel_data_start_dict(out);
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    bad |= add(out, kReasons[i].name, counters.by_reason[i].get());
  }
  return bad == 0 ? 0 : -1;
}

template <typename List, typename Block>
int fill_list(const List& list, const Block& block, rte_tel_data* out) {
  int bad = rte_tel_data_start_dict(out);
  for (const auto& entry : list) {
    bad |= add(out, entry.name, entry.of(block).get());
  }
  return bad == 0 ? 0 : -1;
}

int fill_gauges(const Source& from, std::string_view which, rte_tel_data* out) {
  const auto index = worker_index(from, which);
  return index ? fill_list(kGauges, from.dataplane->counters(*index), out) : -1;
}

int fill_io(const Source& from, std::string_view which, rte_tel_data* out) {
  const auto index = worker_index(from, which);
  return index ? fill_list(kIoCounters, from.dataplane->io(*index), out) : -1;
}

// A line for each, as DPDK has no arrays of dicts: "192.0.2.0/24 limit-rate refused 9".
int fill_limited(const Source& from, std::string_view, rte_tel_data* out) {
  int bad = rte_tel_data_start_array(out, RTE_TEL_STRING_VAL);
  for (const RefusedSource& refused : from.dataplane->refused()) {
    const std::string line =
        prefix_text(refused) + (refused.by_rate ? " limit-rate" : " limit-conns") +
        (refused.monitored ? " monitored " : " refused ") + std::to_string(refused.count);
    bad |= rte_tel_data_add_array_string(out, line.c_str());
  }
  return bad == 0 ? 0 : -1;
}

int fill_services(const Source& from, std::string_view, rte_tel_data* out) {
  int bad = rte_tel_data_start_array(out, RTE_TEL_STRING_VAL);
  for (const std::string& name : from.services) {
    bad |= rte_tel_data_add_array_string(out, name.c_str());
  }
  return bad == 0 ? 0 : -1;
}

int fill_service(const Source& from, std::string_view which, rte_tel_data* out) {
  const auto found = std::ranges::find(from.services, which);
  if (found == from.services.end()) return -1;
  const auto service = static_cast<std::size_t>(found - from.services.begin());
  std::vector<const Counters*> workers;
  for (unsigned i = 0; i < from.dataplane->workers(); ++i) {
    workers.push_back(&from.dataplane->counters(i));
  }
  int bad = rte_tel_data_start_dict(out);
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    const auto r = static_cast<Reason>(i);
    if (counts_per_service(r)) bad |= add(out, kReasons[i].name, sum_of(workers, service, r));
  }
  for (const ServiceGaugeInfo& gauge : kServiceGauges) {
    bad |= add(out, gauge.name, sum_of(workers, service, gauge));
  }
  return bad == 0 ? 0 : -1;
}

void add_times(std::ostream& line, const TimesSum& times) {
  line << times.count();
  for (const FeltShare& share : kFeltShares)
    line << ' ' << times.within_ms(share.share).value_or(0);
  line << ' ';
}

// A line for each service, its name at the end: for handshakes and then for first bytes how many,
// and within how many milliseconds the shares of kFeltShares were over; then the SYNs sent again:
// "120 9.5 20.1 50 118 2.5 4 5 3 192.0.2.10:80".
int fill_felt(const Source& from, std::string_view, rte_tel_data* out) {
  FeltSource source{.workers = {}, .names = from.services};
  for (unsigned i = 0; i < from.dataplane->workers(); ++i) {
    source.workers.push_back(&from.dataplane->counters(i));
  }
  int bad = rte_tel_data_start_array(out, RTE_TEL_STRING_VAL);
  for (const ServiceFelt& one : from.felt->now(source)) {
    std::ostringstream line;
    line << std::fixed << std::setprecision(1);
    add_times(line, one.felt.handshake);
    add_times(line, one.felt.first_byte);
    line << one.felt.syn_repeats << ' ' << one.service;
    bad |= rte_tel_data_add_array_string(out, cut(line.str()).c_str());
  }
  return bad == 0 ? 0 : -1;
}

template <int (*Fill)(const Source&, std::string_view, rte_tel_data*)>
int answer(const char*, const char* parameters, rte_tel_data* out) {
  Source& from = source();
  const std::lock_guard lock(from.mutex);
  if (from.dataplane == nullptr) {
    return -1;
  }
  return Fill(from, parameters == nullptr ? "" : parameters, out);
}

static_assert(kReasonCount < RTE_TEL_MAX_DICT_ENTRIES);

void register_commands() {
  struct Entry {
    const char* command;
    telemetry_cb callback;
    const char* help;
  };
  const Entry entries[] = {
      {"/synproxy/info", answer<fill_info>, "Name, version, uptime, CPUs, packet buffers."},
      {"/synproxy/port", answer<fill_port>, "A port. Parameter: client or server"},
      {"/synproxy/counters", answer<fill_counters>, "Every reason. Parameter: int worker"},
      {"/synproxy/gauges", answer<fill_gauges>, "Gauges. Parameter: int worker"},
      {"/synproxy/io", answer<fill_io>, "Packets and bytes. Parameter: int worker"},
      {"/synproxy/services", answer<fill_services>, "Names of the services that have one."},
      {"/synproxy/service", answer<fill_service>,
       "What was counted of a service, all workers together. Parameter: its name"},
      {"/synproxy/felt", answer<fill_felt>,
       "What clients felt in the last minute, by service: see docs/watching.md."},
      {"/synproxy/limited", answer<fill_limited>, "Sources over a limit, most refused first."},
  };
  for (const Entry& entry : entries) {
    if (rte_telemetry_register_cmd(entry.command, entry.callback, entry.help) != 0) {
      throw RuntimeFailure(std::string("telemetry: the command ") + entry.command +
                           " was refused, `synproxy stat` would not work; start it again");
    }
  }
}

}  // namespace

Telemetry::Telemetry(const dataplane::Dataplane& dataplane, const Config& config,
                     const ProgramClock& clock, const FeltLately& felt) {
  register_commands();
  Source& from = source();
  const std::lock_guard lock(from.mutex);
  from.dataplane = &dataplane;
  from.clock = &clock;
  from.felt = &felt;
  from.name = config.name;
  from.services.clear();
  for (const NamedService& service : config.services) from.services.push_back(service.name);
}

Telemetry::~Telemetry() {
  Source& from = source();
  const std::lock_guard lock(from.mutex);
  from.dataplane = nullptr;
  from.clock = nullptr;
  from.felt = nullptr;
}

}  // namespace synproxy::control
