// SPDX-License-Identifier: BSD-3-Clause
// What a flood costs on a CPU with fewer vector instructions.
#include <algorithm>
#include <array>
#include <string_view>

#include "datapath/cases.h"

namespace synproxy::bench {
namespace {

// Of both families, and of the shapes that have kernels of their own.
constexpr auto kRepeated = std::to_array<std::string_view>({
    "syn/ipv4/timestamps",
    "syn/ipv4/plain",
    "syn/ipv4/macos",
    "syn/ipv4/no_options",
    "syn/ipv4/mixed",
    "syn/ipv6/timestamps",
    "syn/ipv6/plain",
    "forged_ack/ipv4/timestamps/1m_flows",
    "forged_ack/ipv6/timestamps/1m_flows",
});

}  // namespace

void add_vector_cases(std::vector<Case>& cases) {
  for (const std::string_view name : kRepeated) {
    const auto found = std::ranges::find(cases, name, &Case::name);
    if (found == cases.end()) continue;
    Case less = *found;
    for (const auto& [vectors, suffix] :
         {std::pair{Vectors::kAvx2, "/avx2"}, std::pair{Vectors::kNone, "/scalar"}}) {
      if (vectors > cpu_vectors()) continue;
      less.bed.vectors = vectors;
      less.name = std::string(name) + suffix;
      cases.push_back(less);
    }
  }
}

}  // namespace synproxy::bench
