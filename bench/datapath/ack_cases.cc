// SPDX-License-Identifier: BSD-3-Clause
// A flood of ACKs whose cookies are guesses.
#include "datapath/cases.h"

namespace synproxy::bench {
namespace {

class ForgedAcks final : public Traffic {
 public:
  explicit ForgedAcks(bool timestamps) : timestamps_(timestamps) {}
  void prepare(Bed& bed) override {
    fate_.begin(bed);
    const FrameTemplate& ack = bed.templates().small_up[timestamps_ ? 1 : 0];
    for (std::size_t i = 0; i < Bed::buffers(); ++i) {
      const std::uint64_t n = random_.connection();
      bed.add(ack, n, {random_.next32(), random_.next32(), random_.next32(), random_.next32()});
    }
  }
  // One guess in millions is right (docs/cookie.md).
  void check(Bed& bed) override { fate_.expect(bed, Bed::buffers(), 2); }

 private:
  bool timestamps_;
  Random random_{12};
  FateCheck fate_{Reason::cookie_invalid};
};

Case ack_case(const std::string& name, const BedConfig& bed, bool timestamps) {
  return {.name = "forged_ack/" + name, .bed = bed, .traffic = [timestamps](Bed&) {
            return std::make_unique<ForgedAcks>(timestamps);
          }};
}

}  // namespace

void add_ack_cases(std::vector<Case>& cases) {
  cases.push_back(ack_case("ipv4/timestamps/1m_flows", kMillion, true));
  cases.push_back(ack_case("ipv4/plain/1m_flows", kMillion, false));
  // What it costs that these are harder to guess (--tight-cookies).
  cases.push_back(ack_case("ipv4/plain/1m_flows/tight", kTight, false));
  cases.push_back(ack_case("ipv4/timestamps/1m_flows/64_services", kMillionManyServices, true));
  cases.push_back(ack_case("ipv6/timestamps/1m_flows", kMillionIpv6, true));
  // As with SYNs.
  cases.push_back(ack_case("ipv4/timestamps/1m_flows/named", kMillionNamed, true));
  // Of a service at peace, in --mode adaptive: refuted without a hash.
  cases.push_back(ack_case("ipv4/timestamps/peace", kPeace, true));
  cases.push_back(ack_case("ipv4/timestamps/10m_flows", kTenMillion, true));
  cases.back().slow = true;
}

}  // namespace synproxy::bench
