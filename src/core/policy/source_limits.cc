// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/source_limits.h"

#include <algorithm>
#include <bit>

#include "synproxy/base/wide_product.h"
#include "synproxy/wire/bytes.h"

namespace synproxy {
namespace {

constexpr unsigned kStateBits = 40;
constexpr std::uint64_t kState = (std::uint64_t{1} << kStateBits) - 1;
constexpr unsigned kCodeShift = kStateBits;  // 0 to 3: a rate, by its place; 4: connections
constexpr unsigned kConnsCode = 4;
constexpr unsigned kTagShift = kCodeShift + 3;

// Of each rule: all /16 of IPv4, and as many places for the /48 of IPv6.
constexpr std::uint32_t kPrefixes = 1U << 16;
constexpr std::uint32_t kSharedSlots = static_cast<std::uint32_t>(2 * kMaxLimits) * 2 * kPrefixes;
static_assert(kSharedSlots * sizeof(std::uint64_t) == SourceLimits::kSharedBytes);
constexpr unsigned kSharedBits4 = 16;
constexpr unsigned kSharedBits6 = 48;

// Racing workers try again so often before they take the shared bucket.
constexpr unsigned kTries = 16;

std::uint64_t leading(std::uint64_t word, unsigned bits) {
  return bits == 0 ? 0 : word & ~std::uint64_t{0} << (64 - std::min(bits, 64U));
}

std::uint64_t now_of(const RateRule& rule, std::uint64_t now_ms) {
  return now_ms << rule.shift & kState;
}

// The time of one worker may be behind that of another by so much.
constexpr std::uint64_t kSkewMs = 1000;

// How far the source is ahead of its rate. What is farther than a debt can be is a time that has
// gone round.
std::uint64_t ahead_of(const RateRule& rule, std::uint64_t state, std::uint64_t now) {
  const std::uint64_t ahead = (state - now) & kState;
  if (ahead > rule.most_ahead() + (kSkewMs << rule.shift)) return 0;
  return std::min(ahead, rule.most_ahead());
}

std::size_t lines_in(std::size_t bytes) {
  return std::bit_floor(std::max<std::size_t>(bytes / 64, 1));
}

}  // namespace

struct SourceLimits::Rate {
  const RateRule& rule;
  std::uint64_t now;

  [[nodiscard]] std::optional<std::uint64_t> next(std::uint64_t state, std::uint32_t) const {
    const std::uint64_t ahead = ahead_of(rule, state, now);
    if (ahead > rule.tolerance) return std::nullopt;
    return (now + ahead + rule.interval) & kState;
  }
  [[nodiscard]] std::uint64_t first() const { return (now + rule.interval) & kState; }
  [[nodiscard]] std::uint64_t undone(std::uint64_t state) const {
    return (state - rule.interval) & kState;
  }
};

struct SourceLimits::Conns {
  std::uint64_t limit;
  const ConnSlots& replaced;

  [[nodiscard]] std::optional<std::uint64_t> next(std::uint64_t state, std::uint32_t slot) const {
    const bool takes_place = std::ranges::find(replaced, slot) != replaced.end();
    if (state >= limit + (takes_place ? 1U : 0U)) return std::nullopt;
    return state + 1;
  }
  [[nodiscard]] static std::uint64_t first() { return 1; }
  [[nodiscard]] static std::uint64_t undone(std::uint64_t state) {
    return state == 0 ? 0 : state - 1;
  }
};

SourceLimits::SourceLimits(std::size_t bytes, const Key& key, Writers writers)
    : lines_(lines_in(bytes)),
      alone_(writers == Writers::kOne),
      key_(key),
      memory_(kSharedBytes + lines_ * 64, Mapping::Kind::kSparse) {
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free && sizeof(Word) == 8);
}

std::uint64_t SourceLimits::hash(std::uint64_t salt, std::uint64_t high, std::uint64_t low) const {
  const std::uint64_t first = folded_product(high + key_[0] + salt, low + key_[1]);
  return folded_product(first ^ key_[2] ^ salt, key_[3] | 1U);
}

// The prefixes of a source, each made once: most rules have the same mask.
class SourceLimits::Prefixes {
 public:
  Prefixes(const SourceLimits& table, const Source& source) : table_(table), source_(source) {}
  [[nodiscard]] const Prefix& of(const SourceMask& mask) {
    const std::uint8_t bits = source_.ipv6 ? mask.ipv6 : mask.ipv4;
    for (std::size_t i = 0; i < count_; ++i) {
      if (bits_[i] == bits) return known_[i];
    }
    bits_[count_] = bits;
    known_[count_] = table_.prefix_of(mask, source_);
    return known_[count_++];
  }

 private:
  const SourceLimits& table_;
  const Source& source_;
  std::size_t count_ = 0;
  std::array<std::uint8_t, 2 * kMaxLimits> bits_;
  std::array<Prefix, 2 * kMaxLimits> known_;
};

