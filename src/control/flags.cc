// SPDX-License-Identifier: BSD-3-Clause
#include "control/flags.h"

#include <algorithm>
#include <array>

#include "control/flag_rows.h"

namespace synproxy::control {
namespace {

constexpr auto kTitles = std::to_array<GroupTitle>({
    {FlagGroup::kPorts, "Ports"},
    {FlagGroup::kProtection, "Protection"},
    {FlagGroup::kAdaptive, "When cookies are sent"},
    {FlagGroup::kOffer, "What SYN-ACKs offer"},
    {FlagGroup::kLimits, "Limits and timeouts"},
    {FlagGroup::kSources, "Limits per proven source"},
    {FlagGroup::kLists, "Lists of sources, and junk"},
    {FlagGroup::kRunning, "Running"},
    {FlagGroup::kOther, "Other"},
});

}  // namespace

std::span<const Flag> flags() {
  static const std::vector<Flag> all = [] {
    std::vector<Flag> rows;
    for (const auto part : {port_rows(), adaptive_rows(), offer_rows(), limit_rows(), source_rows(),
                            list_rows(), running_rows()}) {
      rows.insert(rows.end(), part.begin(), part.end());
    }
    return rows;
  }();
  return all;
}

std::span<const GroupTitle> group_titles() { return kTitles; }

const Flag* find_flag(std::string_view name) {
  const auto all = flags();
  const auto it = std::ranges::find(all, name, &Flag::name);
  return it == all.end() ? nullptr : &*it;
}

std::string flag_term(const Flag& flag) {
  std::string term = "--";
  term += flag.name;
  if (flag.form.empty()) return term;
  const bool optional = flag.kind == FlagKind::kSwitch;
  term += optional ? " [" : " ";
  term += flag.form;
  term += optional ? "]" : "";
  return term;
}

std::string default_text(const Flag& flag) {
  if (flag.kind == FlagKind::kBare) return "";
  const auto values = flag.value.print(Config{});
  return values.empty() ? "" : values.front();
}

}  // namespace synproxy::control
