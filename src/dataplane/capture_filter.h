// SPDX-License-Identifier: BSD-3-Clause
// Which packets a capture is about.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "synproxy/base/packet.h"
#include "synproxy/base/reasons.h"
#include "synproxy/policy/protect.h"

namespace synproxy::dataplane {

struct CaptureFilter {
  static constexpr std::uint32_t kWhole = 65535;  // no frame is longer

  // The addresses and ports of an end, by any of the rules. None: any.
  std::vector<ProtectRule> client;
  std::vector<ProtectRule> server;
  bool either_way = false;  // the two ends may also be the other way round
  bool any_fate = true;
  std::array<bool, kReasonCount> fates{};  // else these
  std::uint32_t snaplen = kWhole;          // bytes of a frame that are kept

  // Whether the ends of a frame that `sender` sent, or that goes to the other side in its name, are
  // the ones asked for. An ICMP error has the ends of what it quotes too. A later fragment has no
  // ports, and is judged by its addresses.
  [[nodiscard]] bool matches(Role sender, std::uint8_t* frame, std::size_t length) const;
  [[nodiscard]] bool wants(Reason fate) const {
    return any_fate || fates[static_cast<std::size_t>(fate)];
  }
};

}  // namespace synproxy::dataplane
