// SPDX-License-Identifier: BSD-3-Clause
// The stages of a burst before anything is decided about a connection.
#include <cstring>

#include "engine_state.h"
#include "flow_key.h"
#include "synproxy/policy/junk.h"
#include "synproxy/wire/icmp.h"

namespace synproxy {
namespace {

// The end of the packet that may be protected: its destination from the client, its source from the
// server.
const std::uint8_t* protected_end(const Segment& s, Side side) {
  return side == Side::kClient ? s.destination() : s.source();
}

Kind decide(EngineState& s, Context& c, Side side, Reason why) {
  if (s.protect.matches_address(protected_end(c.segment, side), c.segment.ipv6)) {
    drop(s, c, why);
  } else {
    forward(s, c, Reason::forwarded);
  }
  return Kind::kDecided;
}

bool is_protected(EngineState& s, const std::uint8_t* address, bool ipv6, std::uint16_t port) {
  if (ipv6) return s.protect.matches(address, true, port);
  const auto word = load_raw<std::uint32_t>(address);
  if (word == s.last_address && port == s.last_port) [[likely]] {
    return true;
  }
  if (!s.protect.matches(address, false, port)) return false;
  s.last_address = word;
  s.last_port = port;
  return true;
}

Kind classify_tcp(EngineState& s, Context& c, Side side) {
  const Segment& g = c.segment;
  const std::uint16_t port = side == Side::kClient ? g.destination_port : g.source_port;
  if (!is_protected(s, protected_end(g, side), g.ipv6, port)) {
    forward(s, c, Reason::forwarded);
    return Kind::kDecided;
  }
  if (side == Side::kClient) {
    if (const auto reason = junk(g)) {
      drop(s, c, *reason);
      return Kind::kDecided;
    }
  }
  key_of(g, side, c.key);
  c.hash = index_hash(s.index_key, c.key);
  s.table.prefetch_bucket(c.hash);
  return Kind::kTcp;
}

}  // namespace

Kind classify(EngineState& s, Context& c, Side side) {
  parse_frame(c.packet->data, c.packet->length, c.segment);
  c.macs = 0;
  c.keys = nullptr;
  switch (c.segment.result) {
    case ParseResult::kTcp:
      return classify_tcp(s, c, side);
    case ParseResult::kFragment:
      if (s.config.forward_fragments) break;
      return decide(s, c, side, Reason::fragment);
    case ParseResult::kBadIp:
      return decide(s, c, side, Reason::bad_ip_header);
    case ParseResult::kBadTcp:
      return decide(s, c, side, Reason::bad_tcp_header);
    case ParseResult::kTooDeep:
      return decide(s, c, side, Reason::vlan_depth);
    case ParseResult::kIcmp:
      return Kind::kIcmp;
    case ParseResult::kOther:
      break;
  }
  forward(s, c, Reason::forwarded);
  return Kind::kDecided;
}

bool goes_past(const EngineState& s, const Context& c) {
  if (!s.config.forward_tcp_auth || c.flow != kNoFlow) return false;
  return parse_tcp_options(c.segment.options(), c.segment.options_size()).auth;
}

void find_flow(EngineState& s, Context& c) {
  c.flow = s.table.find(c.key, c.hash);
  c.structure = s.structure;
}

void compute_macs(EngineState& s, std::span<Context> burst) {
  MacBatch& m = s.macs;
  std::size_t n = 0;
  const auto add = [&](std::size_t i, const LayoutKey& key, std::uint32_t isn) {
    Context& c = burst[i];
    m.in[n] = cookie_mac_input(c.key, isn);
    m.k0[n] = key.k0;
    m.k1[n] = key.k1;
    m.owner[n] = static_cast<std::uint8_t>(i);
    ++c.macs;
    ++n;
  };
  for (std::size_t i = 0; i < burst.size(); ++i) {
    Context& c = burst[i];
    if (c.kind != Kind::kTcp) continue;
    const Segment& g = c.segment;
    if ((g.flags & (kSyn | kAck)) == kSyn) {
      c.keys = s.keys.current();
      if (c.keys == nullptr) continue;
      c.options = parse_tcp_options(g.options(), g.options_size());
      c.service = s.services.offer(c.key);
      c.agreed = agree(s, c);
      add(i, c.agreed.timestamps ? c.keys->timestamps : c.keys->plain, g.seq.value());
    } else if (c.flow == kNoFlow && (g.flags & (kSyn | kAck | kRst)) == kAck) {
      c.keys = s.keys.for_parity(cookie_parity((g.ack - 1).value()));
      if (c.keys == nullptr) continue;
      c.timestamps = find_timestamps(g.options(), g.options_size());
      const LayoutKey& key = c.timestamps.present ? c.keys->timestamps : c.keys->plain;
      add(i, key, (g.seq - 1).value());
      // A keepalive or a zero-window probe repeats the byte before the first: seq is the ISN
      // itself.
      if (g.payload_length <= 1) add(i, key, g.seq.value());
    }
  }
  if (n == 0) return;
  siphash24_burst(m.k0.data(), m.k1.data(), m.in.data(), m.out.data(), n);
  for (std::size_t i = n; i-- > 0;) {
    Context& c = burst[m.owner[i]];
    // Lanes of one packet stand side by side, the ISN seq - 1 first.
    const std::size_t lane = i > 0 && m.owner[i - 1] == m.owner[i] ? 1 : 0;
    c.mac[lane] = cover_vlan(m.out[i], {m.k0[i], m.k1[i], 0}, c.key.vlan);
  }
}

void publish_gauges(EngineState& s) {
  s.counters.flows.set(s.table.size());
  s.counters.flows_embryonic.set(s.embryonic);
  s.counters.flows_established.set(s.established);
  s.counters.early_buffers.set(s.early.buffers_in_use());
}

}  // namespace synproxy
