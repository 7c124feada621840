// SPDX-License-Identifier: BSD-3-Clause
// Any bytes as a frame, for every parser and every function that works on their results.
#include <array>
#include <cstring>
#include <vector>

#include "fuzz/require.h"
#include "support/exact_buffer.h"
#include "synproxy/policy/junk.h"
#include "synproxy/proxy/arrival.h"
#include "synproxy/proxy/engine.h"
#include "synproxy/proxy/reply.h"
#include "synproxy/proxy/translate.h"
#include "synproxy/wire/fragment.h"
#include "synproxy/wire/icmp.h"
#include "synproxy/wire/segment.h"
#include "synproxy/wire/tcp_options.h"

namespace synproxy {
namespace {

using fuzz::require;

// The first byte chooses the flow's options, the next four its deltas: the rest is the frame.
constexpr std::size_t kPrefix = 5;

FlowRecord flow_of(const std::uint8_t* prefix) {
  FlowRecord f;
  f.options = prefix[0];
  const auto delta = load_be<std::uint32_t>(prefix + 1);
  f.become_spliced(FlowState::kEstablished,
                   {.delta = delta, .ts_delta = ~delta, .window = 0, .mark_second = 0});
  f.set_scales(prefix[1] % 15, prefix[2] % 15);
  f.set_link(0, prefix[3] % 15);
  return f;
}

void use_tcp(const Segment& s, const FlowRecord& f, std::size_t size) {
  require(std::size_t{s.l4_offset} + s.l4_length <= size);
  require(s.header_length + s.payload_length == s.l4_length);
  const bool good = checksums_good(s);
  (void)junk(s);
  (void)find_timestamps(s.options(), s.options_size());
  const TcpOptions before = parse_tcp_options(s.options(), s.options_size());
  require(translate_to_server(s, f) != before.malformed);
  Segment translated;  // a Segment keeps the values from before
  parse_frame(s.frame, size, translated);
  require(translated.result == ParseResult::kTcp && translated.l4_length == s.l4_length);
  require(translate_to_client(translated, f) != before.malformed);
  // The translation neither hides nor makes a corruption.
  require(checksums_good(s) == good);
  const bool has_ect = clear_ect(s);
  require(!has_ect || checksums_good(s) == good);
}

void use_icmp(const Segment& s, std::size_t size) {
  require(std::size_t{s.l4_offset} + s.l4_length <= size);
  (void)icmp_checksum_good(s);
  const QuotedSegment q = parse_quoted(s);
  if (!q.valid) return;
  require(q.tcp_bytes >= 8);
  require(q.tcp_offset > q.ip_offset);
  require(std::size_t{q.tcp_offset} + q.tcp_bytes <= size);
}

void use_fragment(const Segment& s, std::size_t size) {
  const FragmentView f = read_fragment(s);
  require(f.data >= s.l3() && f.data + f.size <= s.frame + size);
  require(std::size_t{s.l3_offset} + f.ip_size <= size);
  (void)fragment_checksum_good(s, f);
}

// A whole packet is cut and put together: nothing is lost.
void cut(const Segment& s, std::size_t size, std::uint16_t largest) {
  const auto header = static_cast<std::uint16_t>(s.l4_offset - s.l3_offset);
  FragmentCutter cutter({s.frame, size}, s.l3_offset, s.ipv6, {7, largest, header});
  std::vector<std::uint8_t> out(kMaxFrame);
  std::size_t data = 0;
  while (const std::size_t n = cutter.next(out)) {
    require(n <= out.size());
    Segment piece;
    parse_frame(out.data(), n, piece);
    require(piece.result == ParseResult::kFragment);
    const FragmentView f = read_fragment(piece);
    require(f.offset == data && std::size_t{piece.l3_offset} + f.ip_size == n);
    require(fragment_checksum_good(piece, f) && f.header_size == header);
    require(std::memcmp(f.data, s.l4() + data, f.size) == 0);
    data += f.size;
    require(f.more == (data < s.l4_length));
  }
  require(data == (cutter.fits() ? 0 : s.l4_length));
}

void reply_to(const Segment& s, std::span<const std::uint8_t> frame) {
  TcpReply r;
  r.flags = kSyn | kAck;
  r.mss = 1460;
  r.sack_permitted = (s.flags & kEce) != 0;
  r.timestamps = (s.flags & kCwr) != 0;
  for (const std::size_t room : {frame.size(), frame.size() + 60}) {
    const std::unique_ptr<std::uint8_t[]> memory(new std::uint8_t[room]);
    std::memcpy(memory.get(), frame.data(), frame.size());
    Packet p{.data = memory.get(),
             .length = static_cast<std::uint32_t>(frame.size()),
             .room = static_cast<std::uint32_t>(room)};
    Segment own;
    parse_frame(p.data, p.length, own);
    if (!reply_in_place(p, own, r, {})) continue;
    require(p.length <= room);
    Segment made;
    parse_frame(p.data, p.length, made);
    require(made.result == ParseResult::kTcp && checksums_good(made) && made.payload_length == 0);
  }
}

}  // namespace
}  // namespace synproxy

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace synproxy;
  if (size < kPrefix) return 0;
  static const ProtectSet protect(
      {parse_protect_rule("203.0.113.10:80"), parse_protect_rule("[2001:db8::10]:80")});
  const std::span frame(data + kPrefix, size - kPrefix);
  const test::ExactBuffer buffer(frame);
  Segment s;
  parse_frame(buffer.data(), buffer.size(), s);
  for (const Role side : {Role::kClient, Role::kServer}) {
    Arrival found;
    require(owner_of(buffer.span(), side, protect, {1, 2, 3, 4}, 3, 7, found) % 7 < 3);
  }
  if (s.result == ParseResult::kFragment) use_fragment(s, buffer.size());
  if (s.result == ParseResult::kTcp) {
    cut(s, buffer.size(), load_be<std::uint16_t>(data));
    reply_to(s, frame);
    use_tcp(s, flow_of(data), buffer.size());
  } else if (s.result == ParseResult::kIcmp) {
    use_icmp(s, buffer.size());
  }
  return 0;
}
