// SPDX-License-Identifier: BSD-3-Clause
// A flood of fragments whose packets never come whole, from forged sources: as many as one core
// takes, where --fragments drops them, and where it puts together what it can afford.
#include "datapath/cases.h"

namespace synproxy::bench {
namespace {

class ForgedFragments final : public Traffic {
 public:
  ForgedFragments(bool full, bool dropped) : full_(full), dropped_(dropped) {}
  void prepare(Bed& bed) override {
    dropped_fate_.begin(bed);
    shed_fate_.begin(bed);
    const Templates& t = bed.templates();
    for (std::size_t i = 0; i < Bed::buffers(); ++i) {
      bed.add_fragment(full_ ? t.full_up[0] : t.request[1], random_.connection(),
                       {random_.next32(), random_.next32(), 0, 0});
    }
  }
  void check(Bed& bed) override {
    if (dropped_) return dropped_fate_.expect(bed, Bed::buffers());
    shed_fate_.expect_at_least(bed, 1);
  }

 private:
  bool full_;
  bool dropped_;
  Random random_{13};
  FateCheck dropped_fate_{Reason::fragment};
  FateCheck shed_fate_{Reason::fragment_shed};
};

}  // namespace

void add_fragment_cases(std::vector<Case>& cases) {
  for (const bool full : {false, true}) {
    for (const bool dropped : {true, false}) {
      const BedConfig bed{.fragments = dropped ? Fragments::kDrop : Fragments::kReassemble};
      cases.push_back(
          {.name = std::string("hostile/fragments/") + (full ? "1500" : "small") +
                   (dropped ? "/drop" : "/reassemble"),
           .bed = bed,
           .traffic = [full,
                       dropped](Bed&) { return std::make_unique<ForgedFragments>(full, dropped); },
           .touches = kTouchesFrame});
    }
  }
}

}  // namespace synproxy::bench
