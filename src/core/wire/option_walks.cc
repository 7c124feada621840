// SPDX-License-Identifier: BSD-3-Clause
#include "option_walks.h"

#include <array>
#include <bit>

namespace synproxy::detail {
namespace {

static_assert(std::endian::native == std::endian::little, "the first byte is the lowest");

enum Slot : std::uint8_t { kIgnored, kMss, kScale, kSackPermitted, kStamps, kAuth, kSlots };

// What an option of a kind and of the length is; length 0: any.
struct Form {
  Slot slot = kIgnored;
  std::uint8_t length = 0;
};
constexpr std::size_t kKinds = 32;
constexpr std::array<Form, kKinds> kForms = [] {
  std::array<Form, kKinds> forms{};
  forms[kOptionMss] = {kMss, 4};
  forms[kOptionWindowScale] = {kScale, 3};
  forms[kOptionSackPermitted] = {kSackPermitted, 2};
  forms[kOptionTimestamps] = {kStamps, kTimestampsLength};
  forms[kOptionMd5] = {kAuth, 0};
  forms[kOptionAo] = {kAuth, 0};
  return forms;
}();

Slot slot_of(unsigned kind, std::size_t length) {
  const Form form = kForms[kind < kKinds ? kind : 0];
  return form.length == 0 || form.length == length ? form.slot : kIgnored;
}

// An option, or a run of up to eight NOPs.
struct Step {
  unsigned kind;
  std::size_t length;  // of an option as it says itself: not checked
};
Step step_of(std::uint64_t next_bytes) {
  const unsigned kind = next_bytes & 0xff;
  const std::size_t said = next_bytes >> 8 & 0xff;
  constexpr std::uint64_t kNops = 0x0101010101010101ULL * kOptionNop;
  const auto nops = static_cast<std::size_t>(std::countr_zero(next_bytes ^ kNops)) / 8;
  return {kind, kind == kOptionNop ? nops : said};
}
// Whether the option does not fit into `room` bytes.
bool misfits(const Step& step, std::size_t room) {
  return (step.kind != kOptionNop) & ((step.length < 2) | (step.length > room));
}

// The eight bytes from `at` on; zeros behind the end.
std::uint64_t bytes_at(const std::uint8_t* options, std::size_t size, std::size_t at) {
  if (size < 8) {
    std::uint64_t all = 0;
    std::memcpy(&all, options, size);
    return all >> 8 * at;
  }
  const std::size_t from = std::min(at, size - 8);
  return load_raw<std::uint64_t>(options + from) >> 8 * (at - from);
}

}  // namespace

TcpOptions parse_by_steps(const std::uint8_t* options, std::size_t size) {
  std::array<std::uint8_t, kSlots> value_at{};
  bool malformed = false;
  for (std::size_t at = 0; at < size;) {
    const Step step = step_of(bytes_at(options, size, at));
    if (step.kind == kOptionEnd) break;
    if (misfits(step, size - at)) {
      malformed = true;
      break;
    }
    value_at[slot_of(step.kind, step.length)] = static_cast<std::uint8_t>(at + 2);
    at += step.length;
  }
  const OptionValues at{.mss = value_at[kMss],
                        .scale = value_at[kScale],
                        .sack_permitted = value_at[kSackPermitted],
                        .timestamps = value_at[kStamps],
                        .auth = value_at[kAuth]};
  return read_options(options, size, at, malformed);
}

std::size_t find_timestamps_by_steps(const std::uint8_t* options, std::size_t size) {
  std::size_t found = size;
  // Where less room is left than timestamps take, nothing matters any more.
  for (std::size_t at = 0; at + kTimestampsLength <= size;) {
    const Step step = step_of(load_raw<std::uint64_t>(options + at));
    if ((step.kind == kOptionEnd) | misfits(step, size - at)) break;
    found = ((step.kind == kOptionTimestamps) & (step.length == kTimestampsLength)) ? at : found;
    at += step.length;
  }
  return found;
}

}  // namespace synproxy::detail
