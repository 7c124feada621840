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

Activation::Marks Activation::marks_of(const AdaptiveTuning& t, bool monitored) const {
  const std::uint64_t syns = std::uint64_t{t.syn_rate} * (kWindowMs / 1000) / workers_;
  const std::uint64_t calm = syns * t.end_percent / std::max(t.start_percent, 1U);
  const bool any = t.syn_rate == 0;
  return {.half_open = part_of(t.backlog, t.start_percent, workers_),
          .syns = any ? kAnyNumber : std::max<std::uint64_t>(syns, 1),
          // Above zero, so that a service without any is calm.
          .calm_half_open = std::max(part_of(t.backlog, t.end_percent, workers_), 1U),
          .calm_syns = any ? kAnyNumber : std::max<std::uint64_t>(calm, 1),
          .hold_ms = t.hold_ms,
          .monitored = monitored};
}

void Activation::retune(Mode mode) {
  mode_ = mode;
  if (!adaptive()) end_all();
}

void Activation::retune(const EngineTuning& tuning) {
  retune(tuning.mode);
  const bool monitored = (tuning.limits.monitored & kMonitorMode) != 0;
  for (std::size_t i = 0; i < marks_.size(); ++i) {
    retune(static_cast<NamedServiceId>(i), tuning.adaptive, monitored);
  }
}

bool Activation::retune(NamedServiceId named, const AdaptiveTuning& tuning, bool monitored) {
  const bool ends = marks_[named].monitored != monitored && active() + monitored_ != 0;
  marks_[named] = marks_of(tuning, monitored);
  least_syns_ = std::ranges::min(marks_, {}, &Marks::syns).syns;
  if (ends) end_all();
  return ends;
}

void Activation::end_all() {
  if (active() + monitored_ == 0) return;
  for (Cell& c : std::span(cells_.get(), kCells)) {
    if (c.why != Why::kPeace) end(c);
  }
  news_ = false;
}

void Activation::half_open(std::uint64_t service, bool more, bool counts, NamedServiceId named) {
  Cell& c = at(service);
  if (!more) {
    c.half_open -= 1;
    half_open_ -= 1;
    return;
  }
  c.half_open += 1;
  half_open_ += 1;
  if (counts && adaptive() && c.why == Why::kPeace && c.half_open > marks_[named].half_open) {
    begin(c, Why::kHalfOpen, c.half_open, named);
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

void Activation::begin(Cell& c, Why why, std::uint32_t value, NamedServiceId named) {
  c.why = why;
  c.calm = false;
  c.named = named;
  c.monitored = marks_[named].monitored;
  (c.monitored ? monitored_ : active_[static_cast<std::size_t>(why)]) += 1;
  const std::uint32_t seconds = kWindowMs / 1000;
  began_ = {.cell = static_cast<std::uint16_t>(&c - cells_.get()),
            .why = why,
            .value = (why == Why::kSynRate ? value / seconds : value) * workers_,
            .named = named,
            .monitored = c.monitored};
  news_ = true;
}

void Activation::end(Cell& c) {
  (c.monitored ? monitored_ : active_[static_cast<std::size_t>(c.why)]) -= 1;
  c.why = Why::kPeace;
}

bool Activation::is_over(Cell& c, std::uint64_t now_ms) const {
  roll(c, now_ms);
  const std::uint32_t unanswered = c.syns_sum - std::min(c.syns_sum, c.proven_sum);
  const Marks& marks = marks_[c.named];
  const bool calm =
      std::max(c.half_open, unanswered) < marks.calm_half_open && c.syns_sum < marks.calm_syns;
  const auto now = static_cast<std::uint32_t>(now_ms);
  if (calm && !c.calm) c.calm_since_ms = now;
  c.calm = calm;
  return calm && now - c.calm_since_ms >= marks.hold_ms;
}

bool Activation::take_began(Began& out) {
  if (!news_) return false;
  out = began_;
  news_ = false;
  return true;
}

}  // namespace synproxy
