// SPDX-License-Identifier: BSD-3-Clause
#include "datapath/cases.h"

#include <stdexcept>

namespace synproxy::bench {
namespace {

[[noreturn]] void complain(Reason fate, std::uint64_t met, std::uint64_t expected) {
  throw std::runtime_error(std::string(info(fate).name) + " counts " + std::to_string(met) +
                           " packets, expected " + std::to_string(expected));
}

}  // namespace

void FateCheck::expect(const Bed& bed, std::uint64_t packets, std::uint64_t tolerated) const {
  const std::uint64_t met = bed.count(fate_) - before_;
  if (met > packets || met + tolerated < packets) complain(fate_, met, packets);
}

void FateCheck::expect_at_least(const Bed& bed, std::uint64_t packets) const {
  const std::uint64_t met = bed.count(fate_) - before_;
  if (met < packets) complain(fate_, met, packets);
}

}  // namespace synproxy::bench
