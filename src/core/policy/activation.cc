// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/activation.h"

#include <span>

namespace synproxy {
namespace {

constexpr std::uint64_t kAnyNumber = ~0ULL;

std::uint32_t part_of(std::uint32_t whole, std::uint32_t percent, std::uint32_t workers) {
  return static_cast<std::uint32_t>(std::uint64_t{whole} * percent / 100 / workers);
}

}  // namespace

Activation::Activation(const EngineTuning& tuning, std::uint32_t workers)
    : cells_(new Cell[kCells]), workers_(std::max(workers, 1U)), mode_(tuning.mode) {
  retune(tuning);
}

void Activation::retune(const EngineTuning& tuning) {
  const AdaptiveTuning& t = tuning.adaptive;
  half_open_mark_ = part_of(t.backlog, t.start_percent, workers_);
  // Below it, so that a service without any is calm.
  calm_half_open_ = std::max(part_of(t.backlog, t.end_percent, workers_), 1U);
  const std::uint64_t syns = std::uint64_t{t.syn_rate} * (kWindowMs / 1000) / workers_;
  syns_mark_ = t.syn_rate == 0 ? kAnyNumber : std::max<std::uint64_t>(syns, 1);
  calm_syns_ = t.syn_rate == 0 ? kAnyNumber
                               : std::max<std::uint64_t>(
                                     syns * t.end_percent / std::max(t.start_percent, 1U), 1);
  hold_ms_ = t.hold_ms;
  mode_ = tuning.mode;
  if (adaptive() || active() == 0) return;
  for (Cell& c : std::span(cells_.get(), kCells)) {
    if (c.why != Why::kPeace) end(c);
  }
  news_ = false;
}

void Activation::half_open(std::uint64_t service, bool more, bool counts) {
  Cell& c = at(service);
  if (!more) {
    c.half_open -= 1;
    half_open_ -= 1;
    return;
  }
  c.half_open += 1;
  half_open_ += 1;
  if (counts && adaptive() && c.why == Why::kPeace && c.half_open > half_open_mark_) {
    begin(c, Why::kHalfOpen, c.half_open);
  }
}

void Activation::forget(Cell& c, std::uint32_t slot) {
  const std::uint32_t passed = std::min<std::uint32_t>(slot - c.slot, kSlots);
  for (std::uint32_t i = 0; i < passed; ++i) {
    const std::size_t old = (slot - i) % kSlots;
    c.syns_sum -= c.syns[old];
    c.proven_sum -= c.proven[old];
    c.syns[old] = c.proven[old] = 0;
  }
  c.slot = slot;
}

void Activation::begin(Cell& c, Why why, std::uint32_t value) {
  c.why = why;
  c.calm = false;
  active_[static_cast<std::size_t>(why)] += 1;
  const std::uint32_t seconds = kWindowMs / 1000;
  began_ = {.cell = static_cast<std::uint16_t>(&c - cells_.get()),
            .why = why,
            .value = (why == Why::kSynRate ? value / seconds : value) * workers_};
  news_ = true;
}

void Activation::end(Cell& c) {
  active_[static_cast<std::size_t>(c.why)] -= 1;
  c.why = Why::kPeace;
}

bool Activation::is_over(Cell& c, std::uint64_t now_ms) const {
  roll(c, now_ms);
  const std::uint32_t unanswered = c.syns_sum - std::min(c.syns_sum, c.proven_sum);
  const bool calm = std::max(c.half_open, unanswered) < calm_half_open_ && c.syns_sum < calm_syns_;
  const auto now = static_cast<std::uint32_t>(now_ms);
  if (calm && !c.calm) c.calm_since_ms = now;
  c.calm = calm;
  return calm && now - c.calm_since_ms >= hold_ms_;
}

bool Activation::take_began(Began& out) {
  if (!news_) return false;
  out = began_;
  news_ = false;
  return true;
}

}  // namespace synproxy
