// SPDX-License-Identifier: BSD-3-Clause
// What an interface is to its host's IP: addresses, routes and neighbours. Read from one interface,
// put on another.
//
// Only what somebody has asked for is kept. What the kernel makes of an address by itself (local
// and broadcast routes, multicast) it makes again.
#pragma once

#include <string>
#include <vector>

#include "control/rtnetlink.h"

namespace synproxy::control {

struct Addressing {
  std::vector<NetMessage> addresses;
  std::vector<NetMessage> routes;
  std::vector<NetMessage> neighbours;

  // Throws RuntimeFailure.
  [[nodiscard]] static Addressing of(Rtnetlink& net, int index);

  // True with an address that others can reach: one that is not link-local.
  [[nodiscard]] bool has_address() const;
  // "203.0.113.10/24 2001:db8::10/64", without link-local ones.
  [[nodiscard]] std::string text() const;
};

// How a message of one interface becomes one of another.
struct Rewrite {
  int from = 0;  // indexes
  int to = 0;
  // To the proxy's end: the label of an IPv4 address names another interface, and nobody renews the
  // lease there.
  bool over = false;
};

// The requests that put a message's address, route or neighbour there. For the tests, too.
[[nodiscard]] NetRequest address_request(const NetMessage& m, const Rewrite& rewrite);
[[nodiscard]] NetRequest route_request(const NetMessage& m, const Rewrite& rewrite);
[[nodiscard]] NetRequest neighbour_request(const NetMessage& m, const Rewrite& rewrite);

// Puts all of it on interface rewrite.to, beside what is there already. Returns a line for each
// address and route that the kernel refuses: "route 10.0.0.0/8: Nexthop has invalid gateway".
[[nodiscard]] std::vector<std::string> put(Rtnetlink& net, const Addressing& what,
                                           const Rewrite& rewrite);
// Takes it from interface `index`. What is gone already is right.
void take(Rtnetlink& net, const Addressing& what, int index);

// "203.0.113.10/24", "default", "2001:db8::/32".
[[nodiscard]] std::string message_text(const NetMessage& m);

}  // namespace synproxy::control
