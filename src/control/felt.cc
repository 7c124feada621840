// SPDX-License-Identifier: BSD-3-Clause
#include "control/felt.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "control/flow_text.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

void add_times(TimesSum& to, const FeltTimes& from) {
  for (std::size_t i = 0; i < kFeltRanges; ++i) to.ranges[i] += from.ranges[i].get();
  to.sum_ms += from.sum_ms.get();
}

void add_times(TimesSum& to, const TimesSum& from) {
  for (std::size_t i = 0; i < kFeltRanges; ++i) to.ranges[i] += from.ranges[i];
  to.sum_ms += from.sum_ms;
}

void take(std::uint64_t& from, std::uint64_t n) { from -= std::min(from, n); }

void subtract_times(TimesSum& from, const TimesSum& before) {
  for (std::size_t i = 0; i < kFeltRanges; ++i) take(from.ranges[i], before.ranges[i]);
  take(from.sum_ms, before.sum_ms);
}

// False: the place is free, or is given to another service at this moment.
bool copy(const FeltService& service, FeltService::Name& name, FeltSum& felt) {
  const std::uint64_t version = service.version.load(std::memory_order_acquire);
  if (version == 0 || (version & 1U) != 0) return false;
  for (std::size_t i = 0; i < name.size(); ++i) name[i] = service.name[i].get();
  felt.add(service.felt);
  std::atomic_thread_fence(std::memory_order_acquire);
  return service.version.load(std::memory_order_relaxed) == version;
}

}  // namespace

std::uint64_t TimesSum::count() const {
  return std::accumulate(ranges.begin(), ranges.end(), std::uint64_t{0});
}

std::optional<double> TimesSum::within_ms(double share) const {
  const auto all = static_cast<double>(count());
  if (all == 0) return std::nullopt;
  double left = share * all;
  double from = 0;
  for (std::size_t i = 0; i < kFeltBoundsMs.size(); ++i) {
    const double to = kFeltBoundsMs[i];
    const auto here = static_cast<double>(ranges[i]);
    if (left <= here) return from + (to - from) * left / here;
    left -= here;
    from = to;
  }
  return from;
}

void FeltSum::add(const Felt& felt) {
  add_times(handshake, felt.handshake);
  add_times(first_byte, felt.first_byte);
  syn_repeats += felt.syn_repeats.get();
}

void FeltSum::add(const FeltSum& other) {
  add_times(handshake, other.handshake);
  add_times(first_byte, other.first_byte);
  syn_repeats += other.syn_repeats;
}

void FeltSum::subtract(const FeltSum& before) {
  subtract_times(handshake, before.handshake);
  subtract_times(first_byte, before.first_byte);
  take(syn_repeats, before.syn_repeats);
}

std::string service_label(const FeltService::Name& name, std::span<const std::string> names) {
  if ((name[2] & FeltService::kNamed) != 0) {
    return name[0] - 1 < names.size() ? names[name[0] - 1] : std::string(kOtherServices);
  }
  AddressBytes address{};
  std::memcpy(address.data(), name.data(), address.size());
  const bool ipv6 = (name[2] & FeltService::kIpv6) != 0;
  const VlanStack vlan{static_cast<std::uint32_t>(name[2] >> 32)};
  const std::string text = address_text(address, ipv6);
  return (ipv6 ? "[" + text + "]" : text) + ":" + std::to_string(name[2] & 0xffffU) +
         (vlan.tags() == 0 ? "" : " in VLAN " + vlan_text(vlan));
}

FeltSum felt_by_all(const FeltSource& source) {
  FeltSum sum;
  for (const Counters* worker : source.workers) sum.add(worker->felt.all);
  return sum;
}

std::vector<ServiceFelt> felt_by_service(const FeltSource& source) {
  std::map<FeltService::Name, FeltSum> found;
  FeltSum other;
  for (const Counters* worker : source.workers) {
    other.add(worker->felt.other);
    for (const FeltService& service : worker->felt.services) {
      FeltService::Name name{};
      FeltSum felt;
      if (copy(service, name, felt)) found[name].add(felt);
    }
  }
  std::vector<ServiceFelt> all;
  all.reserve(found.size() + 1);
  for (const auto& [name, felt] : found) all.push_back({service_label(name, source.names), felt});
  std::ranges::sort(all, {}, &ServiceFelt::service);
  all.push_back({std::string(kOtherServices), other});
  return all;
}

void FeltLately::note(const FeltSource& source, std::uint64_t now_ms) {
  if (noted_ != 0 && now_ms - last_ms_ < kEveryMs) return;
  Note note{felt_by_all(source), felt_by_service(source)};
  const std::lock_guard lock(mutex_);
  last_ms_ = now_ms;
  notes_[noted_++ % kNotes] = std::move(note);
}

std::vector<ServiceFelt> FeltLately::now(const FeltSource& source) const {
  Note now{felt_by_all(source), felt_by_service(source)};
  const std::lock_guard lock(mutex_);
  // A process that is younger shows all that it has felt: its first clients came before the first
  // note.
  if (noted_ >= kNotes) {
    const Note& before = notes_[noted_ % kNotes];
    now.all.subtract(before.all);
    for (ServiceFelt& one : now.services) {
      const auto was = std::ranges::find(before.services, one.service, &ServiceFelt::service);
      if (was != before.services.end()) one.felt.subtract(was->felt);
    }
  }
  std::vector<ServiceFelt> lately{{std::string(kAllServices), now.all}};
  for (ServiceFelt& one : now.services) {
    if (!one.felt.empty()) lately.push_back(std::move(one));
  }
  return lately;
}

Json times_json(const TimesSum& times) {
  Json json{{"count", times.count()}};
  for (const FeltShare& share : kFeltShares) {
    const auto ms = times.within_ms(share.share);
    json[share.name] = ms ? Json(std::round(10 * *ms) / 10) : Json();
  }
  return json;
}

std::string ms_text(const Json& ms) {
  if (ms.is_null()) return "-";
  const auto value = ms.get<double>();
  std::array<char, 32> text{};
  if (value >= 1000) {
    static_cast<void>(std::snprintf(text.data(), text.size(), "%.1f s", value / 1000));
  } else {
    static_cast<void>(
        std::snprintf(text.data(), text.size(), value < 10 ? "%.1f ms" : "%.0f ms", value));
  }
  return text.data();
}

Json felt_json(const FeltSum& felt) {
  return {{"handshake_ms", times_json(felt.handshake)},
          {"first_byte_ms", times_json(felt.first_byte)},
          {"syn_repeats", felt.syn_repeats}};
}

Json felt_json(const std::vector<ServiceFelt>& services) {
  Json all = Json::array();
  for (const ServiceFelt& one : services) {
    Json json{{"service", one.service}};
    json.update(felt_json(one.felt));
    all.push_back(std::move(json));
  }
  return all;
}

}  // namespace synproxy::control
