// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_pdump.h>
#include <sched.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "base/config.h"
#include "base/errors.h"

namespace synproxy::dataplane {
namespace {

// EAL's own tables, the drivers' queues, the rings between workers, the pools' own rings.
constexpr std::size_t kEalOverhead = 64ULL << 20;
constexpr std::size_t kMegabyte = 1ULL << 20;
constexpr std::size_t kHugepage = 2 * kMegabyte;  // the smallest on x86-64
constexpr std::size_t kSegmentBytes = 64;         // what EAL keeps in its files for a page

std::size_t memory_for(const EalRequest& request, std::size_t page_bytes) {
  std::size_t bytes = kEalOverhead;
  for (const PoolPlan& pool : request.pools) bytes += pool.bytes(page_bytes);
  return bytes;
}

std::string megabytes(std::size_t bytes) {
  return std::to_string((bytes + kMegabyte - 1) / kMegabyte);
}

// EAL pins the thread that starts it to one CPU, unless told to let it float.
std::string floating_lcore() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  std::string list = "0@(";
  char separator = 0;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &allowed)) continue;
      if (separator != 0) list += separator;
      separator = ',';
      list += std::to_string(cpu);
    }
  }
  return list + ')';
}

std::string typed(const std::vector<std::string>& extra) {
  std::string text = "--";
  for (const std::string& w : extra) text += " " + w;
  return text;
}

// What the user's own arguments about memory need, and EAL would not explain.
void check_memory(const std::vector<std::string>& extra, const std::filesystem::path& directory) {
  std::uint64_t memory_mb = 64;  // EAL's own default
  bool ordinary = false;
  bool shares = true;
  for (std::size_t i = 0; i < extra.size(); ++i) {
    ordinary = ordinary || extra[i] == "--no-huge";
    shares = shares && extra[i] != "--no-shconf" && extra[i] != "--in-memory";
    if (!extra[i].starts_with("-m")) continue;
    const std::string value = extra[i].size() > 2    ? extra[i].substr(2)
                              : i + 1 < extra.size() ? extra[i + 1]
                                                     : "";
    memory_mb = std::strtoull(value.c_str(), nullptr, 10);
  }
  if (!ordinary && free_hugepage_bytes() == 0) {
    throw UsageError(typed(extra) +
                     ": DPDK takes this memory from hugepages, and none are free; 'sysctl "
                     "vm.nr_hugepages=N', or add --no-huge");
  }
  // EAL maps the files that it shares with other processes. Where the file system has no room for
  // them, the first touch is a SIGBUS.
  const std::uint64_t needed =
      kMegabyte + (ordinary ? memory_mb * kMegabyte / 4096 * kSegmentBytes : 0);
  std::error_code error;
  const auto room = std::filesystem::space(directory, error).available;
  if (!shares || error || room >= needed) return;
  throw UsageError(typed(extra) + ": DPDK needs " + megabytes(needed) + " MB of files in " +
                   directory.string() + ", and there are " + std::to_string(room >> 10) +
                   " KB left; free some, or add --no-shconf");
}

bool sizes_memory(const std::string& argument) {
  for (const char* own : {"-m", "--socket-mem", "--no-huge", "--in-memory", "--huge-dir",
                          "--legacy-mem", "--huge-unlink", "--single-file-segments"}) {
    if (argument.starts_with(own)) return true;
  }
  return false;
}

// Whether another process of DPDK can map the packet buffers: only if the user's own arguments ask
// for memory that has files.
bool has_files(const std::vector<std::string>& extra) {
  bool sized = false;
  for (const std::string& w : extra) {
    if (w == "--no-huge" || w == "--in-memory" || w == "--no-shconf") return false;
    sized = sized || sizes_memory(w);
  }
  return sized;
}

std::weak_ptr<Eal>& running() {
  static std::weak_ptr<Eal> eal;
  return eal;
}

}  // namespace

std::shared_ptr<Eal> Eal::acquire(const EalRequest& request) {
  if (auto eal = running().lock()) return eal;
  std::shared_ptr<Eal> eal(new Eal(request));
  running() = eal;
  return eal;
}

Eal::Eal(const EalRequest& request) : name_(request.name), log_(request.verbose) {
  if (log_.stream() != nullptr) rte_openlog_stream(log_.stream());
  std::vector<std::string> words = arguments(request);
  std::vector<char*> argv;
  argv.reserve(words.size());
  for (std::string& w : words) argv.push_back(w.data());
  int result = 0;
  {
    const QuietScope quiet(log_);
    result = rte_eal_init(static_cast<int>(argv.size()), argv.data());
    // For dpdk-dumpcap. A worker pays for it while that captures.
    if (result >= 0 && has_files(request.extra)) shares_memory_ = rte_pdump_init() == 0;
  }
  if (result >= 0) return;
  const std::string why = log_.last_line();
  if (!request.extra.empty() && rte_errno == EINVAL) {
    throw UsageError(typed(request.extra) + ": DPDK refuses these arguments: " + why);
  }
  throw RuntimeFailure("DPDK does not start: " + why);
}

Eal::~Eal() {
  {
    const QuietScope quiet(log_);
    if (shares_memory_) rte_pdump_uninit();
    rte_eal_cleanup();
  }
  rte_openlog_stream(nullptr);
}

std::vector<std::string> Eal::arguments(const EalRequest& request) {
  std::vector<std::string> words = {"synproxy", "--file-prefix", request.name, "--lcores",
                                    floating_lcore()};
  if (request.pci_devices.empty()) words.emplace_back("--no-pci");
  for (const std::string& device : request.pci_devices) {
    words.emplace_back("-a");
    // A bridge of the machine: the bus is there, and nothing on it is touched.
    words.push_back(request.devices_later ? "0000:00:00.0" : device);
  }
  bool sized = false;
  for (const std::string& w : request.extra) sized = sized || sizes_memory(w);
  if (!sized && free_hugepage_bytes() >= memory_for(request, kHugepage)) {
    words.emplace_back("--in-memory");  // needs no mounted hugetlbfs and leaves no files
  } else if (!sized && !request.needs_hugepages.empty()) {
    throw UsageError(request.needs_hugepages +
                     ": packet buffers have to be in hugepages for this driver, which knows no "
                     "IOMMU; 'sysctl vm.nr_hugepages=" +
                     std::to_string(memory_for(request, kHugepage) / kHugepage + 1) +
                     "', or bind it to vfio-pci");
  } else if (sized) {
    check_memory(request.extra, name_.directory());
  } else {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    // No files: nobody else maps this memory, and /run may be small.
    words.insert(words.end(),
                 {"--no-huge", "--no-shconf", "-m", megabytes(memory_for(request, page))});
    memory_note_ = "packet buffers are in ordinary memory: for better speed, provide " +
                   megabytes(memory_for(request, kHugepage)) + " MB of free hugepages";
  }
  words.insert(words.end(), request.extra.begin(), request.extra.end());
  return words;
}

}  // namespace synproxy::dataplane
