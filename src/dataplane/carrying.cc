// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/carrying.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <system_error>
#include <thread>
#include <utility>

namespace synproxy::dataplane {
namespace {

// A part that one thread searches in about a millisecond.
constexpr std::uint32_t kPart = 1U << 16;
constexpr unsigned kMostThreads = 4;

struct Part {
  unsigned worker = 0;
  bool replays = false;
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::vector<std::uint32_t> found{};
};
static_assert(std::is_same_v<FlowIndex, std::uint32_t>);

void add_parts(std::vector<Part>& parts, unsigned worker, bool replays, std::uint32_t end) {
  for (std::uint32_t from = 0; from < end; from += std::min(kPart, end - from)) {
    parts.push_back({worker, replays, from, from + std::min(kPart, end - from)});
  }
}

// Calls work(i) for all below `count`, on this thread and others. Without others it takes longer.
template <typename Work>
void share_out(std::size_t count, const Work& work) {
  std::atomic<std::size_t> next{0};
  const auto run = [&] {
    for (std::size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::thread> others;
  const std::size_t most =
      std::min<std::size_t>({kMostThreads, std::thread::hardware_concurrency(), count / 2});
  others.reserve(most);
  try {
    while (others.size() + 1 < most) others.emplace_back(run);
  } catch (const std::system_error&) {
    // No thread to be had.
  }
  run();
  for (std::thread& t : others) t.join();
}

}  // namespace

Giver::Giver(std::vector<Engine*> engines) : engines_(std::move(engines)) {
  books_.reserve(engines_.size());
  for (const Engine* engine : engines_) books_.push_back(engine->begin_carrying());
}

std::vector<Giver::Changed> Giver::find_changed(bool last) {
  std::vector<Part> parts;
  for (unsigned w = 0; w < workers(); ++w) {
    engines_[w]->begin_pass(books_[w], last);
    add_parts(parts, w, false, engines_[w]->flows_to_carry(books_[w]));
    add_parts(parts, w, true, engines_[w]->replays_to_carry());
  }
  // Reserved here: no thread may throw.
  for (Part& part : parts) part.found.resize(part.to - part.from);
  share_out(parts.size(), [&](std::size_t i) {
    Part& p = parts[i];
    const Engine& engine = *engines_[p.worker];
    const CarryBook& book = books_[p.worker];
    p.found.resize(p.replays ? engine.find_changed_replays(book, p.from, p.to, p.found)
                             : engine.find_changed_flows(book, p.from, p.to, p.found));
  });
  std::vector<Changed> all(workers());
  for (const Part& p : parts) {
    Changed& of_worker = all[p.worker];
    auto& out = p.replays ? of_worker.replays : of_worker.flows;
    out.insert(out.end(), p.found.begin(), p.found.end());
    if (p.replays) continue;
    std::ranges::copy_if(p.found, std::back_inserter(of_worker.gone),
                         [&](FlowIndex i) { return books_[p.worker].flows[i] != 0; });
  }
  return all;
}

void Taker::adopt_services(std::span<const std::byte> carried, std::uint64_t now_ms) {
  for (Engine* engine : engines_) engine->adopt_services(carried, now_ms);
}

void Taker::adopt_replays(std::span<const CarriedReplay> carried, std::uint64_t now_ms) {
  for (Engine* engine : engines_) engine->adopt_replays(carried, now_ms);
}

void Taker::forget_flows(unsigned giver, std::span<const FlowIndex> gone) {
  if (giver >= places_.size()) return;
  std::vector<Place>& places = places_[giver];
  for (const FlowIndex i : gone) {
    if (i >= places.size()) continue;
    const Place place = std::exchange(places[i], {});
    if (place.index != kNoFlow) engines_[place.worker]->forget(place.index);
  }
}

void Taker::adopt_flows(unsigned giver, std::span<const CarriedFlow> carried,
                        std::uint64_t now_ms) {
  if (giver >= kMostWorkers) return;
  if (giver >= places_.size()) places_.resize(giver + 1);
  std::vector<Place>& places = places_[giver];
  for (const CarriedFlow& flow : carried) {
    if (flow.index >= kMostFlows) continue;
    if (flow.index >= places.size()) {
      places.resize(std::max<std::size_t>(flow.index + 1, 2 * places.size()));
    }
    Place& place = places[flow.index];
    if (place.index != kNoFlow || flow.record.state() == FlowState::kFree) continue;
    place.worker = static_cast<std::uint16_t>(owner_(flow.key()));
    place.index = engines_[place.worker]->adopt(flow, now_ms);
    place.unfit = place.index == kNoFlow;
  }
}

Found Taker::end() {
  std::vector<Found> found(engines_.size());
  for (const std::vector<Place>& places : places_) {
    for (const Place& place : places) {
      found[place.worker].kept += place.index != kNoFlow ? 1U : 0U;
      found[place.worker].dropped += place.unfit ? 1U : 0U;
    }
  }
  Found all;
  for (std::size_t w = 0; w < engines_.size(); ++w) {
    engines_[w]->count_adopted(found[w]);
    all.kept += found[w].kept;
    all.dropped += found[w].dropped;
  }
  return all;
}

}  // namespace synproxy::dataplane
