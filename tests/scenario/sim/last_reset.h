// SPDX-License-Identifier: BSD-3-Clause
// Whose RST a RST of the proxy is.
//
// An end that is done with a connection forgets it, and answers what still comes with a RST. If the
// proxy has forgotten the connection too, it passes on what it was told: it asks that end, and says
// the same to the other one when that speaks again. Without the proxy the RST had gone there.
#pragma once

#include <cstdint>
#include <optional>

#include "support/decoded_frame.h"

namespace synproxy::test::sim {

class LastReset {
 public:
  void clear() { seq_.reset(); }
  // What one end has sent, and the proxy has got whole. `done`: that end has got everything, and
  // all that it sent was acknowledged.
  void sent(const DecodedFrame& f, bool done) {
    if (f.has(kRst) && done) seq_ = f.seq;
  }
  // Whether a RST that the proxy sends to the other end says the same.
  [[nodiscard]] bool is_said_by(const DecodedFrame& rst) const { return seq_ == rst.seq; }

 private:
  std::optional<std::uint32_t> seq_;
};

}  // namespace synproxy::test::sim
