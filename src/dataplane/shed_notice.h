// SPDX-License-Identifier: BSD-3-Clause
// Decides when to say that SYNs are shed, and when that it is over: one line for each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace synproxy::dataplane {

class ShedNotice {
 public:
  // Call it about once a second, with the number of SYNs ever shed. Returns a line to log, or none.
  [[nodiscard]] std::optional<std::string> look(std::uint64_t shed) {
    const bool more = shed != last_;
    last_ = shed;
    if (more) {
      quiet_ = 0;
      if (told_) return std::nullopt;
      told_ = true;
      return "more SYNs arrive than can be answered: some are shed (counter syn_shed), a client "
             "that sends its SYN again gets through, and connections that stand go first";
    }
    if (!told_ || ++quiet_ < kQuietLooks) return std::nullopt;
    told_ = false;
    const std::uint64_t lost = shed - told_at_;
    told_at_ = shed;
    return "all SYNs are answered again; " + std::to_string(lost) + " were shed";
  }

 private:
  static constexpr unsigned kQuietLooks = 10;  // a flood that comes in waves is one flood

  std::uint64_t last_ = 0;
  std::uint64_t told_at_ = 0;  // the number when the last flood was over
  unsigned quiet_ = 0;
  bool told_ = false;
};

}  // namespace synproxy::dataplane
