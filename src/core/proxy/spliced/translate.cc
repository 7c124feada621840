// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/translate.h"

#include <cstring>

#include "synproxy/proxy/spliced_numbers.h"
#include "synproxy/proxy/window_scale.h"
#include "synproxy/wire/checksum.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {
namespace {

// Writes a 32-bit number of the TCP header as `kReceiver` counts it.
template <Role kReceiver>
void shift32(std::uint8_t* field, std::uint32_t delta, ChecksumUpdate& update, bool odd = false) {
  const auto old_raw = load_raw<std::uint32_t>(field);
  const std::uint32_t number = be32::from_raw(old_raw).host();
  const std::uint32_t new_raw = be32(kReceiver == Role::kServer ? number_to_server(number, delta)
                                                                : number_to_client(number, delta))
                                    .raw();
  std::memcpy(field, &new_raw, sizeof new_raw);
  update.replace32(old_raw, new_raw, odd);
}

void shift_tsecr(std::uint8_t* field, std::uint32_t ts_delta, ChecksumUpdate& update,
                 bool odd = false) {
  if (tsecr_echoes(load_raw<std::uint32_t>(field))) {
    shift32<Role::kServer>(field, ts_delta, update, odd);
  }
}

void set_window(const Segment& s, std::uint16_t window, ChecksumUpdate& update) {
  if (window == s.window) return;
  store_be<std::uint16_t>(s.l4() + tcp_at::kWindow, window);
  update.replace16(be16(s.window).raw(), be16(window).raw());
}

// Overwrites an option with NOPs. It works byte by byte, because an option at an odd offset
// straddles the words of the sum.
void blank(std::uint8_t* options, std::size_t at, std::size_t length, ChecksumUpdate& update) {
  for (std::size_t i = at; i < at + length; ++i) {
    const bool high = (i & 1) == 0;
    const std::uint16_t before = high ? std::uint16_t(options[i] << 8) : options[i];
    const std::uint16_t after = high ? std::uint16_t(kOptionNop << 8) : kOptionNop;
    update.replace16(be16(before).raw(), be16(after).raw());
    options[i] = kOptionNop;
  }
}

bool well_formed(const std::uint8_t* options, std::size_t size) {
  return walk_options(options, size, [](std::uint8_t, std::size_t, std::size_t) { return true; });
}

}  // namespace

bool translate_to_server(const Segment& s, const FlowRecord& f, ChecksumHint hint) {
  const SplicedPart& numbers = f.spliced();
  ChecksumUpdate update;
  std::uint8_t* options = s.options();
  const std::size_t size = s.options_size();
  // RFC 9293 section 3.10.7.4: without the ACK flag the field means nothing, so it stays.
  if (s.has(kAck)) shift32<Role::kServer>(s.l4() + tcp_at::kAck, numbers.delta, update);
  if (f.only_client_scales()) {
    set_window(s, window_unscaled(s.window, f.client_scale()), update);
  }
  bool whole = true;
  if (are_timestamps_alone(options, size)) {
    shift_tsecr(options + kTimestampsAlone.at(OptionWord::kTsecr), numbers.ts_delta, update);
  } else if (size != 0) {
    whole = well_formed(options, size);
    if (whole) {
      walk_options(options, size, [&](std::uint8_t kind, std::size_t at, std::size_t length) {
        const bool odd = (at & 1) != 0;
        if (kind == kOptionTimestamps && length == 10) {
          shift_tsecr(options + at + 6, numbers.ts_delta, update, odd);
        } else if (kind == kOptionSack && (f.options & kFlowServerNoSack) != 0) {
          blank(options, at, length, update);
        } else if (kind == kOptionSack) {
          for (std::size_t edge = at + 2; edge + 4 <= at + length; edge += 4) {
            shift32<Role::kServer>(options + edge, numbers.delta, update, odd);
          }
        }
        return true;
      });
    }
  }
  if (!is_super(hint)) [[likely]] {
    update.apply(s.tcp_checksum());
  }
  return whole;
}

bool translate_to_client(const Segment& s, const FlowRecord& f, ChecksumHint hint) {
  const SplicedPart& numbers = f.spliced();
  ChecksumUpdate update;
  std::uint8_t* options = s.options();
  const std::size_t size = s.options_size();
  shift32<Role::kClient>(s.l4() + tcp_at::kSeq, numbers.delta, update);
  set_window(s, window_to_client(s.window, f.server_scale(), f.offered_scale()), update);
  bool whole = true;
  if (are_timestamps_alone(options, size)) {
    shift32<Role::kClient>(options + kTimestampsAlone.at(OptionWord::kTsval), numbers.ts_delta,
                           update);
  } else if (size != 0) {
    whole = well_formed(options, size);
    if (whole) {
      walk_options(options, size, [&](std::uint8_t kind, std::size_t at, std::size_t length) {
        if (kind == kOptionTimestamps && length == 10) {
          shift32<Role::kClient>(options + at + 2, numbers.ts_delta, update, (at & 1) != 0);
        }
        return true;
      });
    }
  }
  if (!is_super(hint)) [[likely]] {
    update.apply(s.tcp_checksum());
  }
  return whole;
}

bool clear_ect(const Segment& s) {
  std::uint8_t* ip = s.l3();
  if (s.ipv6) {
    const unsigned ecn = (ip[1] >> 4) & 3U;
    if (ecn == 3) return false;
    ip[1] = static_cast<std::uint8_t>(ip[1] & 0xcfU);
    return true;
  }
  const unsigned ecn = ip[1] & 3U;
  if (ecn == 3) return false;
  if (ecn != 0) {
    ChecksumUpdate update;
    const auto before = load_raw<std::uint16_t>(ip);
    ip[1] = static_cast<std::uint8_t>(ip[1] & 0xfcU);
    update.replace16(before, load_raw<std::uint16_t>(ip));
    update.apply(ip + ipv4_at::kChecksum);
  }
  return true;
}

}  // namespace synproxy
