// SPDX-License-Identifier: BSD-3-Clause
// SYNs from random addresses.
#pragma once

#include "datapath/cases.h"

namespace synproxy::bench {

class Flood {
 public:
  // The option lists, named by the system that sends them; kMixed: a random one.
  enum class Mix : std::uint8_t { kLinux, kWindows, kMacos, kBare, kMixed };

  explicit Flood(Mix mix) : mix_(mix) {}

  void add_to(Bed& bed) {
    const std::uint64_t n = random_.connection();
    const std::uint64_t numbers = random_.next();
    const Mix mix = mix_ == Mix::kMixed ? static_cast<Mix>(random_.below(4)) : mix_;
    bed.add(syn_of(bed.templates(), mix), n,
            {static_cast<std::uint32_t>(numbers), 0, static_cast<std::uint32_t>(numbers >> 32), 0});
  }

 private:
  static const FrameTemplate& syn_of(const Templates& t, Mix mix) {
    switch (mix) {
      case Mix::kWindows:
        return t.syn_windows;
      case Mix::kMacos:
        return t.syn_macos;
      case Mix::kBare:
        return t.syn_bare;
      default:
        return t.syn_linux;
    }
  }

  Mix mix_;
  Random random_{11};
};

}  // namespace synproxy::bench
