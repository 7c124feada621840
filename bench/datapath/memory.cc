// SPDX-License-Identifier: BSD-3-Clause
#include "datapath/memory.h"

#include "common/budgets.h"
#include "datapath/cases.h"
#include "synproxy/flow/table.h"

namespace synproxy::bench {
namespace {

constexpr std::uint32_t kFlows = 10'000'000;

void add_resident(std::vector<Result>& results, const BedConfig& config, const std::string& name) {
  const Bed* bed = bed_if_made(config);
  if (bed == nullptr) return;
  const auto resident = static_cast<double>(bed->memory().resident);
  results.push_back({.name = "datapath/memory/" + name,
                     .value = resident / config.flows,
                     .unit = "bytes/flow",
                     .note = "all that the engine has touched; " +
                             std::to_string(bed->memory().huge * 100 / bed->memory().resident) +
                             " % of it in hugepages"});
}

}  // namespace

std::vector<Result> memory_results() {
  std::vector<Result> results;
  const FlowTable table(kFlows);
  results.push_back({.name = "datapath/memory/record_and_index",
                     .value = static_cast<double>(table.bytes()) / kFlows,
                     .unit = "bytes/flow",
                     .budget = budget_of("datapath/memory/record_and_index"),
                     .note = "10 million IPv4 flows"});
  add_resident(results, kTenMillion, "resident/10m");
  add_resident(results, kTenMillionSmallPages, "resident/10m_4k_pages");
  return results;
}

}  // namespace synproxy::bench
