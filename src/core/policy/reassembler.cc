// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/reassembler.h"

#include <algorithm>
#include <cstring>

#include "synproxy/cookie/siphash.h"

namespace synproxy {
namespace {

constexpr unsigned kNotEct = 1U << 0;
constexpr unsigned kCe = 1U << 3;

// RFC 1858. A fragment that begins inside the TCP header would follow a first one that is too
// small.
bool tiny(const FragmentView& f) {
  return (f.offset != 0 && f.offset < Reassembler::kSmallest) ||
         (f.more && f.size < Reassembler::kSmallest);
}

// A fragment that a packet can be made of.
bool sound(const FragmentView& f) {
  return f.size != 0 && f.end() <= Reassembler::kLargest && (!f.more || f.size % 8 == 0);
}

enum class Held : std::uint8_t { kNone, kSome, kAll };

// How much of the bytes from `begin` to `end` is marked. Marks them if none was.
template <typename Map>
Held mark(Map& map, std::uint32_t begin, std::uint32_t end) {
  bool any = false;
  bool all = true;
  const auto masks = [&](auto&& each) {
    for (std::uint32_t unit = begin / 8, last = (end + 7) / 8; unit < last;) {
      const std::uint32_t in_word = std::min(64 - unit % 64, last - unit);
      const std::uint64_t bits = in_word == 64 ? ~0ULL : (1ULL << in_word) - 1;
      each(map[unit / 64], bits << unit % 64);
      unit += in_word;
    }
  };
  masks([&](std::uint64_t word, std::uint64_t mask) {
    any = any || (word & mask) != 0;
    all = all && (word & mask) == mask;
  });
  if (any) return all ? Held::kAll : Held::kSome;
  masks([](std::uint64_t& word, std::uint64_t mask) { word |= mask; });
  return Held::kNone;
}

}  // namespace

std::uint64_t fragment_source(const Segment& s, Role sender, const IndexKey& key) {
  std::array<std::uint64_t, 3> words{};
  if (!s.ipv6) {
    words[0] = load_raw<std::uint32_t>(s.source());
  } else {
    words[0] = load_raw<std::uint64_t>(s.source());
    if (sender == Role::kServer) words[1] = load_raw<std::uint64_t>(s.source() + 8);
  }
  words[2] = std::uint64_t{s.vlan.packed} | static_cast<std::uint64_t>(sender) << 32 |
             static_cast<std::uint64_t>(s.ipv6) << 33;
  return siphash24(key[0], key[1], words.data(), words.size());
}

std::uint32_t gatherer_of(const Segment& fragment, Role sender, const ProtectSet& protect,
                          const IndexKey& key, std::uint32_t workers, std::uint32_t fallback) {
  const std::uint8_t* end = sender == Role::kClient ? fragment.destination() : fragment.source();
  if (!protect.matches_address(end, fragment.ipv6)) return fallback;
  return worker_of(fragment_source(fragment, sender, key), workers);
}

namespace {

std::uint64_t tag_of(const Segment& s, const FragmentView& f, std::uint64_t source,
                     const IndexKey& key) {
  // An atomic fragment is a packet of its own, whatever its identification (RFC 6946).
  std::array<std::uint64_t, 5> words{source, f.id | static_cast<std::uint64_t>(f.atomic()) << 32, 0,
                                     0, 0};
  std::size_t count = 3;
  if (!s.ipv6) {
    words[2] = load_raw<std::uint32_t>(s.destination());
  } else {
    words[2] = load_raw<std::uint64_t>(s.source() + 8);
    words[3] = load_raw<std::uint64_t>(s.destination());
    words[4] = load_raw<std::uint64_t>(s.destination() + 8);
    count = 5;
  }
  return siphash24(key[2], key[3], words.data(), count);
}

}  // namespace

Reassembler::Reassembler(const IndexKey& key, Counters& counters)
    : key_(key),
      counters_(counters),
      slots_(kBuckets * kWays),
      memory_(kBuckets * kWays * kSlotBytes, Mapping::Kind::kSparse) {}

std::uint8_t* Reassembler::data_of(const Slot& s) const {
  const auto index = static_cast<std::size_t>(&s - slots_.data());
  return static_cast<std::uint8_t*>(memory_.data()) + index * kSlotBytes + kHeaderRoom;
}

void Reassembler::clear(Slot& s) {
  if (s.state != State::kFree) --waiting_;
  if (s.state == State::kWaiting) counters_.count(Reason::fragments_lost);
  s.state = State::kFree;
}

// The slot of that packet: the one that it has, or else a fresh one.
Reassembler::Slot& Reassembler::slot_for(std::uint64_t source, std::uint64_t tag, bool known,
                                         std::uint64_t now_ms) {
  Slot* const bucket = slots_.data() + source % kBuckets * kWays;
  const auto age = [&](const Slot& s) { return static_cast<std::uint32_t>(now_ms) - s.since_ms; };
  // How readily a slot is given away.
  const auto worth = [&](const Slot& s) {
    if (s.state == State::kFree || stale(s, now_ms)) return std::uint64_t{0};
    return (std::uint64_t{s.known} + 1) << 32 | static_cast<std::uint32_t>(~age(s));
  };
  Slot* least = bucket;
  std::uint64_t least_worth = ~std::uint64_t{0};
  for (Slot* s = bucket; s != bucket + kWays; ++s) {
    if (s->tag == tag && s->state != State::kFree && !stale(*s, now_ms)) return *s;
    if (const std::uint64_t w = worth(*s); w < least_worth) {
      least = s;
      least_worth = w;
    }
  }
  clear(*least);
  *least = Slot{};
  least->tag = tag;
  least->state = State::kWaiting;
  least->known = known;
  least->since_ms = static_cast<std::uint32_t>(now_ms);
  ++waiting_;
  return *least;
}

// Keeps the slot, so that what still comes of this packet is refused too.
void Reassembler::refuse(Slot& s) {
  counters_.count(Reason::fragments_lost);
  s.state = State::kRefused;
}

void Reassembler::store(Slot& s, const Segment& fragment, const FragmentView& f) {
  std::uint8_t* const data = data_of(s);
  std::memcpy(data + f.offset, f.data, f.size);
  s.received = static_cast<std::uint16_t>(s.received + f.size);
  s.reach = static_cast<std::uint16_t>(std::max<std::uint32_t>(s.reach, f.end()));
  s.largest = std::max(s.largest, f.ip_size);
  s.ecn_seen = static_cast<std::uint8_t>(s.ecn_seen | 1U << f.ecn);
  if (!f.more) s.total = static_cast<std::uint16_t>(f.end());
  if (f.offset != 0) return;
  s.next = f.next;
  s.l3_offset = fragment.l3_offset;
  s.header_size = f.header_size;
  const std::size_t headers = std::size_t{s.l3_offset} + s.header_size;
  std::memcpy(data - headers, fragment.frame, headers);
}

// All bytes are there. RFC 3168 section 5.3: a mark on any fragment is a mark on the packet, and
// one among fragments that cannot carry marks shows that they do not belong together.
bool Reassembler::finish(Slot& s, const FragmentView& f, bool ipv6, Whole& whole) {
  const bool congested = (s.ecn_seen & kCe) != 0;
  if (congested && (s.ecn_seen & kNotEct) != 0) return false;
  std::uint8_t* const data = data_of(s);
  const std::size_t headers = std::size_t{s.l3_offset} + s.header_size;
  make_whole(data - s.header_size, ipv6, s.header_size, s.next, s.total, congested);
  whole.frame = data - headers;
  whole.length = static_cast<std::uint32_t>(headers + s.total);
  whole.room = static_cast<std::uint32_t>(headers + kLargest);
  whole.came = {f.id, s.largest, s.header_size};
  s.state = State::kFree;
  --waiting_;
  counters_.count(Reason::fragments_joined);
  return true;
}

Reason Reassembler::take(const Segment& fragment, Role sender, const KnownSources& known_sources,
                         std::uint64_t now_ms, Whole& whole) {
  whole.frame = nullptr;
  const FragmentView f = read_fragment(fragment);
  const std::uint64_t source = fragment_source(fragment, sender, key_);
  const bool known = known_sources.knows(source, now_ms);
  if (!gate_.admits(source, known, now_ms)) return Reason::fragment_shed;
  if (tiny(f)) {
    if (!monitors_tiny_) return Reason::fragment_tiny;
    counters_.count(Reason::fragments_monitored);
  }
  if (!sound(f) || std::size_t{fragment.l3_offset} + f.header_size > kHeaderRoom) {
    return Reason::fragment_bad;
  }
  if (!fragment_checksum_good(fragment, f)) return Reason::bad_checksum;

  Slot& s = slot_for(source, tag_of(fragment, f, source, key_), known, now_ms);
  if (s.state == State::kRefused) return Reason::fragment_overlap;
  const bool beyond = f.more ? s.total != 0 && f.end() >= s.total
                             : f.end() < s.reach || (s.total != 0 && f.end() != s.total);
  const Held held = beyond ? Held::kSome : mark(s.map, f.offset, f.end());
  if (held == Held::kAll && std::memcmp(data_of(s) + f.offset, f.data, f.size) == 0) {
    return Reason::fragment_duplicate;
  }
  if (held != Held::kNone) {
    refuse(s);
    return Reason::fragment_overlap;
  }
  store(s, fragment, f);
  if (s.received != s.total || s.header_size == 0) return Reason::fragment_held;
  if (finish(s, f, fragment.ipv6, whole)) return Reason::fragment_held;
  refuse(s);
  return Reason::fragment_bad;
}

void Reassembler::tick(std::uint64_t now_ms) {
  if (waiting_ == 0) return;
  Slot* const bucket = slots_.data() + swept_ * kWays;
  swept_ = (swept_ + 1) % kBuckets;
  for (Slot* s = bucket; s != bucket + kWays; ++s) {
    if (s->state != State::kFree && stale(*s, now_ms)) clear(*s);
  }
}

}  // namespace synproxy
