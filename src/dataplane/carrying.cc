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

void Giver::add_parts(unsigned worker, bool replays, std::uint32_t end, std::size_t& number) {
  for (std::uint32_t from = 0; from < end; from += std::min(kPart, end - from)) {
    if (number == parts_.size()) parts_.emplace_back();
    Part& part = parts_[number++];
    part.worker = worker;
    part.replays = replays;
    part.from = from;
    part.to = from + std::min(kPart, end - from);
    // Here: no thread may throw.
    if (part.found.size() < part.to - part.from) part.found.resize(kPart);
  }
}

void Giver::search(Part& p) const {
  const Engine& engine = *engines_[p.worker];
  const CarryBook& book = books_[p.worker];
  p.count = p.replays ? engine.find_changed_replays(book, p.from, p.to, p.found)
                      : engine.find_changed_flows(book, p.from, p.to, p.found);
}

std::vector<Giver::Changed> Giver::find_changed(bool last) {
  std::size_t parts = 0;
  for (unsigned w = 0; w < workers(); ++w) {
    engines_[w]->begin_pass(books_[w], last);
    add_parts(w, false, engines_[w]->flows_to_carry(books_[w]), parts);
    add_parts(w, true, engines_[w]->replays_to_carry(), parts);
  }
  share_out(parts, [&](std::size_t i) { search(parts_[i]); });
  std::vector<Changed> all(workers());
  for (const Part& p : std::span(parts_).first(parts)) {
    const auto found = std::span(p.found).first(p.count);
    Changed& of_worker = all[p.worker];
    auto& out = p.replays ? of_worker.replays : of_worker.flows;
    out.insert(out.end(), found.begin(), found.end());
    if (p.replays) continue;
    std::ranges::copy_if(found, std::back_inserter(of_worker.gone),
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
    found_[place.worker].dropped -= place.unfit ? 1U : 0U;
    if (place.index == kNoFlow) continue;
    found_[place.worker].kept -= 1;
    engines_[place.worker]->forget(place.index);
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
    found_[place.worker].dropped -= place.unfit ? 1U : 0U;
    place.worker = static_cast<std::uint16_t>(owner_(flow.key()));
    place.index = engines_[place.worker]->adopt(flow, now_ms);
    place.unfit = place.index == kNoFlow;
    found_[place.worker].dropped += place.unfit ? 1U : 0U;
    found_[place.worker].kept += place.unfit ? 0U : 1U;
  }
}

Found Taker::end() {
  Found all;
  for (std::size_t w = 0; w < engines_.size(); ++w) {
    engines_[w]->count_adopted(found_[w]);
    all.kept += found_[w].kept;
    all.dropped += found_[w].dropped;
  }
  return all;
}

}  // namespace synproxy::dataplane