SourceLimits::Prefix SourceLimits::prefix_of(const SourceMask& mask, const Source& source) const {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  unsigned bits = mask.ipv4;
  if (source.ipv6) {
    bits = mask.ipv6;
    high = leading(load_be<std::uint64_t>(source.address), bits);
    low = bits > 64 ? leading(load_be<std::uint64_t>(source.address + 8), bits - 64) : 0;
  } else {
    high = leading(std::uint64_t{load_be<std::uint32_t>(source.address)} << 32, bits);
  }
  const std::uint64_t salt = std::uint64_t{bits} * 2 + (source.ipv6 ? 1 : 0);
  Prefix prefix;
  prefix.hash = hash(salt, high, low);
  std::uint64_t place = high >> (64 - kSharedBits4);
  if (source.ipv6) place = hash(0, leading(high, kSharedBits6), 0) >> (64 - kSharedBits4);
  prefix.shared = static_cast<std::uint32_t>((source.ipv6 ? kPrefixes : 0) + place);
  return prefix;
}

SourceLimits::Place SourceLimits::place_of(const Prefix& prefix, std::uint64_t identity,
                                           unsigned code, unsigned bucket) const {
  // The factor spreads identities, which are small numbers, over the bits of the tag.
  const std::uint64_t tag = (prefix.hash ^ identity * 0x9e3779b97f4a7c15ULL) >> kTagShift;
  return {.line = (prefix.hash ^ (code == kConnsCode ? 1U : 0U)) & (lines_ - 1),
          .tag = (tag | 1U) << kTagShift | std::uint64_t{code} << kCodeShift,
          .shared = bucket * 2 * kPrefixes + prefix.shared};
}

SourceLimits::Place SourceLimits::place_of_rate(const RateRule& rule, std::size_t i,
                                                Prefixes& prefixes) const {
  const auto code = static_cast<unsigned>(i);
  return place_of(prefixes.of(rule.mask), rule.identity(), code, code);
}

SourceLimits::Place SourceLimits::place_of_conns(const ConnsLimit& rule, std::size_t i,
                                                 Prefixes& prefixes) const {
  // Connections are counted once for each mask, whatever the limits: so the mask is the identity.
  return place_of(prefixes.of(rule.mask), std::uint64_t{rule.mask.ipv4} << 8 | rule.mask.ipv6,
                  kConnsCode, static_cast<unsigned>(kMaxLimits + i));
}

bool SourceLimits::is_free(const LimitRules& rules, std::uint64_t word,
                           std::uint64_t now_ms) const {
  const std::uint64_t code = word >> kCodeShift & 7U;
  if (code == kConnsCode) return (word & kState) == 0;
  // Without its rule nobody asks for it again.
  if (word == 0 || code >= rules.rates().size()) return true;
  const RateRule& rule = rules.rates()[code];
  return ahead_of(rule, word & kState, now_of(rule, now_ms)) == 0;
}

bool SourceLimits::twice(const Place& place, std::size_t way) const {
  const Word* const line = &word(slot_of(place));
  for (std::size_t other = 0; other < kWays; ++other) {
    const std::uint64_t w = line[other].load(std::memory_order_relaxed);
    if (other != way && (w & ~kState) == place.tag) return true;
  }
  return false;
}

// None: the line has no room.
template <typename Rule>
std::optional<bool> SourceLimits::spend_own(const LimitRules& rules, const Place& place,
                                            std::uint64_t now_ms, const Rule& rule,
                                            std::uint32_t& slot) const {
  Word* const line = &word(slot_of(place));
  for (unsigned tries = 0; tries < kTries; ++tries) {
    std::array<std::uint64_t, kWays> words;
    unsigned mine = 0;  // bit i: way i is the source's
    for (std::size_t i = 0; i < kWays; ++i) {
      words[i] = line[i].load(std::memory_order_relaxed);
      mine |= ((words[i] ^ place.tag) <= kState ? 1U : 0U) << i;
    }
    const bool known = mine != 0;
    std::size_t way = known ? static_cast<std::size_t>(std::countr_zero(mine)) : 0;
    while (!known && !is_free(rules, words[way], now_ms)) {
      if (++way == kWays) return std::nullopt;
    }
    slot = slot_of(place) + static_cast<std::uint32_t>(way);
    const auto next = known ? rule.next(words[way] & kState, slot) : rule.first();
    if (!next) return false;
    if (!exchange(line[way], words[way], place.tag | *next)) continue;
    if (known || alone_ || !twice(place, way)) return true;
    std::uint64_t ours = place.tag | *next;
    while ((ours & ~kState) == place.tag &&
           !exchange(line[way], ours, place.tag | rule.undone(ours & kState))) {
    }
    // An entry without connections is taken again as it is; this one must not be found.
    ours = place.tag | rule.undone(*next);
    static_cast<void>(exchange(line[way], ours, 0));
  }
  return std::nullopt;
}

