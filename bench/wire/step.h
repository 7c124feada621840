// SPDX-License-Identifier: BSD-3-Clause
// One step of the generator's work: KIND[,key=value...].
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace synproxy::generator {

struct Step {
  enum class Kind : std::uint8_t { kFlood, kLatency, kConnections, kOverload };

  std::string text;  // as typed
  Kind kind = Kind::kFlood;
  bool ipv6 = false;        // family=4|6
  bool timestamps = true;   // timestamps=on|off, as clients offer them
  double seconds = 1;       // seconds=S
  double rate = 0;          // rate=R, SYNs offered per second; 0: all that the link takes
  std::uint32_t check = 8;  // check=N: checksums and options of every Nth answer too
  // prove=N: prove the cookie of one SYN-ACK in N; 0: of none.
  std::uint32_t prove = 65536;
  std::uint32_t concurrent = 128;  // concurrent=N connections at a time
  std::uint32_t response = 1000;   // response=BYTES
  std::uint32_t flows = 2000;      // flows=N established ones that keep talking
  std::uint32_t newcomers = 500;   // newcomers=N clients that want a page each
};

struct BadStep : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws BadStep; its text names the step and says what is wrong and what to write.
[[nodiscard]] Step parse_step(std::string_view text);

}  // namespace synproxy::generator
