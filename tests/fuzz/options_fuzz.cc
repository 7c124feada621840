// SPDX-License-Identifier: BSD-3-Clause
// Any bytes as TCP options. The walk is compared with one written differently, and the translation
// of a segment that carries them with what the tests' decoder reads before and after.
#include <algorithm>
#include <cstring>
#include <vector>

#include "fuzz/require.h"
#include "support/decoded_frame.h"
#include "support/exact_buffer.h"
#include "synproxy/proxy/reply.h"
#include "synproxy/proxy/translate.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {
namespace {

using fuzz::require;
using test::Bytes;
using test::DecodedFrame;
using test::ExactBuffer;

// Before the options: numbers and flags of the segment and of its flow.
constexpr std::size_t kPrefix = 20;

struct Found {
  std::uint8_t kind;
  std::size_t at;
  std::size_t length;
  friend bool operator==(const Found&, const Found&) = default;
};

// RFC 9293 section 3.1, with an index of the next option instead of a walk.
bool walk_slowly(std::span<const std::uint8_t> options, std::vector<Found>& out) {
  std::size_t next = 0;
  for (std::size_t i = 0; i < options.size(); ++i) {
    if (i != next) continue;
    if (options[i] == 0) return true;
    if (options[i] == 1) {
      next = i + 1;
    } else if (i + 1 == options.size() || options[i + 1] < 2 ||
               i + options[i + 1] > options.size()) {
      return false;
    } else {
      out.push_back({options[i], i, options[i + 1]});
      next = i + options[i + 1];
    }
  }
  return true;
}

void walk(std::span<const std::uint8_t> options) {
  const ExactBuffer exact(options);
  std::vector<Found> expected;
  std::vector<Found> got;
  const bool whole = walk_slowly(options, expected);
  require(walk_options(exact.data(), exact.size(),
                       [&](std::uint8_t kind, std::size_t at, std::size_t length) {
                         got.push_back({kind, at, length});
                         return true;
                       }) == whole);
  require(got == expected);

  const TcpOptions all = parse_tcp_options(exact.data(), exact.size());
  require(all.malformed != whole);
  require(all.window_scale <= 15);
  const auto last = [&](std::uint8_t kind, std::size_t length) -> const std::uint8_t* {
    const std::uint8_t* value = nullptr;
    for (const Found& f : expected) {
      if (f.kind == kind && f.length == length) value = options.data() + f.at + 2;
    }
    return value;
  };
  const std::uint8_t* mss = last(2, 4);
  require(all.mss == (mss != nullptr ? mss[0] << 8 | mss[1] : 0));
  const std::uint8_t* scale = last(3, 3);
  require(all.window_scale == (scale != nullptr ? std::min<unsigned>(scale[0], 14) : 15U));
  require(all.sack_permitted == (last(4, 2) != nullptr));
  const std::uint8_t* ts = last(8, 10);
  require(all.timestamps == (ts != nullptr));
  const Timestamps fast = find_timestamps(exact.data(), exact.size());
  require(fast.present == all.timestamps);
  if (ts == nullptr) return;
  require(all.tsval == load_be<std::uint32_t>(ts) && all.tsecr == load_be<std::uint32_t>(ts + 4));
  require(fast.tsval == all.tsval && fast.tsecr == all.tsecr);
}

FlowRecord flow_of(const std::uint8_t* p) {
  FlowRecord f;
  f.options = p[0];
  f.become_spliced(FlowState::kEstablished, {.delta = load_be<std::uint32_t>(p + 1),
                                             .ts_delta = load_be<std::uint32_t>(p + 5),
                                             .window = 0,
                                             .mark_second = 0});
  f.set_scales(p[9] % 15, p[10] % 15);
  f.set_link(0, p[11] % 15);
  return f;
}

Bytes segment_with(const std::uint8_t* p, std::span<const std::uint8_t> options,
                   std::span<const std::uint8_t> payload) {
  test::PacketBuilder b;
  if ((p[12] & 0x80) != 0) b.ip("2001:db8:1::7", "2001:db8::10");
  b.seq(load_be<std::uint32_t>(p + 13)).ack(load_be<std::uint32_t>(p + 13) * 3);
  b.flags(p[12] & 0x7fU).window(load_be<std::uint16_t>(p + 17)).traffic_class(p[19]);
  return b.option({options.begin(), options.end()})
      .payload(Bytes(payload.begin(), payload.end()))
      .build();
}

DecodedFrame decoded(std::span<const std::uint8_t> frame) {
  const auto f = test::decode(frame);
  require(f.has_value());
  return *f;
}

void move(Bytes& options, std::size_t at, std::uint32_t by) {
  store_be<std::uint32_t>(&options[at], load_be<std::uint32_t>(&options[at]) + by);
}

// What the server, or the client, must find in place of well-formed options.
Bytes options_for_server(Bytes options, std::span<const Found> found, const FlowRecord& f) {
  for (const Found& o : found) {
    if (o.kind == 8 && o.length == 10 && load_be<std::uint32_t>(&options[o.at + 6]) != 0) {
      move(options, o.at + 6, f.spliced().ts_delta);
    } else if (o.kind == 5 && (f.options & kFlowServerNoSack) != 0) {
      std::fill_n(options.begin() + static_cast<long>(o.at), o.length, std::uint8_t{1});
    } else if (o.kind == 5) {
      for (std::size_t i = 2; i + 4 <= o.length; i += 4) move(options, o.at + i, f.spliced().delta);
    }
  }
  return options;
}
Bytes options_for_client(Bytes options, std::span<const Found> found, const FlowRecord& f) {
  for (const Found& o : found) {
    if (o.kind == 8 && o.length == 10) move(options, o.at + 2, 0U - f.spliced().ts_delta);
  }
  return options;
}

FlowRecord reversed(const FlowRecord& f) {
  FlowRecord back = f;
  back.spliced().delta = 0U - f.spliced().delta;
  back.spliced().ts_delta = 0U - f.spliced().ts_delta;
  return back;
}

void to_server(const Bytes& frame, const FlowRecord& f) {
  const DecodedFrame before = decoded(frame);
  std::vector<Found> found;
  const bool whole = walk_slowly(before.options, found);
  const ExactBuffer buffer(frame);
  Segment s;
  parse_frame(buffer.data(), buffer.size(), s);
  require(s.result == ParseResult::kTcp);
  require(translate_to_server(s, f) == whole);
  const DecodedFrame after = decoded(buffer.span());
  require(after.checksums_good);
  require(after.seq == before.seq && after.flags == before.flags);
  require(after.urgent == before.urgent && after.payload == before.payload);
  require(after.ack == before.ack + (before.has(kAck) ? f.spliced().delta : 0));
  const bool rescaled = (f.options & (kFlowClientScales | kFlowServerScales)) == kFlowClientScales;
  require(rescaled ? (after.window == 0) == (before.window == 0) : after.window == before.window);
  if (!whole) return require(after.options == before.options);
  require(after.options == options_for_server(before.options, found, f));

  // The way back. It does not restore what was blanked or cut, or became an echo of nothing.
  const Bytes restored = options_for_server(after.options, found, reversed(f));
  if (rescaled || restored != before.options) return;
  parse_frame(buffer.data(), buffer.size(), s);
  require(translate_to_server(s, reversed(f)));
  require(std::equal(frame.begin(), frame.end(), buffer.data()));
}

void to_client(const Bytes& frame, const FlowRecord& f) {
  const DecodedFrame before = decoded(frame);
  std::vector<Found> found;
  const bool whole = walk_slowly(before.options, found);
  const ExactBuffer buffer(frame);
  Segment s;
  parse_frame(buffer.data(), buffer.size(), s);
  require(translate_to_client(s, f) == whole);
  const DecodedFrame after = decoded(buffer.span());
  require(after.checksums_good);
  require(after.seq == before.seq - f.spliced().delta && after.ack == before.ack);
  require(after.flags == before.flags && after.payload == before.payload);
  require(after.urgent == before.urgent);
  require((after.window == 0) == (before.window == 0));
  // Never more than the server has, except that an open window stays open.
  const std::uint64_t meant = std::uint64_t{after.window} << f.offered_scale();
  require(meant <= std::uint64_t{before.window} << f.server_scale() || after.window == 1);
  if (!whole) return require(after.options == before.options);
  require(after.options == options_for_client(before.options, found, f));

  if (f.server_scale() != f.offered_scale()) return;
  parse_frame(buffer.data(), buffer.size(), s);
  require(translate_to_client(s, reversed(f)));
  require(std::equal(frame.begin(), frame.end(), buffer.data()));
}

// A frame that was corrupted on its way must remain corrupted by the same amount.
void keeps_corruption(Bytes frame, const FlowRecord& f, std::uint8_t by) {
  if (by == 0 || frame.empty()) return;
  frame.back() ^= by;  // payload, an option or the urgent pointer
  const ExactBuffer buffer(frame);
  Segment s;
  for (const bool up : {true, false}) {
    parse_frame(buffer.data(), buffer.size(), s);
    if (s.result != ParseResult::kTcp) return;
    up ? translate_to_server(s, f) : translate_to_client(s, f);
    require(!checksums_good(s));
  }
}

void ecn(const Bytes& frame) {
  const DecodedFrame before = decoded(frame);
  const ExactBuffer buffer(frame);
  Segment s;
  parse_frame(buffer.data(), buffer.size(), s);
  const bool cleared = clear_ect(s);
  const DecodedFrame after = decoded(buffer.span());
  require(cleared == ((before.traffic_class & 3) != 3));
  require(after.checksums_good);
  require(after.traffic_class == (cleared ? before.traffic_class & 0xfc : before.traffic_class));
}

// Options that we write ourselves read back as they were meant.
void round_trip(const std::uint8_t* p) {
  TcpReply r;
  r.flags = kSyn | kAck;
  r.mss = load_be<std::uint16_t>(p + 17);
  r.window_scale = p[9] % 16;
  r.sack_permitted = (p[0] & 1) != 0;
  r.timestamps = (p[0] & 2) != 0;
  r.tsval = load_be<std::uint32_t>(p + 1);
  r.tsecr = load_be<std::uint32_t>(p + 5);
  IpEnds ends;
  ends.ipv6 = (p[12] & 0x80) != 0;
  const std::size_t size = tcp_packet_size(ends.ipv6, r);
  Bytes frame(kEthernetHeader + size);
  store_be<std::uint16_t>(frame.data() + 12, ends.ipv6 ? kEtherTypeIpv6 : kEtherTypeIpv4);
  const ExactBuffer buffer(frame);
  require(write_tcp_packet(buffer.data() + kEthernetHeader, ends, r, {}) == size);
  require(decoded(buffer.span()).checksums_good);
  Segment s;
  parse_frame(buffer.data(), buffer.size(), s);
  require(s.result == ParseResult::kTcp);
  const TcpOptions o = parse_tcp_options(s.options(), s.options_size());
  require(!o.malformed && o.mss == r.mss && o.sack_permitted == r.sack_permitted);
  require(o.window_scale == (r.window_scale == 15 ? 15 : std::min<unsigned>(r.window_scale, 14)));
  require(o.timestamps == r.timestamps);
  if (o.timestamps) require(o.tsval == r.tsval && o.tsecr == r.tsecr);
}

}  // namespace
}  // namespace synproxy

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace synproxy;
  if (size < kPrefix) return 0;
  round_trip(data);
  const std::span rest(data + kPrefix, size - kPrefix);
  walk(rest);
  // In a segment the list ends where the data offset says, a multiple of four.
  const std::span options = rest.first(std::min(rest.size(), kMaxOptionBytes) / 4 * 4);
  walk(options);
  const std::span payload = rest.subspan(options.size());
  const FlowRecord f = flow_of(data);
  const Bytes frame = segment_with(data, options, payload);
  to_server(frame, f);
  to_client(frame, f);
  keeps_corruption(frame, f, data[19]);
  ecn(frame);
  return 0;
}