template <typename Rule>
bool SourceLimits::spend(const LimitRules& rules, const Place& place, std::uint64_t now_ms,
                         const Rule& rule, std::uint32_t& slot) const {
  if (const auto own = spend_own(rules, place, now_ms, rule, slot)) return *own;
  slot = place.shared;
  Word& bucket = word(slot);
  std::uint64_t seen = bucket.load(std::memory_order_relaxed);
  for (;;) {
    const auto next = rule.next(seen & kState, slot);
    if (!next) return false;
    if (exchange(bucket, seen, *next)) return true;
  }
}

SourceLimits::Charge SourceLimits::charge(const LimitRules& rules, const Source& source,
                                          std::uint64_t now_ms, const ConnSlots& replaced) {
  Charge c;
  Prefixes prefixes(*this, source);
  const auto refuse = [&](Refusal why, std::size_t rule) {
    give_back(rules, c);
    c.conns = {};
    c.rates = {};
    c.refused = why;
    c.rule = static_cast<std::uint8_t>(rule);
    return c;
  };
  for (std::size_t i = 0; i < rules.conns().size(); ++i) {
    const ConnsLimit& limit = rules.conns()[i];
    const Place place = place_of_conns(limit, i, prefixes);
    bool over = false;
    std::uint32_t slot = 0;
    if (!spend(rules, place, now_ms, Conns{limit.connections, replaced}, slot)) {
      if (!rules.monitor_conns()) return refuse(Refusal::kConns, i);
      over = true;
      // It passes, so it counts.
      static_cast<void>(spend(rules, place, now_ms, Conns{kState - 1, replaced}, slot));
    }
    c.conns[i] = slot;
    c.over_conns |= over;
    if (over) c.rule = static_cast<std::uint8_t>(i);
    c.shared = static_cast<std::uint8_t>(c.shared + (slot < kSharedSlots ? 1 : 0));
  }
  for (std::size_t i = 0; i < rules.rates().size(); ++i) {
    const RateRule& rule = rules.rates()[i];
    const Place place = place_of_rate(rule, i, prefixes);
    std::uint32_t slot = 0;
    if (spend(rules, place, now_ms, Rate{rule, now_of(rule, now_ms)}, slot)) {
      // Slot 0 is the bucket of 0.0.0.0/16, from where nobody comes.
      c.rates[i] = slot;
      c.shared = static_cast<std::uint8_t>(c.shared + (slot < kSharedSlots ? 1 : 0));
      continue;
    }
    if (!rules.monitor_rate()) return refuse(Refusal::kRate, i);
    c.over_rate = true;
    c.rule = static_cast<std::uint8_t>(i);
  }
  return c;
}

void SourceLimits::give_back_rate(const RateRule& rule, std::uint32_t slot) const {
  Word& w = word(slot);
  std::uint64_t seen = w.load(std::memory_order_relaxed);
  const std::uint64_t head = seen & ~kState;
  while ((seen & ~kState) == head && !exchange(w, seen, head | ((seen - rule.interval) & kState))) {
  }
}

void SourceLimits::give_back(const LimitRules& rules, const Charge& charge) {
  release(charge.conns);
  for (std::size_t i = 0; i < rules.rates().size(); ++i) {
    if (charge.rates[i] != 0) give_back_rate(rules.rates()[i], charge.rates[i]);
  }
}

void SourceLimits::release_one(std::uint32_t slot) const {
  Word& w = word(slot);
  std::uint64_t seen = w.load(std::memory_order_relaxed);
  while ((seen & kState) != 0 && !exchange(w, seen, seen - 1)) {
  }
}

void SourceLimits::release(const ConnSlots& slots) {
  for (const std::uint32_t slot : slots) {
    if (slot != 0) release_one(slot);
  }
}

ConnSlots SourceLimits::hold(const LimitRules& rules, const Source& source, std::uint64_t now_ms) {
  ConnSlots slots{};
  Prefixes prefixes(*this, source);
  for (std::size_t i = 0; i < rules.conns().size(); ++i) {
    const Place place = place_of_conns(rules.conns()[i], i, prefixes);
    static_cast<void>(spend(rules, place, now_ms, Conns{kState - 1, slots}, slots[i]));
  }
  return slots;
}

void SourceLimits::prefetch(const LimitRules& rules, const Source& source) const {
  Prefixes prefixes(*this, source);
  std::array<std::uint32_t, 2 * kMaxLimits> slots;
  std::size_t n = 0;
  for (std::size_t i = 0; i < rules.conns().size(); ++i) {
    slots[n++] = slot_of(place_of_conns(rules.conns()[i], i, prefixes));
  }
  for (std::size_t i = 0; i < rules.rates().size(); ++i) {
    slots[n++] = slot_of(place_of_rate(rules.rates()[i], i, prefixes));
  }
  for (std::size_t i = 0; i < n; ++i) __builtin_prefetch(&word(slots[i]), 1);
}

}  // namespace synproxy
