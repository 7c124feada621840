// SPDX-License-Identifier: BSD-3-Clause
// A SYN flood: every SYN comes from another address, and none is repeated.
#include "datapath/flood.h"

namespace synproxy::bench {
namespace {

class SynFlood final : public Traffic {
 public:
  SynFlood(Flood::Mix mix, Reason fate) : flood_(mix), fate_{fate} {}
  void prepare(Bed& bed) override {
    fate_.begin(bed);
    for (std::size_t i = 0; i < Bed::buffers(); ++i) flood_.add_to(bed);
  }
  // The clock goes on, so a SYN that would be capped may be answered now and then. Of a million
  // addresses that are denied, some are the flood's.
  void check(Bed& bed) override {
    const bool capped = bed.config().replies == Replies::kCapped;
    const bool listed = bed.config().denied != 0;
    fate_.expect(bed, Bed::buffers(), capped ? 8 : listed ? Bed::buffers() / 100 : 0);
  }

 private:
  Flood flood_;
  FateCheck fate_;
};

Case syn_case(const std::string& name, const BedConfig& bed, Flood::Mix mix,
              Reason fate = Reason::synack_sent) {
  const bool leaves = fate == Reason::synack_sent || fate == Reason::watched;
  return {.name = "syn/" + name,
          .bed = bed,
          .traffic = [mix, fate](Bed&) { return std::make_unique<SynFlood>(mix, fate); },
          .touches = {.written = leaves, .bucket = leaves}};
}

}  // namespace

void add_syn_cases(std::vector<Case>& cases) {
  using enum Flood::Mix;
  cases.push_back(syn_case("ipv4/timestamps", kIdle, kLinux));
  cases.push_back(syn_case("ipv4/plain", kIdle, kWindows));
  cases.push_back(syn_case("ipv4/plain/tight", {.tight = true}, kWindows));
  cases.push_back(syn_case("ipv4/macos", kIdle, kMacos));
  cases.push_back(syn_case("ipv4/no_options", kIdle, kBare));
  cases.push_back(syn_case("ipv4/mixed", kIdle, kMixed));
  cases.push_back(syn_case("ipv4/timestamps/64_services", kManyServices, kLinux));
  cases.push_back(syn_case("ipv4/timestamps/1m_flows", kMillion, kLinux));
  cases.push_back(syn_case("ipv6/timestamps", kIpv6, kLinux));
  cases.push_back(syn_case("ipv6/plain", kIpv6, kWindows));
  // What it adds that services have names and are counted apart.
  cases.push_back(syn_case("ipv4/timestamps/named", kNamed, kLinux));
  // Of a service at peace, in --mode adaptive.
  cases.push_back(syn_case("ipv4/timestamps/peace", kPeace, kLinux, Reason::watched));
  // What --reply-rate adds, and what a SYN costs that it leaves without an answer.
  cases.push_back(syn_case("ipv4/timestamps/reply_rate", {.replies = Replies::kRated}, kLinux));
  cases.push_back(
      syn_case("ipv6/timestamps/reply_rate", {.ipv6 = true, .replies = Replies::kRated}, kLinux));
  cases.push_back(syn_case("ipv4/timestamps/capped", {.replies = Replies::kCapped}, kLinux,
                           Reason::reply_capped));
  // What lists of sources add (docs/policy.md).
  cases.push_back(syn_case("ipv4/timestamps/bogons", kBogons, kLinux));
  cases.push_back(syn_case("ipv4/timestamps/1k_denied", kThousandDenied, kLinux));
  cases.push_back(syn_case("ipv4/timestamps/1m_denied", kMillionDenied, kLinux));
  cases.push_back(syn_case("ipv6/timestamps/1m_denied", kMillionDeniedIpv6, kLinux));
  cases.push_back(syn_case("ipv4/timestamps/named/1m_denied", kMillionDeniedOfOne, kLinux));
  cases.push_back(syn_case("ipv4/timestamps/min_ttl", kStrict, kLinux));
  // Every rule at once: lists, --bogons, --min-ttl, --reply-rate, and those that SYNs do not pay
  // for.
  cases.push_back(syn_case("ipv4/timestamps/all_rules", kAllRules, kLinux));
  cases.push_back(syn_case("ipv4/denied", kAllDenied, kLinux, Reason::denied));
}

}  // namespace synproxy::bench
