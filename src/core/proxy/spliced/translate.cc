// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/translate.h"

#include <cstring>

#include "synproxy/wire/checksum.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {
namespace {

// Adds `add` to a 32-bit number in the TCP header.
void shift32(std::uint8_t* field, std::uint32_t add, ChecksumUpdate& update, bool odd = false) {
  const auto old_raw = load_raw<std::uint32_t>(field);
  const std::uint32_t new_raw = be32(be32::from_raw(old_raw).host() + add).raw();
  std::memcpy(field, &new_raw, sizeof new_raw);
  update.replace32(old_raw, new_raw, odd);
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
  if (s.has(kAck)) shift32(s.l4() + tcp_at::kAck, numbers.delta, update);
  if ((f.options & (kFlowClientScales | kFlowServerScales)) == kFlowClientScales) {
    set_window(s, window_unscaled(s.window, f.client_scale()), update);
  }
  bool whole = true;
  if (are_timestamps_alone(options, size)) {
    std::uint8_t* tsecr = options + kTimestampsAlone.at(OptionWord::kTsecr);
    if (load_raw<std::uint32_t>(tsecr) != 0) shift32(tsecr, numbers.ts_delta, update);
  } else if (size != 0) {
    whole = well_formed(options, size);
    if (whole) {
      walk_options(options, size, [&](std::uint8_t kind, std::size_t at, std::size_t length) {
        const bool odd = (at & 1) != 0;
        if (kind == kOptionTimestamps && length == 10) {
          // RFC 7323 section 3.2: a TSecr of 0 echoes nothing.
          std::uint8_t* tsecr = options + at + 6;
          if (load_raw<std::uint32_t>(tsecr) != 0) shift32(tsecr, numbers.ts_delta, update, odd);
        } else if (kind == kOptionSack && (f.options & kFlowServerNoSack) != 0) {
          blank(options, at, length, update);
        } else if (kind == kOptionSack) {
          for (std::size_t edge = at + 2; edge + 4 <= at + length; edge += 4) {
            shift32(options + edge, numbers.delta, update, odd);
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
  shift32(s.l4() + tcp_at::kSeq, 0U - numbers.delta, update);
  set_window(s, window_to_client(s.window, f.server_scale(), f.offered_scale()), update);
  bool whole = true;
  if (are_timestamps_alone(options, size)) {
    shift32(options + kTimestampsAlone.at(OptionWord::kTsval), 0U - numbers.ts_delta, update);
  } else if (size != 0) {
    whole = well_formed(options, size);
    if (whole) {
      walk_options(options, size, [&](std::uint8_t kind, std::size_t at, std::size_t length) {
        if (kind == kOptionTimestamps && length == 10) {
          shift32(options + at + 2, 0U - numbers.ts_delta, update, (at & 1) != 0);
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
