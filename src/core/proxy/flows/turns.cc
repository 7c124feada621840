// SPDX-License-Identifier: BSD-3-Clause
#include "flows/turns.h"

#include <algorithm>

namespace synproxy {

Turns::Turns(const EngineConfig& config, const Moment& now, const NamedServices& named,
             const ServerPlaces::Key& key)
    : now_(now),
      named_(named),
      own_(std::make_unique<ServerPlaces>(key)),
      places_(own_.get()),
      flows_(std::size_t{config.shape.max_flows} * sizeof(Waiter), Mapping::Kind::kSparse),
      services_(std::size_t{kNoService} * sizeof(Service), Mapping::Kind::kSparse) {
  retune();
}

// When the bound goes, the next ticks let those go that wait. Places are given back as long as a
// flow has one.
void Turns::retune() { watches_ |= on(); }

void Turns::note_due(std::uint32_t slot) {
  if (service(slot).levels == 0 || due_count_ == due_.size()) return;  // the tick looks at the rest
  const auto end = due_.begin() + due_count_;
  if (std::find(due_.begin(), end, slot) == end) due_[due_count_++] = slot;
}

void Turns::take(FlowIndex i, std::uint32_t slot) {
  waiter(i).slot_and_one = slot + 1;
  ++service(slot).own;
}

// Where workers wait for each other, none has more than its share, and a last place that has just
// come free is left to whichever looks first at its next tick.
bool Turns::may_take(std::uint32_t slot, bool tick) const {
  const Service& s = service(slot);
  const std::uint32_t workers = places_->waiting_workers(slot);
  const std::uint32_t others = workers - std::min(workers, s.levels != 0 ? 1U : 0U);
  if (others == 0) return true;
  const std::uint32_t bound = places_->bound_of(slot, bound_of(slot));
  if (bound <= others) return tick && s.own == 0;
  return s.own < (bound + others) / (others + 1);
}

Turns::Turn Turns::arrive(FlowIndex i, const KeyView& key, const std::uint8_t* source, bool above) {
  const NamedServiceId named = named_.number_of(key);
  const ServerBacklog& bound = named_.tuning(named).backlog;
  if (!bound.bounds()) return Turn::kGoes;
  const std::uint64_t name = places_->service_of(key);
  const ServerPlaces::Answer a = places_->look(name, now_.ms(), bound);
  if (a.slot == kNoService) return Turn::kGoesUnbounded;
  service(a.slot).named = named;
  const std::uint32_t level =
      a.busy && !above ? places_->take_turn(name, source, key.ipv6(), bound.mask, now_.ms32()) : 0;
  const bool over = a.full || service(a.slot).levels != 0 || !may_take(a.slot, false);
  if (above || (over && monitors(a.slot))) {
    if (!places_->take_anyway(a.slot, now_.ms())) return Turn::kGoesUnbounded;
    take(i, a.slot);
    return above || !over ? Turn::kGoes : Turn::kGoesMonitored;
  }
  if (!over && places_->take(a.slot, now_.ms(), bound)) {
    take(i, a.slot);
    return Turn::kGoes;
  }
  enlist(i, a.slot, level);
  note_due(a.slot);
  return Turn::kWaits;
}

bool Turns::yield(FlowIndex i, const KeyView& key, const std::uint8_t* source) {
  const std::uint32_t held = waiter(i).slot_and_one;
  if (held == 0 || monitors(held - 1)) return false;
  const std::uint32_t slot = held - 1;
  const ServerBacklog& bound = bound_of(slot);
  if (!bound.bounds() || places_->waiting_workers(slot) == 0) return false;
  places_->release(slot);
  --service(slot).own;
  const std::uint32_t level =
      places_->take_turn(places_->service_of(key), source, key.ipv6(), bound.mask, now_.ms32());
  enlist(i, slot, level);
  note_due(slot);
  return true;
}

bool Turns::silent(FlowIndex i, std::uint32_t asked_ms) {
  const std::uint32_t held = waiter(i).slot_and_one;
  return held != 0 && bound_of(held - 1).learned &&
         places_->silent(held - 1, asked_ms, now_.ms32());
}

bool Turns::answers_others(FlowIndex i, std::uint32_t ms) const {
  const std::uint32_t held = waiter(i).slot_and_one;
  if (held == 0) return false;
  const Service& s = service(held - 1);
  return s.answered_ms != 0 && now_.ms32() - s.answered_ms < ms;
}

void Turns::begin_waiting(std::uint32_t slot) {
  places_->begin_waiting(slot);
  Service& s = service(slot);
  if (hand_ == kNoService) {
    s.next = s.previous = slot;
    hand_ = slot;
    return;
  }
  s.next = hand_;
  s.previous = service(hand_).previous;
  service(s.previous).next = slot;
  service(hand_).previous = slot;
}

void Turns::end_waiting(std::uint32_t slot) {
  places_->end_waiting(slot);
  const Service& s = service(slot);
  service(s.previous).next = s.next;
  service(s.next).previous = s.previous;
  if (hand_ == slot) hand_ = s.next == slot ? kNoService : s.next;
}

void Turns::enlist(FlowIndex i, std::uint32_t slot, std::uint32_t level) {
  Service& s = service(slot);
  if (s.levels == 0) begin_waiting(slot);
  Waiter& w = waiter(i);
  List& list = s.lists[level];
  const bool first = (s.levels >> level & 1U) == 0;
  w = {.next = kNoFlow,
       .previous = first ? kNoFlow : list.last,
       .slot_and_one = slot + 1,
       .level = level};
  if (first) {
    list.first = i;
    s.levels |= 1U << level;
  } else {
    waiter(list.last).next = i;
  }
  list.last = i;
  ++waiting_;
}

void Turns::strike(FlowIndex i) {
  Waiter& w = waiter(i);
  const std::uint32_t slot = w.slot_and_one - 1;
  Service& s = service(slot);
  List& list = s.lists[w.level];
  (w.previous == kNoFlow ? list.first : waiter(w.previous).next) = w.next;
  (w.next == kNoFlow ? list.last : waiter(w.next).previous) = w.previous;
  if (list.first == kNoFlow) s.levels &= ~(1U << w.level);
  if (s.levels == 0) end_waiting(slot);
  w.slot_and_one = 0;
  --waiting_;
}

FlowIndex Turns::next_of(std::uint32_t slot, bool tick) {
  const ServerBacklog& bound = bound_of(slot);
  const bool bounded = bound.bounds() && !monitors(slot);
  if (bounded && (!may_take(slot, tick) || !places_->take(slot, now_.ms(), bound))) return kNoFlow;
  const bool counted = bounded || places_->take_anyway(slot, now_.ms());
  const Service& s = service(slot);
  const FlowIndex i = s.lists[static_cast<std::size_t>(std::countr_zero(s.levels))].first;
  strike(i);
  if (counted) take(i, slot);
  return i;
}

void Turns::moves(const FlowRecord& f, FlowIndex i, FlowState to) {
  if (f.state() != FlowState::kSynSent) return;
  const std::uint32_t held = waiter(i).slot_and_one;
  if (held == 0) return;
  const std::uint32_t slot = held - 1;
  Service& s = service(slot);
  if (f.waits_for_turn()) {
    strike(i);
  } else {
    if (to == FlowState::kEstablished && bound_of(slot).learned) {
      // While less than half of the bound is in use, an answer shows nothing.
      const std::uint32_t bound = places_->bound_of(slot, bound_of(slot));
      if (places_->taken(slot) * 2 >= bound && ++s.answers >= bound) {
        s.answers = 0;
        places_->raise(slot);
      }
    }
    places_->release(slot);
    --s.own;
    waiter(i).slot_and_one = 0;
    note_due(slot);
  }
  if (to == FlowState::kEstablished) s.answered_ms = std::max(now_.ms32(), 1U);
}

}  // namespace synproxy
