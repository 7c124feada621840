// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/flow/replay_filter.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "synproxy/base/copy_of_live.h"
#include "synproxy/base/wide_product.h"

namespace synproxy {
namespace {

constexpr std::uint64_t kEntryBytes = 2;
constexpr std::uint32_t kFilterBits = 15 * 32;
constexpr int kProbes = 8;
constexpr int kProbesPerWord = 4;

// Eight places in a line, each from 16 bits of the mixed fingerprint. It is mixed because its upper
// bits chose the line: all fingerprints in one line share them. Constants: digits of pi.
class Places {
 public:
  explicit Places(std::uint64_t fingerprint)
      : words_{folded_product(fingerprint ^ 0x243f6a8885a308d3U, 0x13198a2e03707345U), 0} {
    words_[1] = folded_product(words_[0] ^ 0xa4093822299f31d1U, 0x082efa98ec4e6c89U);
  }
  [[nodiscard]] std::uint32_t operator[](int probe) const {
    const auto word = static_cast<std::size_t>(probe / kProbesPerWord);
    const std::uint64_t bits = words_[word] >> (probe % kProbesPerWord * 16) & 0xffffU;
    return static_cast<std::uint32_t>(bits * kFilterBits >> 16);
  }

 private:
  std::array<std::uint64_t, 2> words_;
};

std::uint32_t lines_for(std::uint32_t expected) {
  return std::max(1U, static_cast<std::uint32_t>((expected * kEntryBytes + 63) / 64));
}

}  // namespace

ReplayFilter::ReplayFilter(std::uint32_t expected_per_epoch, Arena* arena)
    : lines_per_slot_(lines_for(expected_per_epoch)),
      limit_(std::uint64_t{expected_per_epoch} + expected_per_epoch / 2),
      memory_(memory_from(arena, std::size_t{lines_per_slot_} * kSlots * sizeof(Line),
                          Mapping::Kind::kReserved)),
      state_memory_(
          memory_from(arena, arena == nullptr ? 0 : sizeof(State), Mapping::Kind::kReserved)),
      state_(arena == nullptr ? &own_state_ : static_cast<State*>(state_memory_.data())) {}

std::size_t ReplayFilter::store_bytes(std::uint32_t expected_per_epoch) {
  return Arena::taken_by(std::size_t{lines_for(expected_per_epoch)} * kSlots * sizeof(Line)) +
         Arena::taken_by(sizeof(State));
}

void ReplayFilter::restore(std::uint64_t current_epoch) {
  for (std::size_t i = 0; i < kSlots; ++i) {
    Slot& slot = state_->slots[i];
    const bool possible = slot.epoch <= current_epoch + 1 && slot.epoch % kSlots == i;
    if (slot.used == 0 || !possible) slot = {};
  }
}

void ReplayFilter::settle() {
  for (const Waiting& w : state_->waiting) write(w);  // once more does no harm
}

namespace {

// Never 0.
template <typename Line>
std::uint64_t digest_of(const Line& line) {
  std::array<std::uint64_t, sizeof(Line) / 8> words;
  std::memcpy(words.data(), &line, sizeof line);
  std::uint64_t sum = 0;
  for (const std::uint64_t w : words) sum = (sum ^ w) * 0x9e3779b97f4a7c15U + (sum >> 32);
  return sum | 1;
}

}  // namespace

std::size_t ReplayFilter::find_changed(std::span<const std::uint64_t> seen, std::uint32_t from,
                                       std::uint32_t to, std::uint64_t current_epoch,
                                       std::span<std::uint32_t> out) const {
  std::size_t count = 0;
  const auto* const lines = static_cast<const Line*>(memory_.data());
  for (std::uint32_t at = from; at < to; ++at) {
    const Slot& slot = state_->slots[at / lines_per_slot_];
    const bool matters =
        slot.used != 0 && slot.epoch + 1 >= current_epoch && slot.epoch <= current_epoch + 1;
    if (!matters) {
      at += lines_per_slot_ - 1 - at % lines_per_slot_;
      continue;
    }
    const Line line = copy_of_live(lines[at]);
    if (line.epoch != static_cast<std::uint32_t>(slot.epoch)) continue;
    if (digest_of(line) != seen[at]) out[count++] = at;
  }
  return count;
}

CarriedReplay ReplayFilter::carry(std::uint32_t line, std::span<std::uint64_t> seen,
                                  ReplayEntries& entries) const {
  const Slot slot = state_->slots[line / lines_per_slot_];
  const Line copy = copy_of_live(static_cast<const Line*>(memory_.data())[line]);
  ReplayEntries::OfEpoch& told = entries.told[line / lines_per_slot_];
  if (told.epoch != slot.epoch) told = {slot.epoch, 0};
  const std::uint64_t more = slot.entries - std::min(told.entries, slot.entries);
  told.entries += more;
  seen[line] = digest_of(copy);
  return {slot.epoch, more, line % lines_per_slot_, lines_per_slot_, copy.bits, 0};
}

void ReplayFilter::adopt(const CarriedReplay& carried, std::uint64_t current_epoch) {
  const std::uint64_t epoch = carried.epoch;
  if (carried.line >= carried.lines || epoch + 1 < current_epoch || epoch > current_epoch + 1) {
    return;
  }
  Slot& slot = state_->slots[epoch % kSlots];
  if (slot.used != 0 && epoch < slot.epoch) return;
  if (slot.used == 0 || slot.epoch != epoch) slot = {epoch, 1, 0};
  slot.entries = std::min(slot.entries + std::min(carried.entries, limit_), limit_);
  // The fingerprints that lead to that line lead to these.
  const std::uint64_t begin = std::uint64_t{carried.line} * lines_per_slot_ / carried.lines;
  const std::uint64_t end =
      ((std::uint64_t{carried.line} + 1) * lines_per_slot_ + carried.lines - 1) / carried.lines;
  for (std::uint64_t i = begin; i < end; ++i) {
    Line& line = static_cast<Line*>(memory_.data())[epoch % kSlots * lines_per_slot_ + i];
    const auto word = static_cast<std::uint32_t>(epoch);
    if (line.epoch != word) line = {word, {}};
    for (std::size_t w = 0; w < line.bits.size(); ++w) line.bits[w] |= carried.bits[w];
  }
}

void ReplayFilter::insert(std::uint64_t epoch, std::uint64_t fingerprint) {
  Slot& slot = state_->slots[epoch % kSlots];
  if (slot.used != 0 && epoch < slot.epoch) return;
  if (slot.used == 0 || slot.epoch != epoch) slot = {epoch, 1, 0};
  ++slot.entries;
  Waiting& place = state_->waiting[state_->next_waiting++ % kWaiting];
  write(place);
  place = {epoch, fingerprint, 1};
  __builtin_prefetch(line_of(epoch, fingerprint), 1);
}

bool ReplayFilter::is_waiting(std::uint64_t epoch, std::uint64_t fingerprint) const {
  const auto& waiting = state_->waiting;
  return std::any_of(waiting.begin(), waiting.end(), [&](const Waiting& w) {
    return w.used != 0 && w.epoch == epoch && w.fingerprint == fingerprint;
  });
}

void ReplayFilter::write(const Waiting& entry) {
  if (entry.used == 0 || state_->slots[entry.epoch % kSlots].epoch != entry.epoch) return;
  Line& line = *line_of(entry.epoch, entry.fingerprint);
  const auto epoch = static_cast<std::uint32_t>(entry.epoch);
  if (line.epoch != epoch) line = {epoch, {}};
  const Places places(entry.fingerprint);
  for (int i = 0; i < kProbes; ++i) line.bits[places[i] / 32] |= 1U << places[i] % 32;
}

bool ReplayFilter::contains_in(std::uint64_t epoch, std::uint64_t fingerprint) const {
  const Line& line = *line_of(epoch, fingerprint);
  if (line.epoch != static_cast<std::uint32_t>(epoch)) return false;
  const Places places(fingerprint);
  for (int i = 0; i < kProbes; ++i) {
    if ((line.bits[places[i] / 32] >> places[i] % 32 & 1U) == 0) return false;
  }
  return true;
}

}  // namespace synproxy
