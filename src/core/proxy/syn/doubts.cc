// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/doubts.h"

#include <algorithm>
#include <cstring>

#include "synproxy/wire/bytes.h"

namespace synproxy {

Doubts::Doubts(const IndexKey& secret)
    : secret_(secret), services_(kServices), asked_(new SynAckRepeats::Entry[kAsked]) {}

Doubts::Name Doubts::name_of(const KeyView& key) {
  return {.server = server_of(key),
          .vlan_and_family = vlan_and_family_of(key.identity),
          .port = server_port_of(key.identity)};
}

std::size_t Doubts::bucket_of(const Name& name) const {
  // As the flow of a client without address and port.
  constexpr AddressBytes kNobody{};
  KeyView view;
  view.client = kNobody.data();
  view.server = name.server.data();
  view.identity.addresses = std::uint64_t{load_raw<std::uint32_t>(name.server.data())} << 32;
  view.identity.ports_and_vlan =
      std::uint64_t{name.port} << 16 | std::uint64_t{name.vlan_and_family} << 32;
  return (index_hash(secret_, view) >> 32) % (kServices / kWays) * kWays;
}

const Doubts::Service* Doubts::find(const Name& name) const {
  const std::size_t bucket = bucket_of(name);
  for (std::size_t i = bucket; i < bucket + kWays; ++i) {
    const Service& s = services_[i];
    if (s.used && s.port == name.port && s.vlan_and_family == name.vlan_and_family &&
        same_address(s.server, name.server)) {
      return &s;
    }
  }
  return nullptr;
}

// The service whose news are the oldest gives way.
Doubts::Service& Doubts::place_for(const Name& name, std::uint32_t now_ms) {
  const auto first = services_.begin() + static_cast<std::ptrdiff_t>(bucket_of(name));
  Service& s = *std::min_element(first, first + kWays, [&](const Service& a, const Service& b) {
    return a.used != b.used ? !a.used : now_ms - a.seen_ms > now_ms - b.seen_ms;
  });
  in_doubt_ += s.used ? 0U : 1U;
  s = {.server = name.server,
       .vlan_and_family = name.vlan_and_family,
       .seen_ms = now_ms,
       .port = name.port,
       .used = true};
  return s;
}

bool Doubts::dead(const KeyView& key, std::uint32_t now_ms) {
  const Name name = name_of(key);
  Service* s = find(name);
  const bool fresh = s == nullptr || now_ms - s->seen_ms >= kMemoryMs;
  if (s == nullptr) s = &place_for(name, now_ms);
  s->seen_ms = now_ms;
  return fresh;
}

bool Doubts::alive(const KeyView& key) {
  if (!any()) return false;
  Service* s = find(name_of(key));
  if (s == nullptr) return false;
  s->used = false;
  --in_doubt_;
  return true;
}

bool Doubts::doubted(const KeyView& key, std::uint32_t now_ms) const {
  if (!any()) return false;
  const Service* s = find(name_of(key));
  return s != nullptr && now_ms - s->seen_ms < kMemoryMs;
}

SynAckRepeats::Entry* Doubts::ask(const KeyView& key, std::uint64_t hash, std::uint32_t now_ms) {
  if (now_ms - second_began_ >= 1000) {
    second_began_ = now_ms;
    asks_ = found_alive_ = 0;
  }
  if (asks_ == kAsksPerSecond || found_alive_ >= kFoundAlivePerSecond) return nullptr;
  ++asks_;
  asking_ = true;
  // As long as somebody asks in vain, the doubt lasts.
  if (Service* s = find(name_of(key)); s != nullptr) s->seen_ms = now_ms;
  SynAckRepeats::Entry& e = asked_[hash % kAsked];
  e.deadline_ms = now_ms + kAnswerMs;
  return &e;
}

void Doubts::found_alive(std::uint64_t hash, std::uint32_t now_ms) {
  ++found_alive_;
  std::uint32_t& deadline = asked_[hash % kAsked].deadline_ms;
  deadline = now_ms + std::min(deadline - now_ms, kCopiesMs);
}

const SynAckRepeats::Entry* Doubts::asked(const KeyView& key, std::uint64_t hash, SeqNum isn,
                                          std::uint32_t now_ms) const {
  const SynAckRepeats::Entry& e = asked_[hash % kAsked];
  const bool waits = asking_ && e.syn_ack.flags != 0 && e.deadline_ms - now_ms <= kAnswerMs;
  return waits && e.syn_ack.ack == isn + 1 && same_key(e.key, key) ? &e : nullptr;
}

}  // namespace synproxy
