// SPDX-License-Identifier: BSD-3-Clause
// The lists of sources that the operator gives: --allow-file, --deny-file and --bogons.
#pragma once

#include <cstddef>
#include <span>

#include "synproxy/policy/prefix_set.h"

namespace synproxy {

// Never changes: another one takes its place.
struct SourceLists {
  PrefixSet allowed;
  PrefixSet denied;  // without what is allowed
  PrefixSet bogons;  // likewise; empty unless they are asked for
  // How many prefixes were given.
  std::size_t allow_count = 0;
  std::size_t deny_count = 0;

  friend bool operator==(const SourceLists&, const SourceLists&) = default;
};

// Throws std::bad_alloc.
[[nodiscard]] SourceLists make_source_lists(std::span<const Prefix> allow,
                                            std::span<const Prefix> deny, bool bogons);

// The addresses that no packet of the Internet comes from: those that the registries of RFC 6890
// call not globally reachable.
[[nodiscard]] PrefixSet bogon_sources();

}  // namespace synproxy
