// SPDX-License-Identifier: BSD-3-Clause
// A router between the proxy and a host. Some of the segments that the proxy has passed on it
// answers with an ICMP error that quotes them, in the numbers of its side. The sender has to see
// what it sent itself. Somebody who guesses the numbers sends such errors too.
#pragma once

#include <optional>
#include <string>

#include "links.h"

namespace synproxy::test::sim {

struct QuotedError {
  Bytes original;          // the IP packet that is quoted, as its sender sent it
  std::size_t quoted = 0;  // bytes of it
  bool guessed = false;    // its number is not under way
  bool untouched = false;  // it has passed as it was
};

class Router {
 public:
  Router(const Plan& plan, std::uint64_t seed) : plan_(plan), dice_(seed) {}

  // `in` came from a host and left as `out` on `side`. What goes back from there, if anything does.
  [[nodiscard]] std::optional<Flight> answer(Role side, const Flight& in, const Flight& out);

 private:
  const Plan& plan_;
  Dice dice_;
};

// Empty, or what is wrong with an error that the proxy has passed on. `numbers`: it is of a
// conversation whose numbers the proxy knows.
[[nodiscard]] std::string check_error(const QuotedError& error, const Bytes& in, const Bytes& out,
                                      const HostPlan& host, bool numbers);

}  // namespace synproxy::test::sim
