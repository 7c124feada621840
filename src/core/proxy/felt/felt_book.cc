// SPDX-License-Identifier: BSD-3-Clause
#include "felt/felt_book.h"

#include <algorithm>
#include <cstring>

namespace synproxy {
namespace {

void move(FeltTimes& from, FeltTimes& to) {
  for (std::size_t i = 0; i < kFeltRanges; ++i) {
    to.ranges[i].add(from.ranges[i].get());
    from.ranges[i].set(0);
  }
  to.sum_ms.add(from.sum_ms.get());
  from.sum_ms.set(0);
}

void rename(FeltService& service, const FeltService::Name& name, Felt& other) {
  const std::uint64_t version = service.version.load(std::memory_order_relaxed);
  service.version.store(version + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  move(service.felt.handshake, other.handshake);
  move(service.felt.first_byte, other.first_byte);
  other.syn_repeats.add(service.felt.syn_repeats.get());
  service.felt.syn_repeats.set(0);
  for (std::size_t i = 0; i < name.size(); ++i) service.name[i].set(name[i]);
  service.version.store(version + 2, std::memory_order_release);
}

}  // namespace

FeltService::Name FeltBook::name_of(const FlowKey& key) const {
  const NamedServiceId id = protect_.service_of(key.server.data(), key.ipv6, key.server_port);
  if (id != 0) return {id, 0, FeltService::kNamed};
  FeltService::Name name{};
  std::memcpy(name.data(), key.server.data(), key.server.size());
  name[2] =
      std::uint64_t{key.vlan.packed} << 32 | (key.ipv6 ? FeltService::kIpv6 : 0) | key.server_port;
  return name;
}

// names_.size(): it has no place.
std::size_t FeltBook::find(const FeltService::Name& name) {
  if (found_ < used_ && names_[found_] == name) return found_;
  const auto end = names_.begin() + static_cast<std::ptrdiff_t>(used_);
  const auto it = std::find(names_.begin(), end, name);
  if (it == end) return names_.size();
  found_ = static_cast<std::size_t>(it - names_.begin());
  return found_;
}

std::size_t FeltBook::idle_place(std::uint32_t now_ms) {
  if (now_ms - looked_ms_ < kLookMs) return names_.size();
  looked_ms_ = now_ms;
  const auto idle = [now_ms](std::uint32_t last) { return now_ms - last; };
  const auto longest = std::ranges::max_element(last_ms_, {}, idle);
  return idle(*longest) < kIdleMs ? names_.size()
                                  : static_cast<std::size_t>(longest - last_ms_.begin());
}

Felt& FeltBook::of_service(const FeltService::Name& name, std::uint32_t now_ms) {
  const std::size_t i = find(name);
  if (i == names_.size()) return counters_.other;
  last_ms_[i] = now_ms;
  return counters_.services[i].felt;
}

void FeltBook::handshake(const FlowKey& key, std::uint32_t ms, std::uint32_t repeats,
                         std::uint32_t now_ms) {
  const FeltService::Name name = name_of(key);
  if (name[2] == FeltService::kNamed) give_place(name, now_ms);
  for (Felt* felt : {&counters_.all, &of_service(name, now_ms)}) {
    felt->handshake.add(ms);
    felt->syn_repeats.add(repeats);
  }
}

bool FeltBook::await_first_byte(std::uint32_t server_isn, std::uint32_t now_ms) {
  Waiting& w = waiting_[place_of(server_isn)];
  if (server_isn == 0) return false;
  if (w.server_isn != 0 && now_ms - w.since_ms < kPatienceMs) return false;
  w = {.server_isn = server_isn, .since_ms = now_ms};
  return true;
}

void FeltBook::accepted(const FlowKey& key, std::uint32_t now_ms) {
  give_place(name_of(key), now_ms);
}

void FeltBook::give_place(const FeltService::Name& name, std::uint32_t now_ms) {
  if (find(name) != names_.size()) return;
  const std::size_t place = used_ < names_.size() ? used_++ : idle_place(now_ms);
  if (place == names_.size()) return;
  names_[place] = name;
  last_ms_[place] = now_ms;
  rename(counters_.services[place], name, counters_.other);
}

void FeltBook::first_byte(const FlowKey& key, std::uint32_t server_isn, std::uint32_t now_ms) {
  if (!awaits_first_byte(server_isn)) return;
  Waiting& w = waiting_[place_of(server_isn)];
  const std::uint32_t ms = now_ms - w.since_ms;
  w = {};
  counters_.all.first_byte.add(ms);
  of_service(name_of(key), now_ms).first_byte.add(ms);
}

void FeltBook::forget_first_byte(std::uint32_t server_isn) {
  if (awaits_first_byte(server_isn)) waiting_[place_of(server_isn)] = {};
}

}  // namespace synproxy
