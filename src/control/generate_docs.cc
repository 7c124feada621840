// SPDX-License-Identifier: BSD-3-Clause
// Writes a page that is made from the lists of the program to standard output.
#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <string_view>

#include "control/docs.h"
#include "control/pages.h"

namespace {

struct Page {
  std::string_view name;
  std::string (*text)();
};

constexpr auto kPages = std::to_array<Page>({
    {"flags", synproxy::control::flags_markdown},
    {"counters", synproxy::control::counters_markdown},
    {"metrics", synproxy::control::metrics_markdown},
    {"synproxy.8", synproxy::control::program_man},
    {"synproxy.conf.5", synproxy::control::config_man},
    {"completion", synproxy::control::bash_completion},
});

}  // namespace

int main(int argc, char** argv) {
  const std::string_view which = argc == 2 ? argv[1] : "";
  const auto page = std::ranges::find(kPages, which, &Page::name);
  if (page == kPages.end()) {
    (void)std::fputs(
        "usage: generate_docs flags|counters|metrics|synproxy.8|synproxy.conf.5|completion\n",
        stderr);
    return 2;
  }
  return std::fputs(page->text().c_str(), stdout) < 0 || std::fflush(stdout) != 0 ? 1 : 0;
}
