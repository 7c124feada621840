// SPDX-License-Identifier: BSD-3-Clause
// Writes docs/flags.md or docs/counters.md to standard output.
#include <cstdio>
#include <string_view>

#include "control/docs.h"

int main(int argc, char** argv) {
  const std::string_view which = argc == 2 ? argv[1] : "";
  if (which != "flags" && which != "counters") {
    (void)std::fputs("usage: generate_docs flags|counters\n", stderr);
    return 2;
  }
  const std::string text = which == "flags" ? synproxy::control::flags_markdown()
                                            : synproxy::control::counters_markdown();
  return std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0 ? 1 : 0;
}
