// SPDX-License-Identifier: BSD-3-Clause
// A flood of every kind of SYN, with real traffic as five packets in a hundred: half of them from
// whole short connections, half from a million standing ones.
#include <algorithm>

#include "datapath/conversations.h"
#include "datapath/flood.h"
#include "datapath/spliced.h"

namespace synproxy::bench {
namespace {

class FloodWithTraffic final : public Traffic {
 public:
  void prepare(Bed& bed) override {
    const std::size_t real = real_packets();
    syn_acks_.begin(bed);
    translated_.begin(bed);
    conversations_.begin_pass();
    syns_ = segments_ = 0;
    for (std::size_t i = 0; i < Bed::buffers(); ++i) {
      const std::uint32_t what = random_.below(Bed::buffers());
      if (what >= real) {
        flood_.add_to(bed);
        ++syns_;
      } else if (what % 2 == 0) {
        conversations_.add_one(bed);
      } else {
        // Downloads: ACKs up, data down.
        const bool up = random_.below(2) == 0;
        spliced_.add_to(bed, up ? Role::kClient : Role::kServer, !up);
        ++segments_;
      }
    }
  }
  void check(Bed& bed) override {
    syn_acks_.expect(bed, syns_ + conversations_.syns());
    translated_.expect_at_least(bed, segments_);
    conversations_.read_cookies(bed);
  }

 private:
  static std::size_t real_packets() { return Bed::buffers() * 5 / 100; }

  Flood flood_{Flood::Mix::kMixed};
  Spliced spliced_{Spliced::Clients::kBoth};
  Conversations conversations_{real_packets() / 2, true, 1ULL << 42};
  Random random_{15};
  FateCheck syn_acks_{Reason::synack_sent};
  FateCheck translated_{Reason::translated};
  std::size_t syns_ = 0;
  std::size_t segments_ = 0;
};

}  // namespace

void add_mix_cases(std::vector<Case>& cases) {
  cases.push_back({.name = "mix/ipv4/flood_and_5_percent_traffic/1m_flows",
                   .bed = kMillionAndFlood,
                   .traffic = [](Bed&) { return std::make_unique<FloodWithTraffic>(); },
                   .touches = {.written = true}});
}

}  // namespace synproxy::bench
