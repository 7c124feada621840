// SPDX-License-Identifier: BSD-3-Clause
// Writes one of the generated pages of docs/ to standard output.
#include <cstdio>
#include <string>
#include <string_view>

#include "control/docs.h"

int main(int argc, char** argv) {
  using namespace synproxy::control;
  const std::string_view which = argc == 2 ? argv[1] : "";
  std::string text;
  if (which == "flags") text = flags_markdown();
  if (which == "counters") text = counters_markdown();
  if (which == "metrics") text = metrics_markdown();
  if (text.empty()) {
    (void)std::fputs("usage: generate_docs flags|counters|metrics\n", stderr);
    return 2;
  }
  return std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0 ? 1 : 0;
}
