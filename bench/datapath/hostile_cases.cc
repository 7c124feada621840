// SPDX-License-Identifier: BSD-3-Clause
// Packets made to be dear: none of them belongs to a connection, and an attacker can send any
// number of them. The dearest sets the flood that one core withstands.
#include "datapath/cases.h"
#include "datapath/hostile_frames.h"

namespace synproxy::bench {
namespace {

// Made once, all different, and sent in every pass.
class Hostile final : public Traffic {
 public:
  Hostile(const HostileFrame& make, Role from) : from_(from) {
    Random random(17);
    frames_.reserve(Bed::buffers());
    for (std::size_t i = 0; i < Bed::buffers(); ++i) frames_.push_back(make(random));
  }
  void prepare(Bed& bed) override {
    flows_ = bed.count(Reason::cookie_valid);
    for (const test::Bytes& frame : frames_) bed.add_raw(frame, from_);
  }
  // One guess in millions is right.
  void check(Bed& bed) override {
    if (bed.count(Reason::cookie_valid) - flows_ > 2) {
      throw std::runtime_error("a hostile packet has opened a flow");
    }
  }

 private:
  Role from_;
  std::vector<test::Bytes> frames_;
  std::uint64_t flows_ = 0;
};

}  // namespace

void add_hostile_cases(std::vector<Case>& cases) {
  for (const HostileRow& row : hostile_rows()) {
    cases.push_back(
        {.name = "hostile/" + row.name,
         .bed = kBesieged,
         .traffic = [row](Bed&) { return std::make_unique<Hostile>(row.make, row.from); },
         .touches = kTouchesFrame});
  }
}

}  // namespace synproxy::bench
