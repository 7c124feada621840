// SPDX-License-Identifier: BSD-3-Clause
// The lists of sources that the operator gives: --allow-file, --deny-file and --bogons.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "synproxy/policy/prefix_set.h"
#include "synproxy/policy/protect.h"

namespace synproxy {

// Never changes. New lists are another object, which takes its place.
struct SourceSets {
  PrefixSet allowed;
  PrefixSet denied;  // without what is allowed
  PrefixSet bogons;  // without them too; empty unless asked for
  // How many prefixes were given.
  std::size_t allow_count = 0;
  std::size_t deny_count = 0;

  [[nodiscard]] bool drops() const { return !denied.empty() || !bogons.empty(); }
  friend bool operator==(const SourceSets&, const SourceSets&) = default;
};

// The lists of all services, and of those that have lists of their own. Never changes either.
struct SourceLists : SourceSets {
  // Several services may have the same.
  std::vector<SourceSets> own;
  // By the number of a service: its place in `own`, from 1 on. 0: those of all.
  std::array<std::uint8_t, kMostNamedServices + 1> place{};

  [[nodiscard]] bool differ() const { return !own.empty(); }
  [[nodiscard]] const SourceSets& at(std::size_t place_of_it) const {
    return place_of_it == 0 ? *this : own[place_of_it - 1];
  }
  [[nodiscard]] const SourceSets& of(NamedServiceId service) const { return at(place[service]); }
  friend bool operator==(const SourceLists&, const SourceLists&) = default;
};

// Throws std::bad_alloc.
[[nodiscard]] SourceSets make_source_sets(std::span<const Prefix> allow,
                                          std::span<const Prefix> deny, bool bogons);
// The lists of all services, and none of a single one. Throws std::bad_alloc.
[[nodiscard]] SourceLists make_source_lists(std::span<const Prefix> allow,
                                            std::span<const Prefix> deny, bool bogons);

// The addresses that no packet of the Internet comes from: those that the registries of RFC 6890
// call not globally reachable.
[[nodiscard]] PrefixSet bogon_sources();

}  // namespace synproxy
