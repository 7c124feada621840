// SPDX-License-Identifier: BSD-3-Clause
// The sources that are over a limit, with how often each was refused: those of one worker, for
// control to read.
//
// Theory of operation. An attack may have too many sources to count them all. But those that are
// refused most can be counted (space-saving, Metwally and others, 2005). If a newcomer finds no
// entry, it takes the one with the smallest count and goes on from there. So each source with more
// than a 64th of all refusals has an entry. A count says what was certainly seen: the inherited
// part is left out.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "synproxy/base/limits.h"
#include "synproxy/base/published.h"

namespace synproxy {

struct RefusedSource {
  std::array<std::uint8_t, 16> prefix{};  // network byte order, host bits zero
  std::uint8_t length = 0;                // of the prefix, bits
  bool ipv6 = false;
  bool by_rate = false;  // otherwise by the number of connections
  bool monitored = false;
  std::uint32_t spare = 0;
  std::uint64_t count = 0;

  [[nodiscard]] bool same(const RefusedSource& o) const {
    return prefix == o.prefix && length == o.length && ipv6 == o.ipv6 && by_rate == o.by_rate &&
           monitored == o.monitored;
  }
};

struct RefusedList {
  static constexpr std::size_t kMost = 20;
  std::array<RefusedSource, kMost> sources{};  // most refused first
  std::uint64_t count = 0;

  [[nodiscard]] std::span<const RefusedSource> all() const { return {sources.data(), count}; }
};

[[nodiscard]] inline RefusedSource refused_source(const std::uint8_t* address, bool ipv6,
                                                  const SourceMask& mask) {
  RefusedSource r;
  r.ipv6 = ipv6;
  r.length = ipv6 ? mask.ipv6 : mask.ipv4;
  for (unsigned bit = 0, i = 0; bit < r.length; bit += 8, ++i) {
    const unsigned left = r.length - bit;
    const unsigned keep = left >= 8 ? 0xffU : 0xffU << (8 - left) & 0xffU;
    r.prefix[i] = static_cast<std::uint8_t>(address[i] & keep);
  }
  return r;
}

class RefusedSources {
 public:
  static constexpr std::size_t kEntries = 64;
  static constexpr std::uint64_t kForgetMs = 60'000;  // nothing was refused for so long

  void note(const RefusedSource& who, std::uint64_t now_ms) {
    Entry* entry = find(who);
    if (entry == nullptr) {
      entry = &*std::ranges::min_element(entries_, {}, &Entry::total);
      entry->who = who;
      entry->inherited = entry->total;
    }
    ++entry->total;
    entry->last_ms = now_ms;
    any_ = true;
  }

  // Call it about every millisecond. What control reads is renewed once a second.
  void tick(std::uint64_t now_ms) {
    if (!any_ || now_ms - published_ms_ < 1000) return;
    published_ms_ = now_ms;
    publish(now_ms);
  }
  [[nodiscard]] const Published<RefusedList>& list() const { return list_; }

 private:
  struct Entry {
    RefusedSource who{};
    std::uint64_t total = 0;
    std::uint64_t inherited = 0;
    std::uint64_t last_ms = 0;
  };

  [[nodiscard]] Entry* find(const RefusedSource& who) {
    for (Entry& e : entries_) {
      if (e.total != 0 && e.who.same(who)) return &e;
    }
    return nullptr;
  }
  [[gnu::cold]] void publish(std::uint64_t now_ms) {
    std::array<RefusedSource, kEntries> found;
    std::size_t n = 0;
    for (Entry& e : entries_) {
      if (e.total != 0 && now_ms - e.last_ms >= kForgetMs) e = {};
      if (e.total == 0) continue;
      found[n] = e.who;
      found[n++].count = e.total - e.inherited;
    }
    any_ = n != 0;
    std::sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(n),
              [](const RefusedSource& a, const RefusedSource& b) { return a.count > b.count; });
    RefusedList list;
    list.count = std::min(n, RefusedList::kMost);
    std::copy_n(found.begin(), list.count, list.sources.begin());
    list_.publish(list);
  }

  std::array<Entry, kEntries> entries_{};
  bool any_ = false;
  std::uint64_t published_ms_ = 0;
  Published<RefusedList> list_{RefusedList{}};
};

}  // namespace synproxy
