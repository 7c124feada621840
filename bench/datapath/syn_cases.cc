// SPDX-License-Identifier: BSD-3-Clause
// A SYN flood: every SYN comes from another address, and none is repeated.
#include "datapath/flood.h"

namespace synproxy::bench {
namespace {

class SynFlood final : public Traffic {
 public:
  explicit SynFlood(Flood::Mix mix) : flood_(mix) {}
  void prepare(Bed& bed) override {
    fate_.begin(bed);
    for (std::size_t i = 0; i < Bed::buffers(); ++i) flood_.add_to(bed);
  }
  void check(Bed& bed) override { fate_.expect(bed, Bed::buffers()); }

 private:
  Flood flood_;
  FateCheck fate_{Reason::synack_sent};
};

Case syn_case(const std::string& name, const BedConfig& bed, Flood::Mix mix) {
  return {.name = "syn/" + name, .bed = bed, .traffic = [mix](Bed&) {
            return std::make_unique<SynFlood>(mix);
          }};
}

}  // namespace

void add_syn_cases(std::vector<Case>& cases) {
  using enum Flood::Mix;
  cases.push_back(syn_case("ipv4/timestamps", kIdle, kLinux));
  cases.push_back(syn_case("ipv4/plain", kIdle, kWindows));
  cases.push_back(syn_case("ipv4/macos", kIdle, kMacos));
  cases.push_back(syn_case("ipv4/no_options", kIdle, kBare));
  cases.push_back(syn_case("ipv4/mixed", kIdle, kMixed));
  cases.push_back(syn_case("ipv4/timestamps/64_services", kManyServices, kLinux));
  cases.push_back(syn_case("ipv4/timestamps/1m_flows", kMillion, kLinux));
  cases.push_back(syn_case("ipv6/timestamps", kIpv6, kLinux));
  cases.push_back(syn_case("ipv6/plain", kIpv6, kWindows));
}

}  // namespace synproxy::bench
