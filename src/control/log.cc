// SPDX-License-Identifier: BSD-3-Clause
#include "control/log.h"

#include <cstdio>

namespace synproxy::control {
namespace {

void print(std::FILE* out, std::string_view text) {
  const std::string line = "synproxy: " + one_line(text) + "\n";
  // The proxy does not stop because a stream is closed or full.
  (void)std::fwrite(line.data(), 1, line.size(), out);
  (void)std::fflush(out);
}

}  // namespace

std::string one_line(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15U]};
    } else {
      out += c;
    }
  }
  return out;
}

void say(std::string_view text) { print(stdout, text); }
void complain(std::string_view text) { print(stderr, text); }

}  // namespace synproxy::control
